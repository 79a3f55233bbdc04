"""Sononet and AG-Sononet, which name the standard plane of an ultrasound frame (Schlemper 2019, section 2.4, Figure 4).

Both answer with logits (B, heads, C), one row a head; `AGGREGATIONS` says what the heads cost and who decides.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from whereabouts.layers.attention_gate import AttentionGate
from whereabouts.models.unet3d import initialise

WIDTHS = (64, 128, 256, 512, 512)  # over the feature scale: 8 gives Sononet-8, 4 and 2 give Sononet-16 and -32
DEPTHS = (3, 3, 3, 2, 2)  # convolutions of each stage; layers 11, 14 and 17 are the last ones of stages 3, 4 and 5
GATINGS = ("grid", "global")

# how the three attended vectors become one answer -> the weight of each head's loss
AGGREGATIONS = {
    "mean": (1.0, 1.0, 1.0),  # a head a scale; the mean of their probabilities decides
    "concatenation": (1.0,),  # one head on the joined vectors, the text's
    "deep_supervision": (1.0, 0.1, 0.1, 0.1),  # that head, which decides, and a head a scale
    "fine_tuned": (1.0,),  # one head on the joined logits of the three, the released configuration
}


def convolution(inputs: int, outputs: int, size: int) -> nn.Sequential:
    """Convolution that keeps the size, batch normalisation, ReLU: (B, inputs, H, W) -> (B, outputs, H, W)."""
    layers = nn.Conv2d(inputs, outputs, size, padding=size // 2), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    return nn.Sequential(*layers)


class Backbone(nn.Module):
    """VGG-like features, in five stages with maximum pooling between them.

    Args:
        filters: feature maps of the stages.
        inputs: channels of the image.
    """

    def __init__(self, filters: list[int], inputs: int = 1):
        super().__init__()
        self.stages = nn.ModuleList()
        for width, depth in zip(filters, DEPTHS, strict=True):
            layers = [convolution(inputs if i == 0 else width, width, 3) for i in range(depth)]
            self.stages.append(nn.Sequential(*layers))
            inputs = width

    def forward(self, x: Tensor) -> list[Tensor]:
        """x (B, inputs, H, W) -> maps of all stages, from (B, F1, H, W) to (B, F5, H/16, W/16)."""
        maps = []
        for number, stage in enumerate(self.stages):
            x = stage(max_pool2d(x, 2) if number else x)
            maps.append(x)
        return maps


class Sononet(nn.Module):
    """The baseline (Baumgartner et al. 2017): C maps, each averaged over the image.

    162,954, 647,914 and 2,583,978 parameters with 14 classes and a feature scale of 8, 4 and 2.

    Args:
        classes: planes, with the background.
        feature_scale: divides `WIDTHS`.
    """

    aggregation = "concatenation"  # one head

    def __init__(self, classes: int = 14, feature_scale: float = 8):
        super().__init__()
        f = [int(width / feature_scale) for width in WIDTHS]
        self.backbone = Backbone(f)
        self.head = nn.Sequential(convolution(f[3], f[2], 1), nn.Conv2d(f[2], classes, 1), nn.BatchNorm2d(classes))
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, 1, H, W) -> logits (B, 1, C)."""
        return self.head(self.backbone(x)[-1]).mean((2, 3))[:, None]


