"""NIfTI volumes (H, W, D), a stack of D slices: reading, with whatever is wrong named."""

import gzip
import io
import math
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy

from whereabouts import paths
from whereabouts.errors import InputError
from whereabouts.formats import labels, limits, nifti_header
from whereabouts.formats.nifti_header import Header

AGAIN = "copy or unpack it again"
REGRID = "bring it onto that grid, or restore its header"
FILL = "give these voxels numbers"

TOLERANCE = 1e-3  # mm, between two grids

_DEFLATE = 1032  # bytes that one byte of deflate can stand for; whoever announces more has not stored it
_SPARE = 2**20  # bytes behind the voxels that are let pass
_LARGEST = float(np.finfo(np.float32).max)  # voxels become float32


@dataclass(frozen=True)
class Nifti:
    """One file's voxels and grid.

    Args:
        array: (H, W, D) or (H, W, D, T), the stored type, or float64 where the header scales the values.
        spacing: (3,) mm, along H, W, D, by the rule of `whereabouts.formats.nifti_header`.
        affines: those that the header declares and that are sound, "qform" and "sform", each (4, 4), voxel to mm.
        unsound: what is wrong with the others.
        header: all else that it says.
    """

    array: np.ndarray
    spacing: np.ndarray
    affines: dict[str, np.ndarray]
    unsound: list[str] = field(default_factory=list)
    header: nib.Nifti1Header | None = None


def read_nifti(path: Path, most: int = limits.SCAN_VOXELS, grid: bool = True) -> Nifti:
    """Read a `.nii.gz` or `.nii` file whole, its checksum included; whether it is packed is seen, not believed.

    The header is inspected before nibabel interprets it, because nibabel repairs some faults quietly (it takes the
    absolute value of a negative spacing), and before the voxels are unpacked, which are no more than it announces.
    Single trailing axes beyond the third are dropped.

    Args:
        most: voxels.
        grid: whether spacing and affines are asked for; else they are not looked at.

    Raises:
        InputError: missing, no regular file, empty, truncated, damaged, not NIfTI-1, more than `most` voxels, unpacked
            of another size than the header announces, or a header that is unsound or contradicts itself
            (`whereabouts.formats.nifti_header`).
    """
    name = paths.shown(path)
    try:
        with np.errstate(all="ignore"), limits.opened(path, limits.NIFTI) as file:  # NaN is judged, not warned of
            content, about = _unpack(file, most, grid)
            array = np.asanyarray(
                ArrayProxy(io.BytesIO(content), (about.shape, about.dtype, about.begin, *about.scale))
            )
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise InputError(f"{name}: truncated, damaged or not gzip; {AGAIN}") from None
    except ValueError as fault:
        raise InputError(f"{name}: {fault}") from None
    return Nifti(array, about.spacing, about.affines, about.unsound, about.raw)


def try_read(
    path: Path | None, axes: int, problems: list[str], most: int = limits.SCAN_VOXELS, grid: bool = True
) -> Nifti | None:
    """The file's content, or None where there is no such file or it has not that many axes; adds to `problems`.

    See `read_nifti`.
    """
    if path is None:
        return None
    try:
        nifti = read_nifti(path, most, grid)
    except InputError as fault:
        problems += fault.problems
        return None
    if nifti.array.ndim != axes:
        problems.append(
            f"{paths.shown(path)}: has {nifti.array.ndim} axes where {axes} are expected; give one of {axes}"
        )
        return None
    return nifti


def image_faults(image: Nifti | None, path: Path, percentiles: tuple[int, int] = (5, 95)) -> list[str]:
    """What is wrong with an image's intensities, if it could be read at all; between the percentiles they must vary."""
    if image and not all_finite(image.array):
        return [f"{paths.shown(path)}: has NaN or infinite voxels; {FILL}"]
    if image and np.equal(*np.percentile(image.array, percentiles)):
        between = "constant" if percentiles == (0, 100) else "constant from its {}th to its {}th percentile"
        return [f"{paths.shown(path)}: {between.format(*percentiles)}; cut it to what it shows, or leave it out"]
    return []


def read_frame(image_path: Path | None, truth_path: Path | None, problems: list[str]) -> Nifti | None:
    """The image of one frame of a heart, checked as its labels are, each alone and together; adds to `problems`."""
    image, truth = (try_read(path, 3, problems, limits.FRAME_VOXELS) for path in (image_path, truth_path))
    problems += image_faults(image, image_path)
    problems += labels.faults(truth and truth.array, truth_path, range(4), "0, 1, 2 and 3")
    if image and truth:
        difference = grid_difference(image, truth)
        if difference:
            problems.append(f"{paths.shown(truth_path)}: {difference} differs from its image's; {REGRID}")
    return image


def grid_difference(first: Nifti, second: Nifti) -> str | None:
    """What of the second grid differs from the first; None where they are the same.

    ACDC's sform has lost the spacing; its qform has kept it. So the qforms are compared, the sforms only where the
    qforms are not both declared, and shape and spacing alone where neither is.
    """
    if first.array.shape != second.array.shape:
        return f"shape {second.array.shape}, not {first.array.shape},"
    if np.abs(first.spacing - second.spacing).max() > TOLERANCE:
        return f"spacing {second.spacing.round(4).tolist()}, not {first.spacing.round(4).tolist()} mm,"
    for kind in ("qform", "sform"):
        if kind in first.affines and kind in second.affines:
            same = np.allclose(first.affines[kind], second.affines[kind], rtol=0, atol=TOLERANCE)
            return None if same else f"affine ({kind})"
    return None


def all_finite(array: np.ndarray) -> bool:
    """Whether no voxel is NaN or infinite, nor would be as float32."""
    return bool(np.isfinite(array).all() and array.min() >= -_LARGEST and array.max() <= _LARGEST)


def _unpack(file: BinaryIO, most: int, grid: bool) -> tuple[bytes, Header]:
    """The file, unpacked to its end, and its header; ValueError, saying what is wrong, unless they belong together.

    Room is made for no more than the file can hold, so what a header announces cannot take memory. Voxels that are said
    to begin within the header begin right behind it if they then end with the file.
    """
    packed = file.read(2) == b"\x1f\x8b"
    possible = file.seek(0, io.SEEK_END) * (_DEFLATE if packed else 1)
    file.seek(0)
    stream = gzip.GzipFile(fileobj=file) if packed else file
    about = nifti_header.parse(stream.read(nifti_header.BYTES), grid)
    announced = max(about.begin, nifti_header.BYTES) + about.size
    if (count := math.prod(about.shape)) > most:
        raise ValueError(f"{count:,} voxels, more than the {most:,} that are read; leave it out or cut it")
    if announced > possible:
        raise ValueError(f"truncated: {possible} of {announced} bytes at most; {AGAIN}")
    stream.seek(0)
    content = stream.read(announced + _SPARE + 1)
    behind = len(content) - about.size  # where the voxels begin if they end with the file
    if about.begin < nifti_header.BEGINS and behind in (nifti_header.BYTES, nifti_header.BEGINS):
        about = replace(about, begin=behind)
        announced = len(content)
    elif about.begin < nifti_header.BEGINS or behind == nifti_header.BEGINS < about.begin:
        text = f"voxels are said to begin at byte {about.begin} (vox_offset), {behind} bytes of the file are not voxels"
        raise ValueError(f"{text}; correct vox_offset")
    if len(content) < announced:
        raise ValueError(f"truncated: {len(content)} of {announced} bytes; {AGAIN}")
    if len(content) > announced + _SPARE:
        raise ValueError(f"more than the {announced} bytes that its header announces; {AGAIN}")
    return content, about
