r"""The segmentor $h: s \mapsto m$ (Chartsias 2019, section 3.2)."""

from torch import Tensor, nn

from whereabouts.models.sdnet.keras import SLOPE


class Segmentor(nn.Sequential):
    """Two 3x3 convolutions and a 1x1. 42,116 parameters for C = 8, 64 filters and four classes.

    The released code has the background last, ours first, as everywhere in the compendium.

    Args:
        channels: C of the anatomy factor.
        classes: with the background.
        filters: of the 3x3 convolutions; 64 in the paper.
    """

    def __init__(self, channels: int = 8, classes: int = 4, filters: int = 64):
        layers, width = [], channels
        for _ in range(2):
            layers += [nn.Conv2d(width, filters, 3, padding=1), nn.BatchNorm2d(filters), nn.LeakyReLU(SLOPE)]
            width = filters
        super().__init__(*layers, nn.Conv2d(filters, classes, 1))

    def forward(self, s: Tensor) -> Tensor:
        """s (B, C, H, W) -> class logits (B, classes, H, W), background first."""
        return super().forward(s)
