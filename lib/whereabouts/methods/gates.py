"""The networks of Attention Gated Networks' chapter: their names in files and in print."""

from dataclasses import dataclass


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
