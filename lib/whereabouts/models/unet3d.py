"""The 3D U-Nets of Attention Gated Networks (Schlemper et al. 2019, sections 2.3 and 3.2, Figure 3).

Five levels; the maps of all decoder levels are judged, and the judgements, brought to full resolution, are weighed by a
last 1x1x1 convolution ("deep supervision" as released: one loss, on what comes out there). The text says that there are
8 maps at the first level; its 5.88 M parameters need 16.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool3d

from whereabouts.layers.attention_gate import AttentionGate, MultiAttentionGate, resize
from whereabouts.layers.inside import INSIDE

WIDTHS = (64, 128, 256, 512, 1024)
GATED = (1, 2, 3)  # levels, counted from 0, whose skip connections are gated: all but the finest
GATINGS = ("decoder", "centre", "global")


def widths(feature_scale: float) -> list[int]:
    """Feature maps of the five levels, as the released code counts them: 4 gives 16 to 256, 3.82 and 3 Table 2's."""
    return [int(width / feature_scale) for width in WIDTHS]


class Block(nn.Sequential):
    """Twice a 3x3x3 convolution, batch normalisation and ReLU."""

    def __init__(self, inputs: int, outputs: int):
        def one(a: int) -> list[nn.Module]:
            return [nn.Conv3d(a, outputs, 3, padding=1), nn.BatchNorm3d(outputs), nn.ReLU(inplace=True)]

        super().__init__(*one(inputs), *one(outputs))


def initialise(model: nn.Module) -> None:
    """He's normal weights, batch normalisation near 1 (released), and gates as their `start` says."""
    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.Conv3d)):
            nn.init.kaiming_normal_(layer.weight)
        elif isinstance(layer, (nn.BatchNorm2d, nn.BatchNorm3d)):
            nn.init.normal_(layer.weight, 1, 0.02)
            nn.init.zeros_(layer.bias)
    for layer in model.modules():
        if isinstance(layer, AttentionGate):
            layer.let_pass()


