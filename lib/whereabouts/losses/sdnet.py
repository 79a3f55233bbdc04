r"""The costs of SDNet (Chartsias 2019, sections 3.1 to 3.3), whose sum, weighted, is its objective (section 4.2).

Masks are foreground channels, (B, L, H, W) in [0, 1]. Where the text's formula and its evident intention differ, the
intention is the default and the letter an option.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Weights:
    """lambda_1 to lambda_5 of section 4.2."""

    kl: float = 0.01
    segmentation: float = 10.0
    adversarial: float = 10.0
    reconstruction: float = 1.0
    z_reconstruction: float = 1.0


def foreground(logits: Tensor) -> Tensor:
    """Class logits (B, L + 1, H, W), background first -> masks (B, L, H, W)."""
    return torch.softmax(logits.float(), dim=1)[:, 1:]


def masks(labels: Tensor, classes: int) -> Tensor:
    """Labels (B, H, W) below `classes` -> masks (B, classes - 1, H, W), float32, 0 or 1."""
    return torch.stack([labels == c for c in range(1, classes)], dim=1).float()


def kl_divergence(mean: Tensor, log_var: Tensor) -> Tensor:
    r"""$L_{KL} = D_{KL}(N(\mu, \sigma^2) \| N(0, I))$, summed over the dimensions of (B, n_z), the mean over B."""
    return -0.5 * (1 + log_var - mean.square() - log_var.exp()).sum(1).mean()


def segmentation_loss(predicted: Tensor, drawn: Tensor, epsilon: float = 0.1, as_printed: bool = False) -> Tensor:
    r"""$L_{segm} = 1 - \overline{(2 \sum m \hat m + \epsilon) / (\sum m + \sum \hat m + \epsilon)}$, classes pooled.

    Args:
        predicted, drawn: masks (B, L, H, W).
        epsilon: in pixels; 0.1 as released.
        as_printed: with epsilon inside the factor 2, as in the paper's formula and code. An empty slice predicted
            empty then costs -1, less than a perfect slice that shows a heart.
    """
    overlap, total = (predicted * drawn).sum((1, 2, 3)), (predicted + drawn).sum((1, 2, 3))  # (B,)
    top = 2 * (overlap + epsilon) if as_printed else 2 * overlap + epsilon
    return 1 - (top / (total + epsilon)).mean()


def discriminator_loss(drawn: Tensor, predicted: Tensor) -> Tensor:
    """Least squares (Mao et al. 2018): scores (B, 1) of drawn masks towards 1, of predicted ones towards 0."""
    return (drawn - 1).square().mean() + predicted.square().mean()


def adversarial_loss(predicted: Tensor, as_printed: bool = False) -> Tensor:
    """What the segmentation network pays for scores (B, 1) of its masks: their distance from 1.

    The paper's formula has it maximise the squared score instead (`as_printed`), which has no bound.
    """
    return -predicted.square().mean() if as_printed else (predicted - 1).square().mean()


def absolute_error(a: Tensor, b: Tensor) -> Tensor:
    """L_rec and L_z_rec: the mean over all entries of |a - b|. (The paper writes a norm, the code takes the mean.)"""
    return (a - b).abs().mean()
