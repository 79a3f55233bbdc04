"""The U-Net of the positional-encoding paper (Murase 2020, Table 3), and the small network of its Table 4."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d

from whereabouts.models.unet import ConvBlock


class BilinearUNet(nn.Module):
    """Four down- and four up-sampling stages; up-sampling is bilinear and has no weights.

    13,394,372 parameters with one input channel, 13,395,524 with three. Table 3 lists no ReLU, which is implied, and
    prints 64 channels at pool4, which must be 512.

    Args:
        inputs: channels of the image and its coordinates.
        classes: classes with the background.
        filters: F, feature maps of the first stage; 64 in the paper.
        padding: of every 3x3 convolution: "zeros", or "reflect" (section 3.4).
        align_corners: of the up-sampling. False keeps it the same everywhere. True, the convention of PyTorch before
            0.4, stretches maps from corner to corner, so that even it depends on position.
    """

    def __init__(
        self, inputs: int = 1, classes: int = 4, filters: int = 64, padding: str = "zeros", align_corners: bool = False
    ):
        super().__init__()
        f = filters
        self.align_corners = align_corners

        def double(a: int, b: int) -> nn.Sequential:
            return nn.Sequential(ConvBlock(a, b, padding), ConvBlock(b, b, padding))

        widths = [inputs, f, 2 * f, 4 * f, 8 * f, 8 * f]
        self.encoder = nn.ModuleList(double(a, b) for a, b in pairwise(widths))
        self.decoder = nn.ModuleList([double(16 * f, 4 * f), double(8 * f, 2 * f), double(4 * f, f), double(2 * f, f)])
        self.score = nn.Conv2d(f, classes, 1)

    def forward(self, x: Tensor, *_: Tensor) -> Tensor:
        """x (B, inputs, H, W) -> class logits (B, classes, H, W); H and W are multiples of 16. Asks for no facts."""
        skips = []
        for stage, block in enumerate(self.encoder):
            x = block(x if stage == 0 else max_pool2d(x, 2))
            skips.append(x)  # (B, F 2^stage, H/2^stage, W/2^stage), at most 8F maps
        skips.pop()
        for block in self.decoder:
            x = interpolate(x, scale_factor=2, mode="bilinear", align_corners=self.align_corners)
            x = block(torch.cat([skips.pop(), x], dim=1))
        return self.score(x)


class SmallCNN(nn.Sequential):
    """Three 3x3 convolutions and a 1x1: each pixel is judged by the 7x7 pixels around it.

    75,140 parameters with one input channel, 76,292 with three.

    Args:
        inputs, classes, filters, padding: as for `BilinearUNet`.
    """

    def __init__(self, inputs: int = 1, classes: int = 4, filters: int = 64, padding: str = "zeros"):
        f = filters
        blocks = [ConvBlock(a, f, padding) for a in (inputs, f, f)]
        super().__init__(*blocks, nn.Conv2d(f, classes, 1))

    def forward(self, x: Tensor, *_: Tensor) -> Tensor:
        """x (B, inputs, H, W) -> class logits (B, classes, H, W), of any H and W. Asks for no facts."""
        return super().forward(x)
