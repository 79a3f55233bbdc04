r"""What Murase 2020 does to test images (section 2.3): Gaussian noise, shot noise and blur at five levels each; shifts.

The formulas and lists are those of Tiny-ImageNet-C (Hendrycks & Dietterich 2019). Each kind is a pair: `sample` draws
what is random, `apply` is pure. One sampled field serves all levels, so that a curve over levels follows one
realisation. The order is degrade, clip, normalise; normalising is the caller's.

On a CPU feed batches of 10 to 20 images of 256 x 256: larger ones fall out of the cache.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from scipy.special import ndtri, pdtr
from torch import Generator, Tensor

from whereabouts.errors import InputError


def _check(images: Tensor, level: float, name: str, inside: bool, domain: str) -> None:
    """Raise `InputError` unless the level is `inside` its domain, `ValueError` unless the images are in [0, 1]."""
    if not (math.isfinite(level) and inside):
        raise InputError(f"{name} = {level}: outside its domain; give a finite number {domain}")
    if not images.is_floating_point():
        raise ValueError(f"images are {images.dtype}; scale them to floating point numbers in [0, 1] first")
    low, high = (bound.item() for bound in images.aminmax())
    if not (low >= 0 and high <= 1):  # so written, NaN is refused too
        raise ValueError(f"images run from {low:g} to {high:g}; scale them to [0, 1] first and normalise afterwards")


# ------------------------------------------------------------------------------------------------------ Gaussian noise


def sample_gaussian(images: Tensor, rng: Generator) -> Tensor:
    """Standard normal field (N, C, H, W) for images of that shape.

    Args:
        rng: on the device of the images; drawn from image by image, so that the size of batches does not matter.
    """
    field = torch.empty(images.shape, device=images.device)
    for image in field:
        image.normal_(generator=rng)
    return field


def gaussian_noise(images: Tensor, field: Tensor, sd: float) -> Tensor:
    r"""$\text{clip}(x + \sigma n)$.

    Args:
        images: (N, C, H, W), in [0, 1].
        field: from `sample_gaussian`.
        sd: sigma >= 0, in units of the range of intensities.

    Returns:
        (N, C, H, W), in [0, 1].
    """
    _check(images, sd, "gaussian noise sd", sd >= 0, ">= 0")
    return torch.add(images, field, alpha=sd).clamp_(0, 1)


# ---------------------------------------------------------------------------------------------------------- shot noise
#
# How to count photons fast. A Poisson count of mean m is a staircase over a standard normal number z: it is the number
# of thresholds z_0 < z_1 < .. below z, where P(count <= k) = Phi(z_k). This inverts the distribution function, as
# usual, but reads it through a normal number instead of a uniform one, which resolves the tails too. All doses c share
# z: a pixel that is lucky at one dose is lucky at all, and never loses a photon when there is more light.
#
# The staircases are tabulated. Rows are means m = (i / DENSITY)^2, because the square root of a count has the same
# spread, 1/2, at every mean (Anscombe 1948). Columns are cells of z, so narrow that none holds two thresholds. Where
# the count steps from k to k + 1 at the fraction t of a cell, the table says k + 1 - t. The count is the integer part
# of this plus the fraction of the cell at which z lies: k before the threshold, k + 1 behind it; z is never rounded.
#
# A mean between two rows takes one of them at random, the nearer more often, so that the mean is exact. The price is a
# variance too large by a factor of at most 1 + 1/DENSITY^2; in total variation the distribution is off by below 1e-4.

DENSITY = 64  # rows to a unit of sqrt(mean)
CELL, CELLS = 1 / 20, 256  # of z, from -6.4 to 6.4; a step is at least 1 / (sqrt(mean) + 6.4/3) of z wide
BRIGHTEST = 256  # the largest mean in the table


@cache
def _staircases(device: torch.device) -> Tensor:
    """The table described above, (rows * CELLS,), float32: thresholds up to the end of each cell, its own as 1 - t."""
    means = (np.arange(DENSITY * math.isqrt(BRIGHTEST) + 2) / DENSITY) ** 2
    counts = np.arange(BRIGHTEST + 9 * math.isqrt(BRIGHTEST))
    z = ndtri(pdtr(counts, means[:, None]))  # thresholds, (rows, counts)
    place = np.clip(z / CELL + CELLS / 2, 0, CELLS)
    cell = place.astype(int)
    step = (place - cell).ravel()  # t
    index = (cell + (CELLS + 2) * np.arange(len(means))[:, None]).ravel()
    size = len(means) * (CELLS + 2)  # two columns more for what lies beyond the last cell
    steps = np.bincount(index, 1 - step, size) + np.bincount(index + 1, step, size)
    table = steps.reshape(len(means), -1).cumsum(1)[:, :CELLS]
    return torch.from_numpy(table.astype(np.float32)).flatten().to(device)


def sample_shot(images: Tensor, rng: Generator) -> Tensor:
    """Where z lies, and what chooses between rows, for images (N, C, H, W): (3, N, C, H, W).

    These are the cell of z, the fraction of it, and a dither in [0, 1): a random number for each image plus multiples
    of the golden ratio, modulo 1, thus uniform at each pixel and evenly spread over neighbours.

    Args:
        rng: on the device of the images; drawn from image by image, so that the size of batches does not matter.
    """
    golden = torch.arange(images[0].numel(), device=images.device, dtype=torch.float64).mul_((5**0.5 - 1) / 2).frac_()
    golden = golden.float().view(images.shape[1:])
    cell, z, dither = field = torch.empty((3, *images.shape), device=images.device)
    for number in range(len(images)):
        z[number].normal_(generator=rng)
        torch.add(golden, torch.rand(1, generator=rng, device=images.device), out=dither[number])
    place = z.div_(CELL).add_(CELLS / 2).clamp_(0, CELLS - 2**-16)
    place.sub_(torch.floor(place, out=cell))
    dither.frac_()
    return field


def shot_noise(images: Tensor, field: Tensor, c: float) -> Tensor:
    r"""$\text{clip}(\text{Poisson}(cx)/c)$; see above for how, and how exactly.

    Args:
        images: (N, C, H, W), in [0, 1].
        field: from `sample_shot`.
        c: photons that a pixel of intensity 1 catches on average, 0 < c <= 256.

    Returns:
        (N, C, H, W), in [0, 1].
    """
    _check(images, c, "shot noise c", 0 < c <= BRIGHTEST, f"above 0 and at most {BRIGHTEST}")
    cell, fraction, v = field
    # with q = DENSITY^2 m between i^2 and (i + 1)^2, the row is i + 1 with probability (q - i^2) / (2i + 1), else i
    q = images * (c * DENSITY**2)
    row = q.sub_(v).addcmul_(v, v).relu_().sqrt_().add_(v).floor_()
    index = row.mul_(CELLS).add_(cell).int().flatten()
    steps = _staircases(images.device).index_select(0, index).view_as(images)
    return steps.add_(fraction).floor_().div_(c).clamp_(max=1)


# ---------------------------------------------------------------------------------------------------------------- blur


@cache
def _gaussian(sigma: float) -> list[float]:
    """SciPy's weights at distance 0, 1, .. from the centre, up to 4 sigma: its filter of a single bright pixel."""
    radius = int(4 * sigma + 0.5)
    return gaussian_filter(np.eye(1, 2 * radius + 1, radius)[0], sigma, mode="constant")[radius:].tolist()