class AGSononet(nn.Module):
    """Attention gates on the maps of stages 3 and 4, gated by those of stage 5; attended sums replace the average.

    Maps are interpolated with `align_corners`, as by PyTorch before 0.4, on which the code was released.

    177,068, 700,716 and 2,787,884 parameters with "mean", 14 classes and a feature scale of 8, 4 and 2.

    Args:
        classes, feature_scale: as for `Sononet`.
        aggregation: one of `AGGREGATIONS`.
        normalisation: of the gates; see `whereabouts.layers.attention_gate.NORMALISATIONS`.
        gating: by the maps of stage 5 ("grid"), or by their mean over the image ("global"; section 1.2).
        gated: two stages, counted from 0, whose maps are gated; (1, 3) has layer 7 in place of 11.

    Raises:
        ValueError: an option is unknown.
    """

    def __init__(
        self,
        classes: int = 14,
        feature_scale: float = 8,
        aggregation: str = "deep_supervision",
        normalisation: str = "shifted",
        gating: str = "grid",
        gated: tuple[int, int] = (2, 3),
    ):
        super().__init__()
        for name, value, known in [("aggregation", aggregation, AGGREGATIONS), ("gating", gating, GATINGS)]:
            if value not in known:
                raise ValueError(f"{name}={value!r}: unknown; choose one of {', '.join(known)}")
        f = [int(width / feature_scale) for width in WIDTHS]
        options = {"subsample": 1, "transform": False, "bias": False}
        self.aggregation, self.gating, self.gated = aggregation, gating, gated
        self.backbone = Backbone(f)
        self.gates = nn.ModuleList(
            AttentionGate(f[stage], f[4], f[3], spatial_dims=2, normalisation=normalisation, **options)
            for stage in gated
        )
        vectors = [*(f[stage] for stage in gated), f[4]]
        self.heads = nn.ModuleList()  # on each vector
        if aggregation != "concatenation":
            self.heads.extend(nn.Linear(width, classes) for width in vectors)
        self.joint = nn.Identity()
        if aggregation == "fine_tuned":
            self.joint = nn.Linear(3 * classes, classes)
        elif aggregation != "mean":
            self.joint = nn.Linear(sum(vectors), classes)
        initialise(self)

    def told(self, maps: list[Tensor]) -> list[tuple[AttentionGate, Tensor, Tensor]]:
        """Each gate with the features (B, F, H', W') that it scales and those that gate it."""
        g = maps[-1].mean((2, 3), keepdim=True) if self.gating == "global" else maps[-1]
        return [(gate, maps[stage], g) for gate, stage in zip(self.gates, self.gated, strict=True)]

    def coefficients(self, x: Tensor) -> list[Tensor]:
        """Attention maps of both gates, (B, 1, H/4, W/4) and (B, 1, H/8, W/8) of stages 3 and 4."""
        return [gate.coefficients(fine, g) for gate, fine, g in self.told(self.backbone(x))]

    def forward(self, x: Tensor) -> Tensor:
        """x (B, 1, H, W) -> logits (B, heads, C)."""
        maps = self.backbone(x)
        vectors = [gate(fine, g).sum((2, 3)) for gate, fine, g in self.told(maps)]
        vectors.append(maps[-1].mean((2, 3)))  # (B, F3), (B, F4), (B, F5)
        scales = [head(vector) for head, vector in zip(self.heads, vectors, strict=False)]  # (B, C) each
        if self.aggregation == "mean":
            return torch.stack(scales, dim=1)
        if self.aggregation == "fine_tuned":
            return self.joint(torch.cat(scales, dim=1))[:, None]
        return torch.stack([self.joint(torch.cat(vectors, dim=1)), *scales], dim=1)


def probabilities(logits: Tensor, aggregation: str) -> Tensor:
    """What the heads' logits (B, heads, C) say together: (B, C)."""
    each = torch.softmax(logits.float(), dim=2)
    return each.mean(1) if aggregation == "mean" else each[:, 0]


def start_from(model: nn.Module, trained: nn.Module) -> None:
    """Take over from `trained` whatever `model` has under the same name and of the same shape (section 3.2.1)."""
    own, found = model.state_dict(), trained.state_dict()
    shapes = {name: value.shape for name, value in found.items()}
    new = {name.rpartition(".")[0] for name, value in own.items() if shapes.get(name) != value.shape}  # layers
    shared = {name: value for name, value in found.items() if name in own and name.rpartition(".")[0] not in new}
    model.load_state_dict(
        {name: value for name, value in shared.items() if value.shape == own[name].shape}, strict=False
    )
