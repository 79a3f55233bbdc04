"""Volumes (H, W, D), a stack of D slices: reading NIfTI with its faults named, and in-plane preparation."""

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
from scipy import ndimage

from lib import paths
from lib.data import header, labels, limits
from lib.data.header import Header
from lib.errors import InputError

AGAIN = "copy or unpack it again"
TOLERANCE = 1e-3  # mm, between two grids

_DEFLATE = 1032  # bytes that one byte of deflate can stand for; whoever announces more has not stored it
_SPARE = 2**20  # bytes behind the voxels that are let pass
_LARGEST = float(np.finfo(np.float32).max)  # voxels become float32


@dataclass(frozen=True)
class Nifti:
    """One file's voxels and grid.

    Args:
        array: (H, W, D) or (H, W, D, T), the stored type, or float64 where the header scales the values.
        spacing: (3,) mm, along H, W, D, by the rule of `lib.data.header`.
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
            (`lib.data.header`).
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
        problems.append(f"{paths.shown(path)}: has {nifti.array.ndim} axes where {axes} are expected; {AGAIN}")
        return None
    return nifti


def image_faults(image: Nifti | None, path: Path) -> list[str]:
    """What is wrong with an image's intensities, if it could be read at all."""
    if image and not all_finite(image.array):
        return [f"{paths.shown(path)}: has NaN or infinite voxels; {AGAIN}"]
    if image and np.equal(*np.percentile(image.array, (5, 95))):
        return [f"{paths.shown(path)}: constant from its 5th to its 95th percentile; {AGAIN}"]
    return []


def read_frame(image_path: Path | None, truth_path: Path | None, problems: list[str]) -> Nifti | None:
    """The image of one frame of a heart, checked as its labels are, each alone and together; adds to `problems`."""
    image, truth = (try_read(path, 3, problems, limits.FRAME_VOXELS) for path in (image_path, truth_path))
    problems += image_faults(image, image_path)
    problems += labels.faults(truth and truth.array, truth_path, range(4), "0, 1, 2 and 3")
    if image and truth:
        difference = grid_difference(image, truth)
        if difference:
            problems.append(f"{paths.shown(truth_path)}: {difference} differs from its image's; {AGAIN}")
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
    about = header.parse(stream.read(header.BYTES), grid)
    announced = max(about.begin, header.BYTES) + about.size
    if (count := math.prod(about.shape)) > most:
        raise ValueError(f"{count:,} voxels, more than the {most:,} that are read; leave it out or cut it")
    if announced > possible:
        raise ValueError(f"truncated: {possible} of {announced} bytes at most; {AGAIN}")
    stream.seek(0)
    content = stream.read(announced + _SPARE + 1)
    behind = len(content) - about.size  # where the voxels begin if they end with the file
    if about.begin < header.BEGINS and behind in (header.BYTES, header.BEGINS):
        about = replace(about, begin=behind)
        announced = len(content)
    elif about.begin < header.BEGINS or behind == header.BEGINS < about.begin:
        text = f"voxels are said to begin at byte {about.begin} (vox_offset), {behind} bytes of the file are not voxels"
        raise ValueError(f"{text}; correct vox_offset")
    if len(content) < announced:
        raise ValueError(f"truncated: {len(content)} of {announced} bytes; {AGAIN}")
    if len(content) > announced + _SPARE:
        raise ValueError(f"more than the {announced} bytes that its header announces; {AGAIN}")
    return content, about


def resize_in_plane(volume: np.ndarray, shape: tuple[int, int], order: int) -> np.ndarray:
    """Interpolate each slice onto another number of pixels over the same field of view.

    Pixels are areas, not points (`grid_mode`), so the outer edges of the field of view stay where they are and every
    position in mm is kept. Samples in the outer half pixel take the edge's value (`nearest`): no dark rim appears.
    There is no smoothing before a reduction, as in SDNet's code.

    Args:
        volume: (H, W, D).
        shape: (H', W') to reach.
        order: 1, linear, for images; 0, nearest neighbour, for labels.

    Returns:
        (H', W', D), of the volume's type.
    """
    factors = (shape[0] / volume.shape[0], shape[1] / volume.shape[1])
    slices = [
        ndimage.zoom(volume[:, :, index], factors, order=order, mode="nearest", grid_mode=True)
        for index in range(volume.shape[2])
    ]
    return np.stack(slices, axis=2)  # (H', W', D)