def _along(images: Tensor, weights: list[float], axis: int) -> Tensor:
    """Images (N, C, H, W) filtered along axis -2 or -1 with symmetric weights; beyond the edge its pixels repeat."""
    radius, size = len(weights) - 1, images.shape[axis]
    margins = (radius, radius, 0, 0) if axis == -1 else (0, 0, radius, radius)
    padded = F.pad(images, margins, mode="replicate")
    result = padded.narrow(axis, radius, size) * weights[0]
    for distance, weight in enumerate(weights[1:], 1):
        result.add_(padded.narrow(axis, radius - distance, size), alpha=weight)
        result.add_(padded.narrow(axis, radius + distance, size), alpha=weight)
    return result


def gaussian_blur(images: Tensor, field: None, sigma: float) -> Tensor:
    """`scipy.ndimage.gaussian_filter(image, sigma, mode="nearest", truncate=4)`, scikit-image's `gaussian`.

    Args:
        images: (N, C, H, W), in [0, 1].
        field: None; nothing is random.
        sigma: in pixels, >= 0.

    Returns:
        (N, C, H, W), in [0, 1].
    """
    _check(images, sigma, "blur sigma", sigma >= 0, ">= 0")
    weights = _gaussian(sigma)
    return _along(_along(images, weights, -2), weights, -1).clamp_(0, 1)


# ---------------------------------------------------------------------------------------------------------------- table


@dataclass(frozen=True)
class Degradation:
    """One kind of damage.

    Args:
        name: as printed.
        symbol: of a level, as printed.
        levels: from least to most damage.
        sample: (images, rng) -> field, or None where nothing is random.
        apply: (images, field, level) -> images.
    """

    name: str
    symbol: str
    levels: tuple[float, ...]
    sample: Callable[[Tensor, Generator], Tensor | None]
    apply: Callable[[Tensor, Tensor | None, float], Tensor]


def nothing(images: Tensor, rng: Generator) -> None:
    """The field of a degradation that is not random."""


NOISE = (0.04, 0.08, 0.12, 0.15, 0.18)
KINDS = {
    "gaussian_noise": Degradation("Gaussian noise", r"$\sigma$", NOISE, sample_gaussian, gaussian_noise),
    # the paper lists these backwards
    "shot_noise": Degradation("shot noise", "$c$", (250, 100, 50, 30, 15), sample_shot, shot_noise),
    "blur": Degradation("Gaussian blur", r"$\sigma$ [px]", (0.5, 0.75, 1, 1.25, 1.5), nothing, gaussian_blur),
    # the paper prints the list of the noise once more; of these sigmas none changes an image that one could see
    "blur_printed": Degradation("Gaussian blur as printed", r"$\sigma$ [px]", NOISE, nothing, gaussian_blur),
}
PAPER = ("gaussian_noise", "blur", "shot_noise")  # the three that are compared, in the order of the figures


# --------------------------------------------------------------------------------------------------------------- shift


def shift(images: Tensor, pixels: int, fill: float = 0.0) -> Tensor:
    """Images or labels (..., H, W), of any type, moved to the viewer's right; `fill` where nothing comes in.

    Args:
        pixels: along W, across the image as it is seen; negative moves left; from W on, nothing but `fill` remains.
    """
    width = images.shape[-1]
    kept = max(width - abs(pixels), 0)
    left, right = images.narrow(-1, 0, kept), images.narrow(-1, width - kept, kept)
    result = torch.full_like(images, fill)
    if pixels < 0:
        result.narrow(-1, 0, kept).copy_(right)
    else:
        result.narrow(-1, width - kept, kept).copy_(left)
    return result
