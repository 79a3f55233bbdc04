"""The networks of the SDNet chapter: their names in files and in print."""

from dataclasses import dataclass


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
