import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.errors import UsageError
from loadgen.plan import payloads
from loadgen.plan.payloads import (
    FilePayload,
    LinesPayload,
    MadePayload,
    PayloadQueue,
    PayloadSource,
    SizePayload,
)


def written(directory: Path, content: bytes) -> str:
    path = directory / "payloads"
    path.write_bytes(content)
    return str(path)


def refusal_of(source: PayloadSource) -> str:
    with pytest.raises(UsageError) as refusal:
        payloads.load((source,))
    return str(refusal.value)


class TestLoading:
    def test_keeps_the_order_of_the_sources(self, tmp_path: Path) -> None:
        path = written(tmp_path, b"one\ntwo\n")
        queue = payloads.load((b"zero", LinesPayload(path), SizePayload(3), FilePayload(path)))
        assert queue.items == (b"zero", b"one", b"two", b"012", b"one\ntwo\n")

    @pytest.mark.parametrize("size_bytes", [1, 60, 61, 62, 1000])
    def test_makes_a_payload_of_exactly_the_size(self, size_bytes: int) -> None:
        (item,) = payloads.load((SizePayload(size_bytes),)).items
        assert len(item) == size_bytes
        assert item.decode().isalnum()

    def test_makes_a_pattern_that_is_unlike_itself_some_bytes_off(self) -> None:
        (item,) = payloads.load((SizePayload(1000),)).items
        assert not any(item.startswith(item[shift : shift + 64]) for shift in range(1, 61))

    @pytest.mark.parametrize("content", [b"a\nb", b"a\nb\n", b"a\r\nb\r\n", b"\\x61\n\\x62\n"])
    def test_takes_lines_without_their_ends_and_understands_escapes(
        self, tmp_path: Path, content: bytes
    ) -> None:
        assert payloads.load((LinesPayload(written(tmp_path, content)),)).items == (b"a", b"b")

    def test_leaves_escapes_in_raw_lines_alone(self, tmp_path: Path) -> None:
        source = LinesPayload(written(tmp_path, b"a\\n\nb\\q\n"), raw=True)
        assert payloads.load((source,)).items == (rb"a\n", rb"b\q")

    @pytest.mark.parametrize("source", [FilePayload("-"), LinesPayload("-")])
    def test_reads_standard_input_for_a_dash(
        self, source: PayloadSource, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"from a pipe")))
        assert payloads.load((source,)).items == (b"from a pipe",)


class TestRefusals:
    def test_no_payload_at_all(self) -> None:
        with pytest.raises(UsageError, match="payloads: there are none"):
            payloads.load(())

    def test_an_empty_text(self) -> None:
        assert refusal_of(b"").startswith("--payload: ''")

    @pytest.mark.parametrize("size_bytes", [0, -1])
    def test_a_size_below_one(self, size_bytes: int) -> None:
        assert refusal_of(SizePayload(size_bytes)).startswith(f"--size: {size_bytes} ")

    @pytest.mark.parametrize("kind", [FilePayload, LinesPayload])
    def test_a_file_that_is_not_there_or_empty(
        self, tmp_path: Path, kind: type[FilePayload] | type[LinesPayload]
    ) -> None:
        missing = str(tmp_path / "missing")
        assert f"cannot read {missing!r}: No such file" in refusal_of(kind(missing))
        assert "is empty" in refusal_of(kind(written(tmp_path, b"")))

    @pytest.mark.parametrize("content", [b"a\n\nb\n", b"a\n\r\nb"])
    def test_an_empty_line_by_its_number(self, tmp_path: Path, content: bytes) -> None:
        assert "line 2 of" in refusal_of(LinesPayload(written(tmp_path, content)))

    def test_what_is_only_made_while_a_run_goes_on(self) -> None:
        refusal = refusal_of(MadePayload("Ping.payload"))
        assert refusal.startswith("payloads: Ping.payload makes them as it runs; give a text")

    def test_a_wrong_escape_by_its_line_number(self, tmp_path: Path) -> None:
        refusal = refusal_of(LinesPayload(written(tmp_path, b"a\nb\nc\\q\n")))
        assert "line 3 of" in refusal
        assert r"\q is not an escape" in refusal


queues = st.lists(st.binary(min_size=1, max_size=5), min_size=1, max_size=6)


class TestQueue:
    @given(queues, st.data())
    def test_a_batch_is_what_taking_one_by_one_would_give(
        self, items: list[bytes], data: st.DataObject
    ) -> None:
        position = data.draw(st.integers(0, len(items) - 1))
        count = data.draw(st.integers(1, 4 * len(items)))
        expected = [items[(position + step) % len(items)] for step in range(count)]
        batch, lengths = PayloadQueue(tuple(items)).batch(position, count)
        assert batch == b"".join(expected)
        assert lengths == tuple(map(len, expected))

    def test_a_batch_of_one_is_the_payload_itself(self) -> None:
        item = b"the same object, not a copy"
        assert PayloadQueue((item,)).batch(0, 1)[0] is item
