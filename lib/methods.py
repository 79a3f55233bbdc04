"""The methods that the chapters compare: their names in files, in print, and their order."""

from dataclasses import dataclass

# The seven of INSIDE's Table 1, in its order.
METHOD_NAMES = {
    "baseline": "Baseline",
    "film": "FiLM",
    "guiding_block": "Guiding Block",
    "single": "Single Attention (w/o FiLM)",
    "multiple": "Multiple Attentions (w/o FiLM)",
    "inside_single": "INSIDE (Single Attention)",
    "inside": "INSIDE (Multiple Attentions)",
}
# Those of its Table 2, each with the facts that it is given; the baseline is given none.
ARMS = ["baseline"] + [
    f"{method}-{facts}" for method in ("film", "guiding_block", "inside") for facts in ("position", "phase")
]


def parts(arm: str) -> tuple[str, str]:
    """An arm as method and facts: ("inside", "position"), ("baseline", "none")."""
    method, _, facts = arm.partition("-")
    return method, facts or "none"


@dataclass(frozen=True)
class PositionArm:
    """One network of the positional-encoding paper.

    Args:
        network: "unet" (its Table 3) or "cnn" (Table 4).
        scale: lambda; 0 is without positional encoding.
        padding: of every 3x3 convolution, "zeros" or "reflect".
        images: how many training images it is shown; 0 is all.
    """

    network: str
    scale: int
    padding: str = "zeros"
    images: int = 0


POSITION_ARMS = {
    "unet-0": PositionArm("unet", 0),
    "unet-1": PositionArm("unet", 1),
    "unet-10": PositionArm("unet", 10),
    "unet-256": PositionArm("unet", 256),
    "cnn-0": PositionArm("cnn", 0),
    "cnn-256": PositionArm("cnn", 256),
    "reflect-0": PositionArm("unet", 0, padding="reflect"),
    "reflect-256": PositionArm("unet", 256, padding="reflect"),
    "unet-0-10": PositionArm("unet", 0, images=10),
    "unet-256-10": PositionArm("unet", 256, images=10),
    "unet-0-5": PositionArm("unet", 0, images=5),
    "unet-256-5": PositionArm("unet", 256, images=5),
}
POSITION_NAMES = {
    "unet-0": "U-Net, without PE",
    "unet-1": "U-Net, PE λ = 1",
    "unet-10": "U-Net, PE λ = 10",
    "unet-256": "U-Net, PE λ = 256",
    "cnn-0": "four-layer CNN, without PE",
    "cnn-256": "four-layer CNN, PE λ = 256",
    "reflect-0": "reflection padding, without PE",
    "reflect-256": "reflection padding, PE λ = 256",
    "unet-0-10": "U-Net, 10 images, without PE",
    "unet-256-10": "U-Net, 10 images, PE λ = 256",
    "unet-0-5": "U-Net, 5 images, without PE",
    "unet-256-5": "U-Net, 5 images, PE λ = 256",
}
# Few training images are tried on the radiographs only (its Table 2).
POSITION_ARMS_ON = {
    "chest": list(POSITION_ARMS),
    "acdc": [name for name, arm in POSITION_ARMS.items() if not arm.images],
}


@dataclass(frozen=True)
class SDNetArm:
    """One network of the SDNet chapter.

    Args:
        method: "unet", "gan", "self_train" or "sdnet" (Table 1).
        masks: whose masks the discriminator takes for real: of "all" training patients, or of the "labelled" ones.
        anatomy: how the anatomy factor is made discrete: "round", "one_hot", or "soft", not at all (Figure 3); ""
            is the scale's.
        channels: C of the anatomy factor; 0 is the data set's (8, or 16 on MM-WHS).
        dimensions: n_z of the modality factor.
        modulation: how z steers the decoder, "film" or, beyond the paper, "inside".
    """

    method: str
    masks: str = "all"
    anatomy: str = ""
    channels: int = 0
    dimensions: int = 8
    modulation: str = "film"


SDNET_ARMS = {
    "unet": SDNetArm("unet"),
    "gan": SDNetArm("gan"),
    "self_train": SDNetArm("self_train"),
    "sdnet": SDNetArm("sdnet"),
    "gan-labelled": SDNetArm("gan", masks="labelled"),
    "sdnet-labelled": SDNetArm("sdnet", masks="labelled"),
    "sdnet-base": SDNetArm("sdnet"),  # SDNet, trained as long as its variants
    "sdnet-round": SDNetArm("sdnet", anatomy="round"),
    "sdnet-one_hot": SDNetArm("sdnet", anatomy="one_hot"),
    "sdnet-soft": SDNetArm("sdnet", anatomy="soft"),
    "sdnet-c4": SDNetArm("sdnet", channels=4),
    "sdnet-z4": SDNetArm("sdnet", dimensions=4),
    "sdnet-z32": SDNetArm("sdnet", dimensions=32),
    "sdnet-z128": SDNetArm("sdnet", dimensions=128),
    "sdnet-inside": SDNetArm("sdnet", modulation="inside"),
}
SDNET_NAMES = {
    "unet": "U-Net",
    "gan": "GAN",
    "self_train": "self-train",
    "sdnet": "SDNet",
    "gan-labelled": "GAN, labelled masks only",
    "sdnet-labelled": "SDNet, labelled masks only",
    "sdnet-base": "SDNet, C = 8, n_z = 8",
    "sdnet-round": "SDNet, s rounded",
    "sdnet-one_hot": "SDNet, s one-hot",
    "sdnet-soft": "SDNet, s left soft",
    "sdnet-c4": "SDNet, C = 4",
    "sdnet-z4": "SDNet, n_z = 4",
    "sdnet-z32": "SDNet, n_z = 32",
    "sdnet-z128": "SDNet, n_z = 128",
    "sdnet-inside": "SDNet, INSIDE decoder",
}
SDNET_METHODS = ("unet", "gan", "self_train", "sdnet")


def sdnet_arms(percent: float, anatomy: str) -> list[str]:
    """What is trained on ACDC with `percent` of the patients labelled: variants at 100 %, masks withheld below.

    Args:
        percent: of the training patients.
        anatomy: the scale's, which no variant needs to repeat.
    """
    variants = [name for name in SDNET_ARMS if name not in SDNET_METHODS and SDNET_ARMS[name].anatomy != anatomy]
    withheld = [name for name in variants if SDNET_ARMS[name].masks == "labelled"]
    others = [name for name in variants if name not in withheld]
    return [*SDNET_METHODS, *(others if percent == 100 else withheld)]