def resampled_shape(shape: tuple[int, ...], spacing: np.ndarray, target: float) -> tuple[int, int]:
    """Whole numbers of pixels, at least 1, that make a field of view's pixels about `target` mm.

    They measure H * spacing[0] / H' mm, and W * spacing[1] / W' mm.

    Args:
        shape: (H, W, ...).
        spacing: (2,) mm, along H and W.
        target: mm.

    Raises:
        InputError: more voxels in all than a stack of slices may have.
    """
    pixels = [length * float(step) / target for length, step in zip(shape[:2], spacing, strict=True)]
    check_grid((*pixels, *shape[2:]), f"{spacing[0]:g} x {spacing[1]:g}", target)
    return tuple(max(1, round(number)) for number in pixels)


def check_grid(shape: tuple[float, ...], spacing: str, target: float) -> None:
    """InputError if a volume that is to be interpolated to `shape` would be larger than what is allowed.

    Args:
        shape: in voxels, not yet rounded.
        spacing: of the voxels now, mm, as it is printed.
        target: mm.
    """
    if not math.prod(max(1, number) for number in shape) <= limits.GRID_VOXELS:
        becomes = " x ".join(f"{number:.4g}" for number in shape)
        text = f"{becomes} voxels at {target:g} mm, more than {limits.GRID_VOXELS:,} in all"
        raise InputError(f"voxels of {spacing} mm: become {text}; choose a coarser spacing or correct the header")


def resample_in_plane(volume: np.ndarray, spacing: np.ndarray, target: float, order: int) -> np.ndarray:
    """Interpolate each slice to square pixels of `target` mm; the distance between slices is left alone.

    The field of view is kept and the number of pixels is whole, so the pixels that result measure
    H * spacing / round(H * spacing / target) mm, within half a pixel over the whole field of view of `target`.

    Args:
        volume: (H, W, D).
        spacing: (2,) mm, along H and W.
        target: mm.
        order: 1, linear, for images; 0, nearest neighbour, for labels.

    Returns:
        (H', W', D) with H' = round(H * spacing[0] / target), at least 1; W' likewise.
    """
    return resize_in_plane(volume, resampled_shape(volume.shape, spacing, target), order)


def centre_crop_or_pad(volume: np.ndarray, size: int, fill: float) -> np.ndarray:
    """Cut or fill the first two axes to `size`, each on its own, so that pixel n // 2 becomes pixel size // 2.

    The rule depends on the shape only: an image and its labels stay aligned whatever is odd or even, and padding
    followed by cropping to the old size gives the volume back.

    Args:
        volume: (H, W, ...).
        size: pixels.
        fill: value of the pixels that are added.

    Returns:
        (size, size, ...), a copy.
    """
    result = np.full((size, size, *volume.shape[2:]), fill, dtype=volume.dtype)
    source, target = [], []
    for length in volume.shape[:2]:
        shift = size // 2 - length // 2  # pixel i of the volume becomes pixel i + shift
        first, last = max(0, -shift), min(length, size - shift)
        source.append(slice(first, last))
        target.append(slice(first + shift, last + shift))
    result[tuple(target)] = volume[tuple(source)]
    return result


def clip_and_scale(volume: np.ndarray, percentiles: tuple[float, float] = (5, 95)) -> np.ndarray:
    """Clip to two percentiles of the whole volume and map them to 0 and 1 (INSIDE, section 4.2).

    Args:
        volume: any shape, finite.
        percentiles: lower and upper, in percent.

    Returns:
        float32 of the same shape, within [0, 1]; zeros where both percentiles are equal, as there is no contrast.
    """
    low, high = np.percentile(volume, percentiles)
    if low == high:
        return np.zeros(volume.shape, np.float32)
    return ((np.clip(volume, low, high) - low) / (high - low)).astype(np.float32)


def image_slices(
    volume: np.ndarray, shape: tuple[int, int], side: int, percentiles: tuple[float, float] = (5, 95)
) -> np.ndarray:
    """Slices of an image for a network: interpolated to `shape`, clipped and scaled together, cut or filled with 0.

    Args:
        volume: (H, W, S); the frames of a study, one after another, where they share one scale.
        shape: (H', W'), as `resampled_shape` gives it.
        side: pixels of the result.
        percentiles: of the interpolated volume, which become 0 and 1.

    Returns:
        (S, side, side) float32 in [0, 1].
    """
    volume = clip_and_scale(resize_in_plane(volume, shape, order=1), percentiles)
    return np.ascontiguousarray(centre_crop_or_pad(volume, side, fill=0).transpose(2, 0, 1))


def label_slices(volume: np.ndarray, shape: tuple[int, int], side: int) -> np.ndarray:
    """Labels, (S, side, side) of the volume's type, over the pixels of `image_slices`; 0 beyond the volume."""
    return centre_crop_or_pad(resize_in_plane(volume, shape, order=0), side, fill=0).transpose(2, 0, 1)
