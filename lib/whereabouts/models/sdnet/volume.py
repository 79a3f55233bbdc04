"""How much left ventricle a slice shows, from its anatomy factor (Chartsias 2019, section 5.2)."""

from torch import Tensor, nn


class AreaRegressor(nn.Sequential):
    """Two 3x3 convolutions of 16 filters, a dense layer of 16 and one of 1, all with ReLU.

    The paper states no pooling between them; flattening 224 pixels would take 12.85 million weights. We average over
    the pixels: an area is a sum over pixels, so the average of local evidence is all that it takes. The last ReLU,
    as printed, has no gradient below 0: its bias starts at 1, a typical target.

    The paper regresses a number of pixels; the output has whatever unit its target has, best one near 1.
    """

    def __init__(self, channels: int = 8, filters: int = 16):
        super().__init__(
            nn.Conv2d(channels, filters, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(filters, filters, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(filters, filters),
            nn.ReLU(),
            nn.Linear(filters, 1),
            nn.ReLU(),
        )
        nn.init.ones_(self[-2].bias)

    def forward(self, s: Tensor) -> Tensor:
        """s (B, C, H, W) -> area (B,), in units of the target."""
        return super().forward(s)[:, 0]
