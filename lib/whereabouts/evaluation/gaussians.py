"""Where INSIDE layers look: their Gaussian maps for given facts, how far these spread, and how much they let pass."""

import numpy as np
import torch
from torch import Tensor, nn

from whereabouts.data.examples import Examples
from whereabouts.inference.slices import predict_logits
from whereabouts.layers import INSIDE
from whereabouts.layers.inside import gaussian


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
        (...), 0 for a single pixel, 1 for a uniform map. It says nothing of how much passes: see `amplitude`.
    """
    n = maps.shape[-1]
    x = np.arange(n)
    variance = 0
    for axis in (-1, -2):
        mass = maps.sum(axis=axis) / maps.sum(axis=(-1, -2))[..., None]  # (..., N), along the other axis
        mean = (mass * x).sum(-1)
        variance = variance + (mass * x**2).sum(-1) - mean**2
    return np.sqrt(np.maximum(variance, 0) / 2 / ((n**2 - 1) / 12))


def amplitude(maps: np.ndarray) -> np.ndarray:
    """How much of a feature map passes on average: the mean of (..., N, N) over pixels, (...), from 0, shut, to 1."""
    return maps.mean((-2, -1))


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


@torch.no_grad()
def six(layer: INSIDE, z: Tensor, channel: int, size: int) -> dict[str, float]:
    """The six numbers of equation 3 for one channel and z (1, K), named as in Figure 1; positions in [-1, 1].

    Args:
        layer: two-dimensional, with FiLM, one attention a channel.
        z: the facts.
        channel: which.
        size: pixels along an axis.
    """
    gamma_beta, mu, s = layer.parameters_of(z.to(next(layer.parameters()).device))
    gamma, beta = gamma_beta.chunk(2, dim=1)
    sigma = layer.width(s, size).abs()
    values = [layer.scale(gamma)[0], beta[0], mu[0, 0], sigma[0, 0], mu[1, 0], sigma[1, 0]]
    names = [r"$\gamma$", r"$\beta$", r"$\mu_h$", r"$\sigma_h$", r"$\mu_w$", r"$\sigma_w$"]
    return {name: value[channel].item() for name, value in zip(names, values, strict=True)}


@torch.no_grad()
def profiles(layer: INSIDE, z: Tensor, channel: int, size: int) -> list[np.ndarray]:
    """The Gaussian vectors a_h and a_w of one channel for z (1, K), each (size,)."""
    _, mu, s = layer.parameters_of(z.to(next(layer.parameters()).device))
    return [gaussian(mu[axis], layer.width(s[axis], size), size)[0, channel].cpu().numpy() for axis in (0, 1)]
