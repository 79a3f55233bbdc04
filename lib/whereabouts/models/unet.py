"""The 2D U-Net of the ACDC experiments (INSIDE, section 4.2 and Figure 7), after Ronneberger et al. 2015."""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d


class ConvBlock(nn.Sequential):
    """3x3 convolution, batch normalisation, ReLU: (B, inputs, H, W) -> (B, outputs, H, W)."""

    def __init__(self, inputs: int, outputs: int, padding: str = "zeros"):
        convolution = nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode=padding)
        super().__init__(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class DecoderStage(nn.Module):
    """Up-sample, convolve, join the skip connection, then two blocks with a layer between them."""

    def __init__(self, filters: int, between: nn.Module, conditional: bool):
        super().__init__()
        self.up = ConvBlock(2 * filters, filters)
        self.first, self.second = ConvBlock(2 * filters, filters), ConvBlock(filters, filters)
        self.between, self.conditional = between, conditional

    def forward(self, x: Tensor, skip: Tensor, z: Tensor) -> Tensor:
        """x (B, 2F, H/2, W/2), skip (B, F, H, W), z (B, K) -> (B, F, H, W)."""
        x = self.up(interpolate(x, scale_factor=2))
        x = self.first(torch.cat([x, skip], dim=1))
        x = self.between(x, z) if self.conditional else self.between(x)
        return self.second(x)


class UNet(nn.Module):
    """Four down- and four up-sampling stages; in each decoder stage a conditional layer between its two blocks.

    The paper's Figure 7 is not in the text that we have: filter counts, the kind of up-sampling and where else the
    conditioned networks have batch normalisation are ours (64 to 1024 filters, nearest neighbour then a convolution as
    in the same group's SDNet, after every convolution). The baseline has batch normalisation in the layer's place.

    Args:
        layers: a function (channels, (H, W)) -> conditional layer, called for the four decoder stages from the
            coarsest to the finest; None for the baseline.
        inputs: channels of the image.
        classes: classes with the background.
        filters: F, feature maps of the first stage; 64 at paper scale.
        size: side of the image in pixels, a multiple of 16.
    """

    def __init__(self, layers=None, inputs: int = 1, classes: int = 4, filters: int = 64, size: int = 224):
        super().__init__()
        widths = [filters * 2**stage for stage in range(5)]
        self.encoder = nn.ModuleList(
            nn.Sequential(ConvBlock(a, b), ConvBlock(b, b)) for a, b in zip([inputs, *widths], widths, strict=False)
        )
        self.decoder = nn.ModuleList(
            DecoderStage(
                widths[stage],
                nn.BatchNorm2d(widths[stage]) if layers is None else layers(widths[stage], (size >> stage,) * 2),
                conditional=layers is not None,
            )
            for stage in (3, 2, 1, 0)
        )
        self.head = nn.Conv2d(filters, classes, 1)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """x (B, inputs, H, W) in [0, 1], z (B, K) -> class logits (B, classes, H, W); H and W are multiples of 16."""
        skips = []
        for stage, block in enumerate(self.encoder):
            x = block(x if stage == 0 else max_pool2d(x, 2))
            skips.append(x)  # (B, F 2^stage, H/2^stage, W/2^stage)
        for stage, block in zip((3, 2, 1, 0), self.decoder, strict=True):
            x = block(x, skips[stage], z)
        return self.head(x)
