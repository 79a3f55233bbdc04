"""In-plane preparation of volumes (H, W, D): resampling, scaling, cutting to size."""

import math

import numpy as np
from scipy import ndimage

from whereabouts.errors import InputError
from whereabouts.formats import limits


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
