"""Files of every kind, read to their end, if they have one."""

import os
import threading
from pathlib import Path

import pytest

from loadgen.files.reading import TooLargeError, read_whole, read_written

CONTENT = os.urandom(3_000_000)  # more than is read at once, or than a pipe holds


def test_a_file_is_read_to_its_end(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    assert read_whole(file) == read_whole(str(file)) == CONTENT
    assert read_whole(file, most_bytes=len(CONTENT)) == CONTENT
    assert read_whole("/dev/null") == b""


def test_a_pipe_is_read_until_its_last_writer_closes_it(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(CONTENT,))
    writer.start()
    assert read_whole(pipe) == CONTENT
    writer.join(20)


def test_a_pipe_without_a_writer_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="no process writes to this pipe"):
        read_written(pipe)


def test_of_a_process_substitution_is_read_what_has_been_written_and_what_will_be() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb"):
        writer = threading.Thread(target=_write_and_close, args=(writing, CONTENT))
        writer.start()
        assert read_written(f"/dev/fd/{reading}") == CONTENT
        writer.join(20)


def _write_and_close(descriptor: int, content: bytes) -> None:
    with os.fdopen(descriptor, "wb") as pipe:
        pipe.write(content)


@pytest.mark.timeout(60)
def test_what_is_typed_is_read_until_its_user_ends_it() -> None:
    typing, terminal = os.openpty()
    try:
        os.write(typing, b"typed\n\x04")  # and the end (termios(3), VEOF)
        assert read_whole(os.ttyname(terminal)) == b"typed\n"
    finally:
        os.close(typing)
        os.close(terminal)


@pytest.mark.timeout(60)
def test_a_log_that_has_no_end_is_not_waited_for() -> None:
    refused = "no end|[Pp]ermi|No such file"  # some may not read it, and some systems have none
    with pytest.raises(OSError, match=refused):
        read_whole("/dev/kmsg")


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/urandom"])
def test_what_never_ends_is_read_no_further_than_is_allowed(path: str) -> None:
    with pytest.raises(TooLargeError) as refusal:
        read_whole(path, most_bytes=5_000_000)
    assert refusal.value.strerror == "it has more than 4.77 MiB, the most that is read"


def test_a_file_that_is_too_large_is_not_read_at_all(tmp_path: Path) -> None:
    file = tmp_path / "sparse"
    with file.open("wb") as sparse:
        sparse.truncate(2**31)
    with pytest.raises(TooLargeError, match="1 GiB"):
        read_whole(file)


def test_what_cannot_be_read_is_an_error_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(IsADirectoryError):
        read_whole(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_whole(tmp_path / "missing")
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(OSError, match="standard input is closed"):
        read_whole("-")
