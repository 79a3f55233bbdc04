r"""The anatomy encoder $f_\text{anatomy}: x \mapsto s$ (Chartsias 2019, section 3.1.1), and the U-Net that it is.

The U-Net ends in a softmax over C channels, and each pixel is then made to take sides:
$s \mapsto \lfloor s + 0.5 \rfloor$. The gradient passes as if that step were not there (straight through).

The paper says that each pixel belongs to exactly one channel. Rounding each channel does not ensure it: where no
channel reaches one half, a pixel is in none. `one_hot` does ensure it; `soft` leaves the softmax as it is (Figure 3b).
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d

from whereabouts.models.unet import ConvBlock


def straight_through(soft: Tensor, hard: Tensor) -> Tensor:
    """`hard` forward, the gradient of `soft` backward (Bengio et al. 2013)."""
    return soft + (hard - soft).detach()


def rounded(s: Tensor) -> Tensor:
    """s (B, C, H, W) in [0, 1] -> 0 or 1 in each channel on its own: floor(s + 0.5)."""
    return straight_through(s, (s >= 0.5).to(s.dtype))


def one_hot(s: Tensor) -> Tensor:
    """s (B, C, H, W) in [0, 1] -> 1 in the largest channel of each pixel, the first of equals, 0 in the others."""
    return straight_through(s, torch.zeros_like(s).scatter_(1, s.argmax(1, keepdim=True), 1))


def soft(s: Tensor) -> Tensor:
    """s as it is."""
    return s


DISCRETE = {"round": rounded, "one_hot": one_hot, "soft": soft}


class Up(nn.Module):
    """Nearest neighbour x 2, convolution and batch normalisation without ReLU, the skip connection, two blocks."""

    def __init__(self, filters: int):
        super().__init__()
        self.up = nn.Sequential(nn.Conv2d(2 * filters, filters, 3, padding=1), nn.BatchNorm2d(filters))
        self.blocks = nn.Sequential(ConvBlock(2 * filters, filters), ConvBlock(filters, filters))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """x (B, 2F, H/2, W/2), skip (B, F, H, W) -> (B, F, H, W)."""
        return self.blocks(torch.cat([self.up(interpolate(x, scale_factor=2)), skip], dim=1))


class SegmentationUNet(nn.Module):
    """The U-Net that SDNet's anatomy encoder and the baselines share; with `outputs` = classes it is the baseline.

    Four stages down (max-pooling) and up; filters double at each. 34,526,344 parameters for 8 outputs and 64 filters.

    Args:
        outputs: channels of the last 1x1 convolution.
        filters: F, feature maps of the first stage; 64 in the paper.
    """

    def __init__(self, outputs: int, filters: int = 64):
        super().__init__()
        widths = [filters * 2**stage for stage in range(5)]
        self.down = nn.ModuleList(
            nn.Sequential(ConvBlock(a, b), ConvBlock(b, b)) for a, b in zip([1, *widths], widths, strict=False)
        )
        self.up = nn.ModuleList(Up(width) for width in widths[3::-1])
        self.head = nn.Conv2d(filters, outputs, 1)

    def forward(self, x: Tensor, facts: Tensor | None = None) -> Tensor:
        """x (B, 1, H, W), H and W multiples of 16 -> logits (B, outputs, H, W). Facts are not looked at."""
        skips = []
        for stage, block in enumerate(self.down):
            x = block(x if stage == 0 else max_pool2d(x, 2))
            skips.append(x)  # (B, F 2^stage, H/2^stage, W/2^stage)
        for block, skip in zip(self.up, skips[3::-1], strict=True):
            x = block(x, skip)
        return self.head(x)


class AnatomyEncoder(nn.Module):
    """x -> s.

    Args:
        channels: C.
        filters: of the U-Net's first stage.
        discrete: "round" (the paper), "one_hot" or "soft".

    Raises:
        ValueError: `discrete` is unknown.
    """

    def __init__(self, channels: int = 8, filters: int = 64, discrete: str = "round"):
        super().__init__()
        if discrete not in DISCRETE:
            raise ValueError(f"discrete={discrete!r}: unknown; choose one of {', '.join(DISCRETE)}")
        self.discrete = DISCRETE[discrete]
        self.unet = SegmentationUNet(channels, filters)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, 1, H, W) -> s (B, C, H, W), 0 or 1 unless "soft"."""
        return self.discrete(torch.softmax(self.unet(x).float(), dim=1))
