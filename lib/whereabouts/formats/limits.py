"""The one way into a given file: what is no regular file, or larger than its kind may be, is refused unopened.

A FIFO would be waited for, a device never ends, and a small packed file can stand for any number of zeros: limits hold
before memory is taken. Each is far above what the official data need, which is said beside it.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from whereabouts import paths
from whereabouts.errors import InputError


@dataclass(frozen=True)
class Limit:
    """How large a file of one kind may be.

    Args:
        kind: as errors name it.
        size: bytes, as it lies there.
    """

    kind: str
    size: int


INFO = Limit("an Info.cfg", 2**16)  # 100 bytes
LIST = Limit("a list of files", 2**24)  # JSON or CSV; the Decathlon's dataset.json have 60 kB, NIH's CSV has 7 MB
NIFTI = Limit("a NIfTI volume", 2**32)  # the Decathlon's largest CT has 540 MB before it is packed
DICOM = Limit("a DICOM slice", 2**26)  # 526 kB
SCENE = Limit("a CLEVR scene", 2**20)  # 2 kB
PICTURE = Limit("a picture", 2**28)  # NIH's PNG have 0.5 MB, radiographs of 3000 x 3000 pixels and 16 bits 18 MB
GIF = Limit("a GIF", 2**21)  # SCR's masks have 10 kB; Pillow copies a comment for each 255 bytes of it
HDF5 = Limit("an HDF5 file", 2**38)  # 230,000 ultrasound frames of 224 x 288 have 15 GB; read in parts
WEIGHTS = Limit("a file of weights", 2**32)  # 25 MB

FRAME_VOXELS = 2**26  # of one frame of a heart; ACDC's have up to 512 x 512 x 21, about 2**22.4
SCAN_VOXELS = 2**29  # of any other volume, or of a whole cycle; the Decathlon's largest has 512 x 512 x 1026, 2**28
GRID_VOXELS = 2**28  # of a volume once it is interpolated, and of a stack of slices


def check(path: Path, limit: Limit) -> int:
    """The size in bytes of a regular file that keeps the limit; links are followed, nothing is opened.

    For those who give a path to a library that opens it.

    Raises:
        InputError: no such file, no regular file, or too large.
    """
    try:
        with _reading(path):
            return _checked(os.stat(path), path, limit)
    except ValueError as fault:  # a zero byte, or half a character
        raise InputError(f"{paths.shown(path)}: no name of a file ({fault}); correct it") from None


@contextmanager
def opened(path: Path, limit: Limit) -> Iterator[BinaryIO]:
    """A regular file that keeps the limit, open for reading.

    Raises:
        InputError: as `check`, or the system does not let it be read, here or in the block.
    """
    check(path, limit)
    with _reading(path), open(path, "rb", opener=_without_waiting) as file:
        _checked(os.fstat(file.fileno()), path, limit)  # another may lie there by now
        yield file


def read(path: Path, limit: Limit) -> bytes:
    """The whole of a regular file that keeps the limit.

    Raises:
        InputError: as `opened`.
    """
    with opened(path, limit) as file:
        return file.read(os.fstat(file.fileno()).st_size)  # no more, should it grow meanwhile


def kind_of(mode: int) -> str | None:
    """What lies there that is no regular file, as errors name it; None for a regular file."""
    kinds = {
        stat.S_ISDIR: "a folder",
        stat.S_ISFIFO: "a FIFO",
        stat.S_ISSOCK: "a socket",
        stat.S_ISCHR: "a device",
        stat.S_ISBLK: "a device",
    }
    return None if stat.S_ISREG(mode) else next((kind for is_one, kind in kinds.items() if is_one(mode)), "no file")


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _checked(status: os.stat_result, path: Path, limit: Limit) -> int:
    if kind := kind_of(status.st_mode):
        raise InputError(f"{paths.shown(path)}: {kind}, where {limit.kind} is expected; replace or remove it")
    if status.st_size > limit.size:
        size = f"{status.st_size:,} bytes, more than the {limit.size:,} that {limit.kind} may have"
        raise InputError(f"{paths.shown(path)}: {size}; replace or remove it")
    return status.st_size


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """What the system says becomes an `InputError`; what a decoder says, which has no number, is left alone."""
    try:
        yield
    except OSError as fault:
        if fault.errno is None:
            raise
        text = f"cannot be read ({os.strerror(fault.errno)}); mend that, or replace it"
        raise InputError(f"{paths.shown(path)}: {text}") from None
