"""Parsing and formatting durations, rates, sizes, counts and escapes.

What a user writes is read by ``parse_…``; ``write_…`` is the inverse of some, and ``format_…`` is
for people. Inside loadgen a duration is an integer of nanoseconds and its name ends in ``_ns``;
only the command line, the Plan and the outputs use seconds. Only this module converts between them.
"""

import re
from datetime import UTC, datetime
from decimal import Decimal

NS_PER_S = 1_000_000_000

_DURATION_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": NS_PER_S,
    "m": 60 * NS_PER_S,
    "h": 3600 * NS_PER_S,
}
_DECIMAL = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_BINARY = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}

NUMBER = r"(\d+(?:\.\d*)?|\.\d+)"
"""A regular expression: a number without sign or exponent, as its one group."""

_DURATION_PART = re.compile(NUMBER + r"\s*(ns|us|µs|ms|s|m|h)")
_SCALED = re.compile(NUMBER + r"\s*([kmg]?)")

# More than any count has; `int` itself refuses more than 4300, since its work is quadratic.
_MOST_DIGITS = 100

DURATION_FORM = "write a duration such as 500us, 10ms, 1.5s, 2m or 1h30m (a bare number is seconds)"
RATE_FORM = "write a number per second such as 500, 2.5k or 1m"
SIZE_FORM = "write a number of bytes such as 64, 64k (KiB) or 1m (MiB)"
MOMENT_FORM = "moment with its time zone, such as 2026-01-31T12:00:00.000+00:00"
COUNT_FORM = "write a whole number such as 1000, 10k or 1m"
PROCESS_FORM = "write a process id, as ps shows it"


def seconds_to_ns(seconds: float) -> int:
    """Return the whole nanoseconds nearest to ``seconds``."""
    return round(seconds * NS_PER_S)


def ns_to_seconds(nanoseconds: float) -> float:
    """Return ``nanoseconds`` as seconds."""
    return nanoseconds / NS_PER_S


def parse_duration_s(text: str) -> float:
    """Return the seconds that ``text`` means: ``10s``, ``500us``, ``1h30m``, ``2.5``.

    Raises ValueError, with the accepted forms as its text.
    """
    text = text.strip().lower()
    if re.fullmatch(NUMBER, text):
        return float(text)
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(_DURATION_PART.split(text)[::3]).strip():
        raise ValueError(DURATION_FORM)
    return sum(float(number) * _DURATION_NS[unit] for number, unit in parts) / NS_PER_S


def write_duration_s(seconds: float) -> str:
    """Return the text that `parse_duration_s` reads as ``seconds``: ``1.5s``."""
    return f"{write_number(seconds)}s"


