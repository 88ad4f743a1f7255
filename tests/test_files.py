import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadgen.files import write_atomically


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
