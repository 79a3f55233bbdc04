"""HDF5 as someone else wrote it: the values of this very file, and no more of them than it announces.

HDF5 follows links and virtual datasets to any file of the machine, and unpacks whatever a chunk holds before it looks
at how much that is. So links are refused, and chunks are unpacked here first, a piece at a time, and only counted.
"""

import contextlib
import math
import os
import zlib
from pathlib import Path

import h5py
import numpy as np

from whereabouts import paths
from whereabouts.errors import InputError
from whereabouts.formats import limits

AGAIN = "copy it again"
MEND = "write it as data/README.md says"
LARGEST = 2**26  # bytes of what is read at once: a chunk, a frame, or all there is beside the frames
BYTES = 2**35  # of one dataset, unpacked; 122,000 frames of 224 x 288 have 8e9

_PACKERS = {h5py.h5z.FILTER_DEFLATE: 1032, h5py.h5z.FILTER_LZF: 88}  # -> bytes for which one of theirs can stand
_FILTERS = {*_PACKERS, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}  # the others keep the size, or add 4 bytes
_NAMES = {4: "szip", 307: "bzip2", 32001: "Blosc", 32004: "LZ4", 32008: "bitshuffle", 32015: "Zstandard"} | {
    5: "nbit",
    6: "scaleoffset",
    32013: "ZFP",
    32026: "Blosc2",
}
_PIECE = 2**20  # bytes


def opened(path: Path) -> h5py.File:
    """The file, open for reading.

    Raises:
        InputError: no regular file, or not HDF5.
    """
    limits.check(path, limits.HDF5)
    try:
        return h5py.File(path)
    except Exception as fault:  # h5py's own message is long and names the machine's folders
        number = getattr(fault, "errno", None)
        seen = (
            f"cannot be read ({os.strerror(number)}); mend that"
            if number
            else f"truncated, damaged or not HDF5; {AGAIN}"
        )
        raise InputError(f"{paths.shown(path)}: {seen}") from None


def find(file: h5py.File, key: str) -> h5py.Dataset | str:
    """The dataset `key`, which is there, or why it is none whose values are in this file; none of them is read."""
    if file.id.links.get_info(key.encode()).type != h5py.h5l.TYPE_HARD:
        return f"a link, maybe to another file; {MEND}"
    dataset = file.get(key)  # None where HDF5 itself finds the header unsound
    if not isinstance(dataset, h5py.Dataset):
        return f"no dataset, or damaged; {MEND}"
    plan = dataset.id.get_create_plist()
    if plan.get_layout() == h5py.h5d.VIRTUAL or plan.get_external_count():
        return f"its values are in other files; {MEND}"
    return dataset


def dtype(dataset: h5py.Dataset) -> np.dtype | None:
    """The type of the values; None where NumPy has none that is like it."""
    try:
        return dataset.dtype
    except (TypeError, ValueError, KeyError):
        return None


def storage_problem(dataset: h5py.Dataset, piece: tuple[int, ...]) -> str | None:
    """Why the values cannot be read in pieces of that shape, if so: too large, not there, or packed by unknown means.

    A shape may announce any number of values: what the file cannot hold is refused before room is made for it.
    """
    codes = _filters(dataset)
    unknown = [code for code in codes if code not in _FILTERS]
    if unknown:
        called = f" ({_NAMES[unknown[0]]})" if unknown[0] in _NAMES else ""
        how = "pack it with gzip where it can be read (h5repack -f GZIP=4)"
        return f"packed by the filter {unknown[0]}{called}, which is not read here; {how}"
    if any(code in _PACKERS for code in [code for code in codes if code != h5py.h5z.FILTER_FLETCHER32][:-1]):
        return f"packed more than once; {MEND}"
    stored, size = dataset.id.get_storage_size(), os.path.getsize(dataset.file.filename)
    if stored > size or dataset.nbytes > stored * max([1, *(_PACKERS.get(code, 1) for code in codes)]):
        return f"announces {dataset.nbytes} bytes, of which the file holds {min(stored, size)}; {AGAIN}"
    largest = max(math.prod(shape) for shape in (dataset.chunks or (), piece)) * dataset.dtype.itemsize
    if largest > LARGEST:
        return f"{largest} bytes in one piece, more than {LARGEST}; {MEND}, in chunks of a few frames"
    return f"{dataset.nbytes} bytes, more than {BYTES}; divide it" if dataset.nbytes > BYTES else None


def chunk_problem(dataset: h5py.Dataset) -> str | None:
    """Whether a chunk unpacks to another size than that of all; to be asked before anything is read.

    Raises:
        Exception: h5py's, where the file is damaged.
    """
    codes = _filters(dataset)
    packer = next((code for code in codes if code in _PACKERS), None)
    if packer is None:
        return None
    size, bit, found = math.prod(dataset.chunks) * dataset.dtype.itemsize, 1 << codes.index(packer), []
    size += 4 * (h5py.h5z.FILTER_FLETCHER32 in codes[: codes.index(packer)])
    dataset.id.chunk_iter(found.append)
    for chunk in found:
        if chunk.filter_mask & bit:  # stored as it is
            continue
        if packer == h5py.h5z.FILTER_LZF:  # is not unpacked here
            wrong = chunk.size * _PACKERS[packer] > 2 * LARGEST
        else:
            wrong = _unpacked(dataset.id.read_direct_chunk(chunk.chunk_offset)[1], size) != size
        if wrong:
            return f"the chunk at {chunk.chunk_offset} does not unpack to its {size} bytes; {AGAIN}"
    return None


def _filters(dataset: h5py.Dataset) -> list[int]:
    plan = dataset.id.get_create_plist()
    return [plan.get_filter(index)[0] for index in range(plan.get_nfilters())]


def _unpacked(stream: bytes, limit: int) -> int:
    """Bytes that deflate makes of a stream, counted up to a piece beyond `limit` or to where it is damaged."""
    total, unpacker = 0, zlib.decompressobj()
    with contextlib.suppress(zlib.error):
        while stream and total <= limit and not unpacker.eof:
            total += len(unpacker.decompress(stream, _PIECE))
            stream = unpacker.unconsumed_tail
    return total
