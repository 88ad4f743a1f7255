import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen import units

NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"


class TestDurations:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("10s", 10.0),
            ("2.5", 2.5),
            (".5", 0.5),
            ("7", 7.0),
            ("500us", 500e-6),
            ("500µs", 500e-6),
            ("250ns", 250e-9),
            ("10ms", 0.01),
            ("1.5s", 1.5),
            ("2m", 120.0),
            ("1h30m", 5400.0),
            ("1m 30s", 90.0),
            (" 3 S ", 3.0),
            ("0", 0.0),
        ],
    )
    def test_are_understood_in_every_documented_form(self, text: str, seconds: float) -> None:
        assert units.parse_duration_s(text) == pytest.approx(seconds, rel=1e-12)

    @pytest.mark.parametrize(
        "text",
        ["", " ", "fast", "s", "-1s", "-1", "1.5.5s", "1m30", "10 parsecs", "1s,", "nan", "inf"],
    )
    def test_of_another_form_are_refused_with_the_accepted_forms(self, text: str) -> None:
        with pytest.raises(ValueError) as refusal:
            units.parse_duration_s(text)
        assert str(refusal.value) == units.DURATION_FORM

    @given(st.integers(0, 10**15))
    def test_become_whole_nanoseconds_and_back_without_loss(self, nanoseconds: int) -> None:
        assert units.seconds_to_ns(units.ns_to_seconds(nanoseconds)) == nanoseconds

    @pytest.mark.parametrize(
        ("nanoseconds", "text"),
        [
            (0, "0 ns"),
            (7, "7 ns"),
            (999, "999 ns"),
            (1_000, "1 µs"),
            (9_600, "9.60 µs"),
            (41_300, "41.3 µs"),
            (99_600, "99.6 µs"),
            (99_960, "100 µs"),
            (999_400, "999 µs"),
            (999_600, "1.00 ms"),
            (1_843_000, "1.84 ms"),
            (3_500_000_000, "3.50 s"),
            (4_400_000_000_000, "4400 s"),
        ],
    )
    def test_are_written_with_three_digits_and_a_unit(self, nanoseconds: int, text: str) -> None:
        assert units.format_duration_ns(nanoseconds) == text

    @given(st.floats(1, 999e9))
    def test_as_written_are_within_half_a_unit_of_the_third_digit(self, nanoseconds: float) -> None:
        written = units.parse_duration_s(units.format_duration_ns(nanoseconds)) * units.NS_PER_S
        assert math.isclose(written, nanoseconds, rel_tol=0.005)


class TestRates:
    @pytest.mark.parametrize(
        ("text", "per_second"),
        [("500", 500.0), ("50k", 50_000.0), ("2.5k/s", 2500.0), ("1M", 1e6), ("0.5", 0.5)],
    )
    def test_are_understood_in_every_documented_form(self, text: str, per_second: float) -> None:
        assert units.parse_rate_per_s(text) == per_second

    @pytest.mark.parametrize("text", ["", "k", "1kk", "-5", "5/m", "many", "1e3"])
    def test_of_another_form_are_refused_with_the_accepted_forms(self, text: str) -> None:
        with pytest.raises(ValueError) as refusal:
            units.parse_rate_per_s(text)
        assert str(refusal.value) == units.RATE_FORM


class TestCounts:
    @pytest.mark.parametrize(
        ("text", "number"),
        [
            *[("1000", 1000), ("10k", 10_000), ("1m", 10**6), ("1.5k", 1500), (".5k", 500)],
            *[("0.3k", 300), ("1.1k", 1100), ("4.35m", 4_350_000), ("5.", 5), ("7.000", 7)],
            *[("9007199254740993", 2**53 + 1), ("9223372036.854775807g", 2**63 - 1)],
        ],
    )
    def test_are_understood_in_every_documented_form(self, text: str, number: int) -> None:
        assert units.parse_count(text) == number

    @pytest.mark.parametrize(
        "text", ["", "1.5", "0.0001k", "1.0005k", "-1", "ten", "1 2", "9" * 400, "9" * 9999]
    )
    def test_that_are_not_whole_numbers_are_refused(self, text: str) -> None:
        with pytest.raises(ValueError) as refusal:
            units.parse_count(text)
        assert str(refusal.value) == units.COUNT_FORM

    @pytest.mark.parametrize(
        ("number", "text"), [(0, "0"), (999, "999"), (1234567, "1 234 567"), (999.6, "1 000")]
    )
    def test_are_written_with_thousands_set_apart(self, number: float, text: str) -> None:
        assert units.format_count(number) == text.replace(" ", NO_BREAK_SPACE)


