"""The positional-encoding chapter: degrading the test images, against the loop over images that one writes first."""

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from whereabouts.evaluation.degradations import KINDS, PAPER
from whereabouts.evaluation.timing import seconds
from whereabouts.inference.device import keep_freed_memory

IMAGES, SIZE, BATCH = 100, 256, 10


def ours(images: torch.Tensor) -> None:
    """All levels of all three kinds, sampling included, in the batches in which a network is shown them."""
    rng = torch.Generator().manual_seed(0)
    for batch in images.split(BATCH):
        for kind in (KINDS[name] for name in PAPER):
            field = kind.sample(batch, rng)
            for level in kind.levels:
                kind.apply(batch, field, level)


def plain(images: np.ndarray) -> None:
    """The formulas of Hendrycks & Dietterich's code, image by image with NumPy and SciPy."""
    rng = np.random.default_rng(0)
    for image in images:
        for sd in KINDS["gaussian_noise"].levels:
            np.clip(image + rng.normal(size=image.shape, scale=sd), 0, 1)
        for c in KINDS["shot_noise"].levels:
            np.clip(rng.poisson(image * c) / c, 0, 1)
        for sigma in KINDS["blur"].levels:
            np.clip(gaussian_filter(image, sigma, mode="nearest", truncate=4.0), 0, 1)


def benchmarks() -> list[tuple[str, float, str, bool]]:
    """Name, ratio, target, whether it is met."""
    keep_freed_memory()  # as training and evaluation do; the plain loop profits too
    smooth = gaussian_filter(np.random.default_rng(0).random((IMAGES, SIZE, SIZE), dtype=np.float32), (0, 4, 4))
    smooth = (smooth - smooth.min()) / np.ptp(smooth)  # all intensities from 0 to 1, in float32 for both
    images = torch.from_numpy(smooth)[:, None]
    fast, slow = seconds(lambda: ours(images), lambda: plain(smooth))
    return [("15 degradations, images/s over a NumPy loop's", slow / fast, ">= 10", slow / fast >= 10)]
