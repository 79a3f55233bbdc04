"""Volumes (H, W, D), a stack of D slices: reading NIfTI with its faults named, and in-plane preparation."""

import gzip
import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from scipy import ndimage

from lib import paths
from lib.errors import InputError

AGAIN = "copy or unpack it again"
HEADER_BYTES = 348  # NIfTI-1
TOLERANCE = 1e-3  # mm, between two grids

_DEFLATE = 1032  # bytes that one byte of deflate can stand for; whoever announces more has not stored it
_SPARE = 2**20  # bytes behind the voxels that are let pass
_LARGEST = float(np.finfo(np.float32).max)  # voxels become float32


@dataclass(frozen=True)
class Nifti:
    """One file's voxels and grid.

    Args:
        array: (H, W, D) or (H, W, D, T), the stored type, or float64 where the header scales the values.
        spacing: (3,) mm, along H, W, D.
        affines: those that the header declares, "qform" and "sform", each (4, 4), voxel to mm.
    """

    array: np.ndarray
    spacing: np.ndarray
    affines: dict[str, np.ndarray]


def read_nifti(path: Path) -> Nifti:
    """Read a `.nii.gz` file whole, its checksum included.

    The header is inspected before nibabel interprets it, because nibabel repairs some faults quietly (it takes the
    absolute value of a negative spacing), and before the voxels are unpacked, which are no more than it announces.
    Single trailing axes beyond the third are dropped.

    Raises:
        InputError: missing, empty, truncated, not gzip, not NIfTI-1, fewer than three axes, spacing not positive, or
            unpacked of another size than the header announces.
    """
    name = paths.shown(path)
    try:
        content = _unpack(Path(path))
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise InputError(f"{name}: truncated, damaged or not gzip; {AGAIN}") from None
    except OSError as fault:
        raise InputError(f"{name}: cannot be read ({fault.strerror}); {AGAIN}") from None
    except (HeaderDataError, OverflowError, ValueError) as fault:
        raise InputError(f"{name}: {fault}; {AGAIN}") from None
    try:
        with np.errstate(all="ignore"):  # NaN and overflow in voxels or affines are for the caller to judge
            image = nib.Nifti1Image.from_bytes(content)
            array = np.asanyarray(image.dataobj)
            affines = {"qform": image.get_qform(coded=True)[0], "sform": image.get_sform(coded=True)[0]}
    except (ImageFileError, HeaderDataError, OSError, OverflowError, ValueError) as fault:
        raise InputError(f"{name}: {fault}; {AGAIN}") from None
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    spacing = image.header["pixdim"][1:4].astype(np.float64)
    return Nifti(array, spacing, {kind: affine for kind, affine in affines.items() if affine is not None})


def try_read(path: Path | None, axes: int, problems: list[str]) -> Nifti | None:
    """The file's content, or None where there is no such file or it has not that many axes; adds to `problems`."""
    if path is None:
        return None
    try:
        nifti = read_nifti(path)
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
    image, truth = (try_read(path, 3, problems) for path in (image_path, truth_path))
    problems += image_faults(image, image_path)
    if truth and not np.isin(truth.array, range(4)).all():
        problems.append(f"{paths.shown(truth_path)}: has labels other than 0, 1, 2 and 3; {AGAIN}")
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


def _unpack(path: Path) -> bytes:
    """The file, unpacked to its end; ValueError, saying what is wrong, unless it holds what its header announces.

    Room is made for no more than the file can hold, so what a header announces cannot take memory.
    """
    with gzip.open(path) as file:
        announced = _announced(file.read(HEADER_BYTES))
        possible = _DEFLATE * path.stat().st_size
        if announced > possible:
            raise ValueError(f"truncated: {possible} of {announced} bytes at most")
        file.seek(0)
        content = file.read(announced + _SPARE + 1)
    if len(content) < announced:
        raise ValueError(f"truncated: {len(content)} of {announced} bytes")
    if len(content) > announced + _SPARE:
        raise ValueError(f"more than the {announced} bytes that its header announces")
    return content


def _announced(content: bytes) -> int:
    """Bytes of the file that this header begins; ValueError, saying what is wrong, unless it is sound."""
    if not content:
        raise ValueError("empty")
    if len(content) < HEADER_BYTES:
        raise ValueError(f"truncated: {len(content)} bytes do not hold a NIfTI-1 header")
    header = nib.Nifti1Header(content[:HEADER_BYTES], check=False)
    if header["sizeof_hdr"] != HEADER_BYTES or header["magic"].item() != b"n+1":
        raise ValueError("not a NIfTI-1 file")
    axes = int(header["dim"][0])
    shape = [int(length) for length in header["dim"][1 : axes + 1]]
    if not 3 <= axes <= 7:
        raise ValueError(f"has {axes} axes where a volume has 3")
    if min(shape) < 1:
        raise ValueError(f"has an axis without voxels, shape {shape}")
    code = int(header["datatype"])
    dtype = header.get_data_dtype() if code in nib.nifti1.data_type_codes.dtype else None
    if dtype is None or dtype.kind not in "iuf":
        raise ValueError(f"voxels are of type {dtype or code} where integers or floats are expected")
    spacing = header["pixdim"][1:4]
    if not (np.isfinite(spacing) & (spacing > 0)).all():
        raise ValueError(f"spacing {[float(length) for length in spacing]} mm is not positive and finite")
    return max(HEADER_BYTES, int(header["vox_offset"]) + math.prod(shape) * dtype.itemsize)


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
    """
    return tuple(max(1, round(length * step / target)) for length, step in zip(shape[:2], spacing, strict=True))


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