class TestSizes:
    @pytest.mark.parametrize(
        ("text", "size_bytes"),
        [
            ("64", 64),
            ("64b", 64),
            ("64k", 65_536),
            ("64KiB", 65_536),
            ("64kb", 65_536),
            ("1.5k", 1536),
            ("1m", 2**20),
            ("2 GiB", 2**31),
            ("9007199254740993", 2**53 + 1),
            ("8796093022208.0009765625k", 2**53 + 1),
        ],
    )
    def test_are_understood_in_every_documented_form(self, text: str, size_bytes: int) -> None:
        assert units.parse_size_bytes(text) == size_bytes

    @pytest.mark.parametrize(
        "text", ["", "b", "ib", "64ib", "0.3", "-1", "1t", "big", "0.3k", "9" * 400, "9" * 9999]
    )
    def test_of_another_form_are_refused_with_the_accepted_forms(self, text: str) -> None:
        with pytest.raises(ValueError) as refusal:
            units.parse_size_bytes(text)
        assert str(refusal.value) == units.SIZE_FORM

    @pytest.mark.parametrize(
        ("size_bytes", "text"),
        [
            (0, "0 B"),
            (64, "64 B"),
            (1536, "1.50 KiB"),
            (2**20 * 99.6, "99.6 MiB"),
            (2.5 * 2**30, "2.50 GiB"),
            (5.25 * 2**50, "5376 TiB"),
        ],
    )
    def test_are_written_with_three_digits_and_a_binary_unit(
        self, size_bytes: float, text: str
    ) -> None:
        assert units.format_bytes(size_bytes) == text


class TestEscapes:
    @pytest.mark.parametrize(
        ("text", "meant"),
        [
            (r"PING\r\n", b"PING\r\n"),
            (r"\t\0\\n", b"\t\0\\n"),
            (r"\x00\xfF", b"\x00\xff"),
            ("grüß", "grüß".encode()),
            (b"\\x41\xff", b"A\xff"),
            ("\udcff", b"\xff"),  # how Python hands over an argument that is not UTF-8
            ("", b""),
        ],
    )
    def test_stand_for_bytes(self, text: str | bytes, meant: bytes) -> None:
        assert units.parse_escapes(text) == meant

    @pytest.mark.parametrize(
        ("text", "culprit"),
        [(r"a\q", r"\q"), ("a\\", "\\"), (r"\x4", r"\x"), (r"\xg0", r"\x"), ("\\\n", "\\\n")],
    )
    def test_that_are_none_are_named(self, text: str, culprit: str) -> None:
        with pytest.raises(ValueError) as refusal:
            units.parse_escapes(text)
        assert str(refusal.value) == f"{culprit} is not an escape: {units.ESCAPES_FORM}"

    @given(st.binary())
    def test_can_write_any_bytes(self, wanted: bytes) -> None:
        assert units.parse_escapes("".join(f"\\x{byte:02x}" for byte in wanted)) == wanted


@pytest.mark.parametrize(
    ("per_s", "text"), [(0.0, "0/s"), (0.5, "0.5/s"), (99.94, "99.9/s"), (1234.5, "1 234/s")]
)
def test_rates_are_whole_from_100_on(per_s: float, text: str) -> None:
    assert units.format_rate(per_s) == text.replace(" ", NO_BREAK_SPACE)


@pytest.mark.parametrize(
    ("share", "text"), [(0.0, "0 %"), (0.1234, "12.3 %"), (1.0, "100 %"), (0.00012345, "0.0123 %")]
)
def test_shares_are_per_cent_with_three_digits(share: float, text: str) -> None:
    assert units.format_share(share) == text


def test_durations_of_seconds_are_written_as_those_of_nanoseconds() -> None:
    assert [units.format_duration_s(seconds) for seconds in (2.5, 0.0413)] == ["2.50 s", "41.3 ms"]
