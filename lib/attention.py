"""Where INSIDE layers look: their Gaussian maps for given facts, and how far these spread."""

import numpy as np
import torch
from torch import Tensor, nn

from lib.data.examples import Examples
from lib.layers import INSIDE
from lib.training import predict_logits


def layers(model: nn.Module) -> list[INSIDE]:
    """The INSIDE layers of `model`, in the order in which the image passes them."""
    return [layer for layer in model.modules() if isinstance(layer, INSIDE)]


@torch.no_grad()
def maps(layer: INSIDE, z: Tensor, size: int) -> np.ndarray:
    """Gaussian maps for facts z (B, K) on a grid of size x size: (B, C, size, size)."""
    return layer.attention(z.to(next(layer.parameters()).device), (size, size)).cpu().numpy()


def spread(maps: np.ndarray) -> np.ndarray:
    r"""Standard deviation of a map's mass along an axis, over that of a map that is the same everywhere.

    Both axes count alike: $\sqrt{(\mathrm{var}_h + \mathrm{var}_w) / 2}$ in pixels, divided by $\sqrt{(N^2 - 1)/12}$.

    Args:
        maps: (..., N, N), not negative, not all zero.

    Returns:
        (...), 0 for a single pixel, 1 for a uniform map.
    """
    n = maps.shape[-1]
    x = np.arange(n)
    variance = 0
    for axis in (-1, -2):
        mass = maps.sum(axis=axis) / maps.sum(axis=(-1, -2))[..., None]  # (..., N), along the other axis
        mean = (mass * x).sum(-1)
        variance = variance + (mass * x**2).sum(-1) - mean**2
    return np.sqrt(np.maximum(variance, 0) / 2 / ((n**2 - 1) / 12))


@torch.no_grad()
def around(model: nn.Module, layer: INSIDE, examples: Examples) -> tuple[np.ndarray, np.ndarray]:
    """What goes into `layer` and what comes out of it when `model` sees `examples`, both (N, C, h, w)."""
    seen = {}
    handle = layer.register_forward_hook(lambda _, inputs, output: seen.update(before=inputs[0], after=output))
    try:
        predict_logits(model, examples, batch=len(examples))
    finally:
        handle.remove()
    return seen["before"].float().cpu().numpy(), seen["after"].float().cpu().numpy()