def write_number(number: float | str) -> str:
    """Return a number as all parsers read it, without an exponent; text as it is."""
    if not isinstance(number, float):
        return str(number)
    text = format(Decimal(repr(number)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def parse_rate_per_s(text: str) -> float:
    """Return events per second: ``500``, ``50k``, ``2.5k/s``. Raises ValueError."""
    return _parse_scaled(text.strip().lower().removesuffix("/s"), _DECIMAL, RATE_FORM)


def parse_count(text: str) -> int:
    """Return a whole number, exactly: ``1000``, ``1.5k``, ``1m`` (millions). Raises ValueError."""
    return _parse_whole(text, _DECIMAL, COUNT_FORM)


def parse_plain_count(text: str, form: str) -> int:
    """Return a whole number of digits alone, with a sign perhaps. Raises ValueError(``form``)."""
    if re.fullmatch(rf"[+-]?\d{{1,{_MOST_DIGITS}}}", text.strip()) is None:
        raise ValueError(form)
    return int(text)


def parse_process(text: str) -> int:
    """Return a process id, which is written in digits alone. Raises ValueError."""
    return parse_plain_count(text, PROCESS_FORM)


def parse_size_bytes(text: str) -> int:
    """Return bytes: ``64``, ``64k`` (KiB), ``1m`` (MiB); a trailing ``b`` or ``ib`` is fine.

    Raises ValueError.
    """
    bare = re.sub(r"(?<=[kmg])ib$|b$", "", text.strip().lower())
    return _parse_whole(bare, _BINARY, SIZE_FORM)


def _parse_scaled(text: str, factors: dict[str, int], form: str) -> float:
    number, factor = _split_scaled(text, factors, form)
    return float(number) * factor


def _parse_whole(text: str, factors: dict[str, int], form: str) -> int:
    number, factor = _split_scaled(text, factors, form)
    whole, _, decimals = number.partition(".")
    if len(whole + decimals) > _MOST_DIGITS:
        raise ValueError(form)
    # Not by way of a float: it is exact up to 2^53 only, and 0.3k would be 299.99….
    one: int = 10 ** len(decimals)
    scaled, rest = divmod(int(whole + decimals) * factor, one)
    if rest:
        raise ValueError(form)
    return scaled


def _split_scaled(text: str, factors: dict[str, int], form: str) -> tuple[str, int]:
    match = _SCALED.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError(form)
    return match[1], factors[match[2]]


def parse_moment(text: str) -> datetime:
    """Return the moment that ``text`` names in the form of ISO 8601, in UTC.

    Raises ValueError, with the accepted form as its text; one without a time zone is refused.
    """
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{text!r} is not a {MOMENT_FORM}")


def format_duration_ns(nanoseconds: float) -> str:
    """Return three significant digits and a unit: ``999 ns``, ``41.3 µs``, ``3.50 s``."""
    for unit, factor in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000)):
        # Compare what will be printed, so that 999.6 µs becomes 1.00 ms and not 1000 µs.
        if float(f"{nanoseconds / factor:.3g}") < 1000:
            return f"{_three_digits(nanoseconds / factor)} {unit}"
    return f"{_three_digits(nanoseconds / NS_PER_S)} s"


def format_duration_s(seconds: float) -> str:
    """Return the same of a duration in seconds."""
    return format_duration_ns(seconds * NS_PER_S)


def format_rate(per_s: float) -> str:
    """Return events per second: ``50 000/s``, ``0.5/s``."""
    return f"{format_count(per_s) if per_s >= 100 else f'{per_s:.3g}'}/s"


def format_share(share: float) -> str:
    """Return a share from 0 to 1: ``12.3 %``."""
    return f"{100 * share:.3g} %"


def format_count(number: float) -> str:
    """Return a count with its thousands separated: ``1 234 567``."""
    return f"{number:,.0f}".replace(",", "\N{NO-BREAK SPACE}")


def format_bytes(size_bytes: float) -> str:
    """Return a size in binary units: ``64 B``, ``1.50 KiB``, ``2 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if float(f"{size_bytes:.3g}") < 1000:
            return f"{_three_digits(size_bytes)} {unit}"
        size_bytes /= 1024
    return f"{_three_digits(size_bytes)} TiB"


def _three_digits(number: float) -> str:
    if number == int(number) and abs(number) < 1000:
        return f"{number:.0f}"
    digits_before_point = len(str(int(float(f"{abs(number):.3g}"))))
    return f"{number:.{max(0, 3 - digits_before_point)}f}"


ESCAPES_FORM = r"escapes are \r \n \t \0 \\ and \xHH"

_ESCAPE = re.compile(rb"\\(x[0-9A-Fa-f]{2}|.|$)", re.DOTALL)
_ESCAPED = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0", b"\\": b"\\"}


def parse_escapes(text: str | bytes) -> bytes:
    r"""Return the bytes that ``text`` means, with ``\r \n \t \0 \\ \xHH`` understood.

    Other characters stand for their UTF-8 bytes. Raises ValueError for another escape.
    """

    def replace(match: re.Match[bytes]) -> bytes:
        escape = match[1]
        if len(escape) == 3:
            return bytes([int(escape[1:], 16)])
        if escape not in _ESCAPED:
            raise ValueError(
                f"{match[0].decode(errors='replace')} is not an escape: {ESCAPES_FORM}"
            )
        return _ESCAPED[escape]

    encoded = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    return _ESCAPE.sub(replace, encoded)


_WRITTEN = {0: r"\0", 9: r"\t", 10: r"\n", 13: r"\r", 92: r"\\"}


def write_escapes(content: bytes) -> str:
    """Return the text that `parse_escapes` reads as ``content``, in printable ASCII."""
    return "".join(
        _WRITTEN.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}")
        for byte in content
    )
