r"""The decoder $g: s, z \mapsto y$ (Chartsias 2019, section 3.3): s says what is where, z how it is painted.

Four residual layers, each steered by z through the compendium's own FiLM layer, gamma x + beta. The vector z reaches
every pixel alike, so that it cannot say where anything is. Beyond the paper: INSIDE in FiLM's place, with which z may
also choose a region.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from whereabouts.layers import INSIDE, FiLM
from whereabouts.models.sdnet.keras import SLOPE


def film(channels: int, dimensions: int) -> FiLM:
    """FiLM whose gamma and beta come from two dense layers, as in Figure 2."""
    predictor = nn.Sequential(
        nn.Linear(dimensions, 2 * channels), nn.LeakyReLU(SLOPE), nn.Linear(2 * channels, 2 * channels)
    )
    return FiLM(channels, dimensions, predictor=predictor)


MODULATIONS = {
    "film": film,
    "inside": lambda channels, dimensions: INSIDE(channels, dimensions, hidden=2 * channels),
}


class Residual(nn.Module):
    """l + LReLU(modulated conv(l)), where l = LReLU(conv(x))."""

    def __init__(self, channels: int, modulation: nn.Module):
        super().__init__()
        self.first, self.second = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.modulation = modulation

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """x (B, C, H, W), z (B, n_z) -> (B, C, H, W)."""
        x = leaky_relu(self.first(x), SLOPE)
        return x + leaky_relu(self.modulation(self.second(x), z), SLOPE)


class Decoder(nn.Module):
    """6,409 parameters at C = 8 and n_z = 8 with FiLM.

    Args:
        channels: C, of s and of every layer.
        dimensions: n_z.
        modulation: "film" (the paper) or "inside".

    Raises:
        ValueError: `modulation` is unknown.
    """

    def __init__(self, channels: int = 8, dimensions: int = 8, modulation: str = "film"):
        super().__init__()
        if modulation not in MODULATIONS:
            raise ValueError(f"modulation={modulation!r}: unknown; choose one of {', '.join(MODULATIONS)}")
        make = MODULATIONS[modulation]
        self.layers = nn.ModuleList(Residual(channels, make(channels, dimensions)) for _ in range(4))
        self.last = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, s: Tensor, z: Tensor) -> Tensor:
        """s (B, C, H, W), z (B, n_z) -> y (B, 1, H, W) in [-1, 1]."""
        for layer in self.layers:
            s = layer(s, z)
        return torch.tanh(self.last(s))
