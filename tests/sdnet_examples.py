"""Synthetic slices for the trainings of the SDNet chapter, labelled, unlabelled and for validation."""

import numpy as np

from whereabouts.data.examples import Examples
from whereabouts.losses.sdnet import Weights

WEIGHTS = Weights(kl=0.5, segmentation=7.0, adversarial=3.0, reconstruction=2.0, z_reconstruction=1.5)


def examples(n, seed):
    """Synthetic slices of 32 pixels in which each of four classes has its own intensity."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, (n, 4, 4)).repeat(8, 1).repeat(8, 2)
    images = (labels / 2 - 0.75 + rng.normal(0, 0.1, labels.shape)).clip(-1, 1).astype(np.float32)
    return Examples.of(images, labels, np.zeros((n, 1)), np.arange(n) // 2)


LABELLED, UNLABELLED, DRAWN, VALIDATION = (examples(n, seed) for seed, n in enumerate((5, 7, 4, 4)))
