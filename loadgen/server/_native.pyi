"""The native half of the echo server, from `_native.c`, which says what takes place."""

from selectors import SelectorKey

INTERFACE: int

def echo(
    ready: list[tuple[SelectorKey, int]], first: int, buffer: bytearray, is_sink: bool, /
) -> tuple[int, int, int, int, int]: ...
