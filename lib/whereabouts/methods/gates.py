"""The networks of Attention Gated Networks' chapter: their names in files and in print."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class VolumeArm:
    """One network that segments scans.

    Args:
        network: "unet" or "attention"; beyond the paper "asked_attention" and "asked_inside", which find one structure
            at a time, the one that they are asked for.
        training: "full" or "quarter" of the training scans (Table 1: 120 or 30).
        capacity: divides the scale's feature scale: 4/3.82 and 4/3 give the larger U-Nets of Table 2.
    """

    network: str
    training: str = "full"
    capacity: float = 1.0


VOLUME_ARMS = {
    "unet": VolumeArm("unet"),
    "attention": VolumeArm("attention"),
    "unet-quarter": VolumeArm("unet", training="quarter"),
    "attention-quarter": VolumeArm("attention", training="quarter"),
    "unet-matched": VolumeArm("unet", capacity=4 / 3.82),
    "unet-huge": VolumeArm("unet", capacity=4 / 3),
    "asked_attention": VolumeArm("asked_attention"),
    "asked_inside": VolumeArm("asked_inside"),
}


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


@dataclass(frozen=True)
class PlanePart:
    """One part of the training of a classifier; it starts from the weights of the part before.

    Args:
        method: one of `PLANE_METHODS`.
        aggregation: of AG-Sononet's scales; "" of Sononet.
        steps: at most.
        learning_rate: at the start of the part.
    """

    method: str
    aggregation: str
    steps: int
    learning_rate: float

    @property
    def name(self) -> str:
        """Short, as a curve or a progress bar is called."""
        return self.aggregation or self.method


def plane_parts(scales: str, aggregation: str, lengths: list[tuple[int, float]]) -> dict[str, list[PlanePart]]:
    """The parts in which each of `PLANE_METHODS` is trained, one after another.

    AG-Sononet begins as a Sononet, "partially trained" (section 3.2.1); then its scales are taught; last, if
    `aggregation` is "fine_tuned", a layer on all of them and whatever is below it. Any other aggregation has these two
    in one. Sononet has the same parts, each as long and at the same rate, so that it is not beaten by steps.

    Args:
        scales: how the scales are taught before the last part, one of `whereabouts.models.sononet.AGGREGATIONS`.
        aggregation: of the network that comes out.
        lengths: steps and learning rate of the three parts.
    """
    first, middle, last = lengths
    gated = [PlanePart("sononet", "", *first)]
    if aggregation == "fine_tuned":
        gated += [PlanePart("ag_sononet", scales, *middle), PlanePart("ag_sononet", aggregation, *last)]
    else:
        gated.append(PlanePart("ag_sononet", aggregation, middle[0] + last[0], middle[1]))
    return {"sononet": [replace(part, method="sononet", aggregation="") for part in gated], "ag_sononet": gated}


GATES_NAMES = {
    "unet": "U-Net",
    "attention": "Attention U-Net",
    "unet-quarter": "U-Net",
    "attention-quarter": "Attention U-Net",
    "unet-matched": "U-Net, as large as Attention U-Net",
    "unet-huge": "U-Net, larger",
    "asked_attention": "Attention U-Net, asked by channels",
    "asked_inside": "INSIDE U-Net, asked by facts",
    "sononet": "Sononet",
    "ag_sononet": "AG-Sononet",
}
STARTS = {"before": "BFT", "tuned": "AFT", "scratch": "SCR"}  # as Table 3 calls them
