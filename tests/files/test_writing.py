import errno
import os
import select
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadgen.files.writing import (
    check_folder,
    check_writable,
    write_atomically,
    write_whole,
)


@pytest.fixture
def umask_027() -> Iterator[None]:
    previous = os.umask(0o027)
    yield
    os.umask(previous)


def test_the_file_holds_the_content_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    write_atomically(tmp_path / "result.json", b"{}")
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
    assert (tmp_path / "result.json").read_bytes() == b"{}"


def test_an_older_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(b"much longer than what comes next")
    with path.open("rb") as reader:
        write_atomically(path, b"new")
        assert reader.read() == b"much longer than what comes next"
    assert path.read_bytes() == b"new"


@pytest.mark.usefixtures("umask_027")
def test_the_file_is_as_readable_as_the_umask_allows(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_atomically(path, b"")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.umask(0o027) == 0o027, "the umask is left as it was"


@pytest.mark.usefixtures("umask_027")
def test_a_file_that_was_private_stays_so(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.touch(0o600)
    write_atomically(path, b"payloads")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    directory = tmp_path / "in the way"
    directory.mkdir()
    with pytest.raises(OSError, match="in the way"):
        write_atomically(directory, b"content")
    assert list(tmp_path.iterdir()) == [directory]


def test_a_missing_directory_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "missing" / "result.json", b"")


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_atomically(pipe, b"content")
        assert os.read(reader, 100) == b"content"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_a_link_is_followed(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "file")
    write_atomically(link, b"content")
    assert link.is_symlink()
    assert (tmp_path / "file").read_bytes() == b"content"


def test_a_name_of_full_length_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 255)
    write_atomically(path, b"content")
    assert path.read_bytes() == b"content"


def test_all_is_written_to_a_pipe_that_does_not_wait() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    content = bytes(range(256)) * 4096  # more than the pipe holds
    with os.fdopen(reader, "rb") as pipe:
        got: list[bytes] = []
        thread = threading.Thread(target=lambda: got.append(pipe.read()))
        thread.start()
        write_whole(writer, content)
        os.close(writer)
        thread.join()
    assert got == [content]


def test_a_full_device_is_an_os_error() -> None:
    with pytest.raises(OSError, match="No space left") as caught:
        write_atomically(Path("/dev/full"), b"content")
    assert caught.value.errno == errno.ENOSPC


class TestChecking:
    @pytest.mark.parametrize("name", ["new", "old", "link", "dangling", "pipe", "a" * 255])
    def test_leaves_all_as_it_was(self, name: str, tmp_path: Path) -> None:
        (tmp_path / "old").write_bytes(b"content")
        (tmp_path / "link").symlink_to("old")
        (tmp_path / "dangling").symlink_to("new")
        os.mkfifo(tmp_path / "pipe")
        before = sorted(tmp_path.iterdir())
        check_writable(tmp_path / name)
        assert sorted(tmp_path.iterdir()) == before
        assert (tmp_path / "old").read_bytes() == b"content"

    def test_ends_no_pipe_for_its_reader(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
        try:
            check_writable(tmp_path / "pipe")
            # A writer that has gone would be seen: POLLHUP (poll(2)).
            with select.epoll() as watch:
                watch.register(reader, select.EPOLLIN)
                assert watch.poll(0) == []
        finally:
            os.close(reader)

    @pytest.mark.parametrize("name", ["missing/new", "loop", "a" * 256, "file/new"])
    def test_raises_what_writing_would(self, name: str, tmp_path: Path) -> None:
        (tmp_path / "loop").symlink_to("loop")
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(OSError, match=r"Errno") as checked:
            check_writable(tmp_path / name)
        with pytest.raises(OSError, match=r"Errno") as written:
            write_atomically(tmp_path / name, b"")
        assert checked.value.errno == written.value.errno

    def test_of_a_folder_makes_a_file_there(self, tmp_path: Path) -> None:
        check_folder(tmp_path)
        assert list(tmp_path.iterdir()) == []
        with pytest.raises(FileNotFoundError):
            check_folder(Path("/proc"))
