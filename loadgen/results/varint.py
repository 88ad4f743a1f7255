"""Encodes and decodes integers as varints (unsigned LEB128), in bulk.

A number is split into groups of seven bits, the lowest first, a byte for each; the highest bit of a
byte is set if another one follows (DWARF Debugging Information Format 5, section 7.6, unsigned
LEB128).
"""

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]

_MAX_BYTES = 9  # of a number below 2**63


def to_varint(number: int) -> bytes:
    """Return ``number``, which is not negative, as a varint."""
    content = bytearray()
    while number >= 128:
        content.append(number & 127 | 128)
        number >>= 7
    content.append(number)
    return bytes(content)


def to_varints(numbers: Integers) -> bytes:
    """Return ``numbers``, none of them negative, as varints, one after the other."""
    firsts = (numbers & 127).astype(np.uint8)
    longer = np.flatnonzero(numbers >= 128)
    if not longer.size:
        return firsts.tobytes()
    firsts[longer] |= 128
    rest = numbers[longer] >> 7
    group = np.arange(_MAX_BYTES - 1)
    groups = rest[:, np.newaxis] >> 7 * group
    sizes = 1 + np.count_nonzero(groups[:, 1:], axis=1)
    goes_on = (group < sizes[:, np.newaxis] - 1) << 7
    others = (groups & 127 | goes_on)[group < sizes[:, np.newaxis]]
    return np.insert(firsts, np.repeat(longer + 1, sizes), others).tobytes()


def from_varints(content: bytes) -> Integers:
    """Return the numbers in ``content``. Raises ValueError if the last one is incomplete."""
    every = np.frombuffer(content, np.uint8)
    if every.size and every[-1] >= 128:
        raise ValueError("the last packed number is incomplete")
    is_last = every < 128  # the highest bits of its number, and usually all of them
    numbers: Integers = every[is_last].astype(np.int64)
    places = np.flatnonzero(~is_last)
    if not places.size:
        return numbers
    owners, firsts, sizes = np.unique(
        places - np.arange(places.size), return_index=True, return_counts=True
    )
    if sizes.max() >= _MAX_BYTES:
        raise ValueError("a packed number is too large")
    numbers[owners] <<= 7 * sizes
    shifts = 7 * (np.arange(places.size) - np.repeat(firsts, sizes))
    lower = (every[places] & 127).astype(np.int64) << shifts
    numbers[owners] += np.add.reduceat(lower, firsts)
    return numbers
