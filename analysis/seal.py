"""The checksum line after the data of an HDF5 file (docs/results.md). HDF5 1.10 may crash on a damaged file, so the line
is checked before the file is opened."""

import os

class Refused(ValueError):
    """Why a file is not to be opened."""


WORD = b"\nsailor-results checksum "


def check(path):
    """Raise Refused if the file is not a regular one, or has a checksum that does not match; without one, pass."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise Refused("not a regular file")
    with open(path, "rb") as f:
        data = f.read()
    size = len(data) - len(WORD) - 17
    if size < 0 or data[size : size + len(WORD)] != WORD:
        return
    mask = (1 << 64) - 1
    h = 0xCBF29CE484222325 ^ size
    for at in range(0, size, 8):
        h = (h ^ int.from_bytes(data[at : min(at + 8, size)], "little")) * 0x9E3779B97F4A7C15 & mask
        h ^= h >> 29
    if data[size + len(WORD) :] != b"%016x\n" % h:
        raise Refused("damaged: its checksum does not match")
