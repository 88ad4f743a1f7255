from selectors import SelectorKey

def echo(
    ready: list[tuple[SelectorKey, int]], first: int, buffer: bytearray, is_sink: bool, /
) -> tuple[int, int, int, int, int]: ...
