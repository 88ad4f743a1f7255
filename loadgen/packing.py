"""Whole numbers in few bytes: each as a varint (LEB128), most of them in a single byte.

A number is cut into groups of seven bits, the lowest first, a byte for each; the highest bit of a
byte says that another one follows (DWARF Debugging Information Format 5, section 7.6, unsigned
LEB128).
"""

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]

_MOST_BYTES = 9  # of a number below 2**63


def to_varints(numbers: Integers) -> bytes:
    """Return ``numbers``, none of them negative, one after the other."""
    is_long = numbers >= 128
    if not is_long.any():
        return numbers.astype(np.uint8).tobytes()
    sizes = 1 + is_long
    for more in range(2, _MOST_BYTES):
        is_longer = numbers >= 1 << 7 * more
        if not is_longer.any():
            break
        sizes += is_longer
    ends = np.cumsum(sizes)
    content = np.empty(int(ends[-1]), np.uint8)
    places = ends - sizes
    while places.size:
        goes_on = numbers >= 128
        content[places] = numbers & 127 | goes_on << 7
        numbers, places = numbers[goes_on] >> 7, places[goes_on] + 1
    return content.tobytes()


def from_varints(content: bytes) -> Integers:
    """Return the numbers in ``content``. Raises ValueError if it ends in the midst of one."""
    every = np.frombuffer(content, np.uint8)
    if every.size and every[-1] >= 128:
        raise ValueError("the packed numbers end in the midst of one")
    lasts = np.flatnonzero(every < 128)  # of each number, its highest bits
    numbers: Integers = every[lasts].astype(np.int64)
    sizes = np.diff(lasts, prepend=-1)
    longer = np.flatnonzero(sizes > 1)
    for before in range(1, _MOST_BYTES):
        numbers[longer] = numbers[longer] << 7 | every[lasts[longer] - before] & 127
        longer = longer[sizes[longer] > before + 1]
    if longer.size:
        raise ValueError("a packed number is too large")
    return numbers
