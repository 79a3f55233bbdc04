"""The networks of Attention Gated Networks' chapter: their names in files and in print."""

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class VolumeArm:
    """One network that segments scans.

    Args:
        network: "unet" or "attention"; beyond the paper "asked_attention" and "asked_inside", which find one structure
            at a time, the one that they are asked for.
        training: "full" or "quarter" of the training scans (Table 1: 120 or 30).
        capacity: divides the scale's feature scale: 4/3.82 and 4/3 give the larger U-Nets of Table 2.
        options: of `whereabouts.models.unet3d.AttentionUNet3D`, in place of the scale's.
    """

    network: str
    training: str = "full"
    capacity: float = 1.0
    options: dict = field(default_factory=dict)

    @property
    def length(self) -> float:
        """Of the scale's steps, and of those between two halvings of the rate: as many epochs of fewer scans."""
        return 0.25 if self.training == "quarter" else 1.0


LEVELS = ("fine", "middle", "coarse")  # the gated skip connections

TABLED = {
    "unet": VolumeArm("unet"),
    "attention": VolumeArm("attention"),
    "unet-quarter": VolumeArm("unet", training="quarter"),
    "attention-quarter": VolumeArm("attention", training="quarter"),
    "unet-matched": VolumeArm("unet", capacity=4 / 3.82),
    "unet-huge": VolumeArm("unet", capacity=4 / 3),
    "asked_attention": VolumeArm("asked_attention"),
    "asked_inside": VolumeArm("asked_inside"),
}
# What the text says of choices without a table: each differs from "attention" in one.
CHOICES = {
    "attention-softmax": VolumeArm("attention", options={"normalisation": "softmax"}),  # section 4
    "attention-global": VolumeArm("attention", options={"gating": "global"}),  # sections 1.2 and 2.2.2
    "attention-shallow": VolumeArm("attention", options={"deep_supervision": False}),  # section 2.2
    "attention-released": VolumeArm("attention", options={"start": "released"}),
}
VOLUME_ARMS = TABLED | CHOICES


@dataclass(frozen=True)
class PancreasArm:
    """One network that segments the pancreas in the second data set (Table 3), or one fold of Table 4.

    Args:
        network: "unet" or "attention".
        start: "before", as trained on the first data set; "tuned" from there; or "scratch".
        fold: of the cross-validation; -1 is Table 3's split.
    """

    network: str
    start: str
    fold: int = -1


PANCREAS_ARMS = {
    f"{network}-{start}": PancreasArm(network, start)
    for start in ("before", "tuned", "scratch")
    for network in ("unet", "attention")
} | {f"attention-fold{k}": PancreasArm("attention", "scratch", k) for k in range(5)}

PLANE_METHODS = ("sononet", "ag_sononet")
# The same of classifiers: options of `whereabouts.models.sononet.AGSononet`; "joint" has all scales in one part.
PLANE_CHOICES = {
    "ag_sononet_softmax": {"normalisation": "softmax"},  # section 2.4
    "ag_sononet_global": {"gating": "global"},  # section 1.2
    "ag_sononet_early": {"gated": (1, 3)},  # section 2.4: layer 7 in place of 11
    "ag_sononet_joint": {"aggregation": "concatenation"},  # sections 2.4 and 4
}


@dataclass(frozen=True)
class PlanePart:
    """One part of the training of a classifier; it starts from the weights of the part before.

    Args:
        method: the network, one of `PLANE_METHODS`.
        aggregation: of AG-Sononet's scales; "" of Sononet.
        steps: at most.
        learning_rate: at the start of the part.
        options: of AG-Sononet, in place of the scale's.
    """

    method: str
    aggregation: str
    steps: int
    learning_rate: float
    options: dict = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Short, as a curve or a progress bar is called."""
        return self.aggregation or self.method


def plane_parts(scales: str, aggregation: str, lengths: list[tuple[int, float]]) -> dict[str, list[PlanePart]]:
    """The parts in which each of `PLANE_METHODS`, and of `PLANE_CHOICES`, is trained, one after another.

    AG-Sononet begins as a Sononet, "partially trained" (section 3.2.1); then its scales are taught; last, if
    `aggregation` is "fine_tuned", a layer on all of them and whatever is below it. Any other aggregation has these two
    in one. Sononet has the same parts, each as long and at the same rate, so that it is not beaten by steps.

    Args:
        scales: how the scales are taught before the last part, one of `whereabouts.models.sononet.AGGREGATIONS`.
        aggregation: of the network that comes out.
        lengths: steps and learning rate of the three parts.
    """
    first, middle, last = lengths

    def gated(options: dict) -> list[PlanePart]:
        end, start = options.get("aggregation", aggregation), PlanePart("sononet", "", *first)
        if end == "fine_tuned":
            each = PlanePart("ag_sononet", scales, *middle, options)
            return [start, each, PlanePart("ag_sononet", end, *last, options)]
        return [start, PlanePart("ag_sononet", end, middle[0] + last[0], middle[1], options)]

    parts = {name: gated(options) for name, options in {"ag_sononet": {}, **PLANE_CHOICES}.items()}
    return parts | {"sononet": [replace(part, method="sononet", aggregation="") for part in parts["ag_sononet"]]}


GATES_NAMES = {
    "unet": "U-Net",
    "attention": "Attention U-Net",
    "unet-quarter": "U-Net",
    "attention-quarter": "Attention U-Net",
    "unet-matched": "U-Net, as large as Attention U-Net",
    "unet-huge": "U-Net, larger",
    "asked_attention": "Attention U-Net, asked by channels",
    "asked_inside": "INSIDE U-Net, asked by facts",
    "attention-softmax": "Attention U-Net, softmax over positions",
    "attention-global": "Attention U-Net, gated by one vector",
    "attention-shallow": "Attention U-Net, judged at full resolution alone",
    "attention-released": "Attention U-Net, gates at random first",
    "sononet": "Sononet",
    "ag_sononet": "AG-Sononet",
    "ag_sononet_softmax": "AG-Sononet, softmax over positions",
    "ag_sononet_global": "AG-Sononet, gated by one vector",
    "ag_sononet_early": "AG-Sononet, gated at an earlier layer",
    "ag_sononet_joint": "AG-Sononet, all scales at once",
}
STARTS = {"before": "BFT", "tuned": "AFT", "scratch": "SCR"}  # as Table 3 calls them
