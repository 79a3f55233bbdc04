r"""Positional encoding: the image's own coordinates as further channels of the input (Murase 2020, section 2.1).

$I_1(i, j) = \lambda\, i / (W - 1)$ and $I_2(i, j) = \lambda\, j / (H - 1)$ (equations 1a and 1b). They are not
normalised with the image: $\lambda$ says how much position counts beside intensity, whose variance is about 1.
"""

import math

import torch
from torch import Tensor, nn


def coordinates(size: tuple[int, ...], scale: float) -> Tensor:
    r"""$I_1, I_2$ and, in 3D, $I_3 = \lambda\, k / (D - 1)$.

    Args:
        size: (H, W) or (H, W, D), in pixels. An axis of one pixel has the coordinate 0.
        scale: lambda; the coordinates run from 0 to lambda.

    Returns:
        (2, H, W) or (3, H, W, D), float32: first across (along W), then down (along H), then along D.
    """
    down, across, *deep = torch.meshgrid(*(_axis(n, scale) for n in size), indexing="ij")
    return torch.stack([across, down, *deep])


def _axis(n: int, scale: float) -> Tensor:
    """The coordinates of n pixels, (n,)."""
    if n == 1:
        return torch.zeros(1)
    if torch.compiler.is_exporting():  # linspace would make one n of all; the same but for the last bits
        return torch.arange(n) * scale / (n - 1)
    return torch.linspace(0, scale, n)


class Position(nn.Module):
    """Appends the coordinates to an image; without parameters.

    Args:
        scale: lambda; 0 appends nothing, the network "without PE". In the paper 1, 10 and 256.

    Raises:
        ValueError: `scale` is negative or not finite.
    """

    def __init__(self, scale: float):
        super().__init__()
        if not (math.isfinite(scale) and scale >= 0):
            raise ValueError(f"scale={scale}: lambda must be finite and >= 0; 0 is no positional encoding")
        self.scale = scale

    def channels(self, axes: int = 2) -> int:
        """How many channels are appended to an image with `axes` spatial axes."""
        return axes if self.scale else 0

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) -> (B, C + 2, H, W), or x (B, C, H, W, D) -> (B, C + 3, H, W, D)."""
        if not self.scale:
            return x
        place = coordinates(x.shape[2:], self.scale).to(x)  # (axes, H, W, ..)
        return torch.cat([x, place.expand(x.shape[0], *place.shape)], dim=1)


class WithPosition(nn.Module):
    """Any network of the compendium, shown the coordinates beside the image.

    Args:
        network: built for C + `Position(scale).channels(axes)` input channels.
        scale: lambda, see `Position`.
    """

    def __init__(self, network: nn.Module, scale: float):
        super().__init__()
        self.position, self.network = Position(scale), network

    def forward(self, x: Tensor, *facts: Tensor) -> Tensor:
        """x (B, C, H, W) or (B, C, H, W, D), and what else the network is given -> what the network returns."""
        return self.network(self.position(x), *facts)
