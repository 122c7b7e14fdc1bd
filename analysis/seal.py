"""Opening HDF5 files: first the checksum line after their data (docs/results.md), because HDF5 1.10 may crash on a damaged
file; then that all of it is in the file. Data elsewhere has no checksum, and may be a pipe, where HDF5 waits for ever."""

import os

os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")  # not every file system has locks


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


def keep_inside(group):
    import h5py

    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise Refused(f"/{name}: a link; expected data in the file")
        entry = group[name]
        if isinstance(entry, h5py.Group):
            if entry.name.count("/") > 4:
                raise Refused(f"/{name}: groups without end")
            keep_inside(entry)
        elif isinstance(entry, h5py.Dataset) and (entry.external or entry.is_virtual):
            raise Refused(f"/{name}: data outside; expected it in the file")


def opened(path):
    """The file, whole; raises Refused, or what h5py raises."""
    import h5py

    check(path)
    f = h5py.File(path, "r")
    try:
        keep_inside(f)
    except Exception:
        f.close()
        raise
    return f