class UNet3D(nn.Module):
    """The plain network: 5,888,004 parameters with 16 maps at the first level and 4 classes.

    Args:
        classes: with the background.
        filters: feature maps of the five levels, see `widths`.
        inputs: channels of the image.
        deep_supervision: whether all decoder levels are judged; without, 5,887,028 parameters.
        align_corners: of the up-sampling; True as in PyTorch before 0.4, on which the code was released.
    """

    def __init__(
        self,
        classes: int = 4,
        filters: list[int] | None = None,
        inputs: int = 1,
        deep_supervision: bool = True,
        align_corners: bool = True,
    ):
        super().__init__()
        f = filters or widths(4)
        self.align_corners = align_corners
        self.encoder = nn.ModuleList(Block(a, b) for a, b in zip([inputs, *f], f, strict=False))
        self.decoder = nn.ModuleList(Block(f[level] + f[level + 1], f[level]) for level in range(4))
        self.judges = nn.ModuleList(nn.Conv3d(width, classes, 1) for width in (f[:4] if deep_supervision else f[:1]))
        self.final = nn.Conv3d(4 * classes, classes, 1) if deep_supervision else nn.Identity()
        initialise(self)

    def context(self, centre: Tensor) -> Tensor | None:
        """What skip connections are told of the coarsest maps."""
        return None

    def skip(self, level: int, x: Tensor, below: Tensor, context: Tensor | None, z: Tensor | None) -> Tensor:
        """What of the encoder's maps x at `level` reaches the decoder, given its maps below and the facts z."""
        return x

    def decode(self, x: Tensor, z: Tensor | None = None) -> list[Tensor]:
        """The decoder's maps, from the finest (B, F1, H, W, D) to the coarsest (B, F4, H/8, W/8, D/8)."""
        skips = []
        for level, block in enumerate(self.encoder):
            x = block(max_pool3d(x, 2) if level else x)
            skips.append(x)  # (B, F, H/2^level, W/2^level, D/2^level)
        context = self.context(x)
        maps = []
        for level in (3, 2, 1, 0):
            skip = self.skip(level, skips[level], x, context, z)
            x = self.decoder[level](torch.cat([skip, resize(x, skip.shape[2:], self.align_corners)], dim=1))
            maps.insert(0, x)
        return maps

    def judge(self, maps: list[Tensor]) -> list[Tensor]:
        """Class logits (B, classes, H, W, D) of each level that is judged, from the finest, at full resolution."""
        size = maps[0].shape[2:]
        return [resize(judge(x), size, self.align_corners) for judge, x in zip(self.judges, maps, strict=False)]

    def levels(self, x: Tensor, z: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """Class logits as in `forward`, and those of each level, for auxiliary losses."""
        judged = self.judge(self.decode(x, z))
        return self.final(torch.cat(judged, dim=1)), judged

    def forward(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        """x (B, inputs, H, W, D) -> class logits (B, classes, H, W, D); H, W and D are multiples of 16."""
        return self.levels(x, z)[0]


class AttentionUNet3D(UNet3D):
    """Attention U-Net: gates on three skip connections. Parameters with 16 maps and 4 classes:

    two gates a skip, gated by the decoder's maps (the released configurations): 6,473,322; gated by the coarsest maps
    (the text): 6,411,498; one gate, by the decoder's: 6,214,151. The paper's 6.40 M is none of them.

    Args:
        gates: how many on each skip connection.
        gating: "decoder", the maps just below the skip connection; "centre", the coarsest ones; or "global", their mean
            over the image, which tells all positions the same (the attention before the paper's, section 1.2).
        subsample, normalisation, start: see `AttentionGate`.
        options: of `UNet3D`.

    Raises:
        ValueError: an option is unknown.
    """

    def __init__(
        self,
        classes: int = 4,
        filters: list[int] | None = None,
        gates: int = 2,
        gating: str = "decoder",
        subsample: int = 2,
        normalisation: str = "sigmoid",
        start: str = "open",
        **options,
    ):
        super().__init__(classes, filters, **options)
        if gating not in GATINGS:
            raise ValueError(f"gating={gating!r}: unknown; choose one of {', '.join(GATINGS)}")
        f = filters or widths(4)
        self.gating = gating
        signal = {level: f[level + 1] if gating == "decoder" else f[3] for level in GATED}
        gate = {"subsample": subsample, "normalisation": normalisation, "start": start}
        self.signal = nn.Sequential(nn.Conv3d(f[4], signal[3], 1), nn.BatchNorm3d(signal[3]), nn.ReLU(inplace=True))
        self.gates = nn.ModuleDict(
            {
                str(level): MultiAttentionGate(f[level], signal[level], gates, align_corners=self.align_corners, **gate)
                for level in GATED
            }
        )
        initialise(self)

    def context(self, centre: Tensor) -> Tensor:
        maps = self.signal(centre)
        return maps.mean((2, 3, 4), keepdim=True) if self.gating == "global" else maps

    def skip(self, level: int, x: Tensor, below: Tensor, context: Tensor, z: Tensor | None) -> Tensor:
        if level not in GATED:
            return x
        g = below if self.gating == "decoder" and level < max(GATED) else context
        return self.gates[str(level)](x, g)


class AskedAttentionUNet3D(AttentionUNet3D):
    """Beyond the paper: the same, with facts z as further channels of the image, constant over it.

    Args:
        condition: K, length of z.
        options: of `AttentionUNet3D`.
    """

    def __init__(self, classes: int = 2, filters: list[int] | None = None, condition: int = 3, **options):
        super().__init__(classes, filters, inputs=1 + condition, **options)

    def decode(self, x: Tensor, z: Tensor) -> list[Tensor]:
        facts = z[:, :, None, None, None].expand(-1, -1, *x.shape[2:])  # (B, K, H, W, D)
        return super().decode(torch.cat([x, facts.to(x.dtype)], dim=1), z)


class InsideUNet3D(UNet3D):
    """Beyond the paper: INSIDE on the same skip connections, so that facts z choose where each map is looked at.

    Args:
        condition: K, length of z.
        hidden: width of the layers' hypernetworks in parts of their channels; 2.56 makes the network as large as one
            with two gates a skip connection.
        scale, sigma: see `INSIDE`. By default it starts as gates do, by letting nearly everything pass: a factor of 1
            and, over the map, wide Gaussians.
        options: of `UNet3D`.
    """

    def __init__(
        self,
        classes: int = 2,
        filters: list[int] | None = None,
        condition: int = 3,
        hidden: float = 2.56,
        scale: str = "1-gamma",
        sigma: str = "wide",
        **options,
    ):
        super().__init__(classes, filters, **options)
        f = filters or widths(4)
        self.inside = nn.ModuleDict(
            {
                str(level): INSIDE(
                    f[level], condition, hidden=round(hidden * f[level]), scale=scale, sigma=sigma, spatial_dims=3
                )
                for level in GATED
            }
        )

    def skip(self, level: int, x: Tensor, below: Tensor, context: None, z: Tensor) -> Tensor:
        return self.inside[str(level)](x, z) if level in GATED else x
