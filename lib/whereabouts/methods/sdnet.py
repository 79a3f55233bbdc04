"""The networks of the SDNet chapter: their names in files and in print."""

from dataclasses import dataclass

from whereabouts.errors import InputError


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


# The two that are compared beyond the paper, by how z steers their decoder.
SDNET_DECODERS = {"sdnet-base": "FiLM", "sdnet-inside": "INSIDE"}


# Data set -> the switch of params.yaml that says where it comes from, and where a stage prepares it.
SDNET_DATA = {
    "acdc": ("acdc", "sdnet/acdc/prepared"),
    "qmri": ("", "sdnet/cine/qmri/prepared"),
    "mmwhs": ("mmwhs", "sdnet/mmwhs/prepared"),
    "bold": ("", "sdnet/cine/bold/prepared"),
}


def sdnet_data(dataset: str, *offered: str) -> tuple[str, str]:
    """Of `SDNET_DATA`, one of those that a notebook offers; InputError if it is none of them."""
    if dataset not in offered:
        raise InputError(f"dataset={dataset}: unknown here; choose {' or '.join(offered)}")
    return SDNET_DATA[dataset]


def sdnet_arms(percent: float, anatomy: str, arm: str = "all", variants: bool = True) -> list[str]:
    """What one job trains with `percent` of the subjects labelled: variants at 100 %, masks withheld below.

    Args:
        percent: of the training subjects.
        anatomy: the scale's, which no variant needs to repeat.
        arm: "all"; "others", those that are not in Tables 1 and 2; or one alone.
        variants: whether there are others.

    Raises:
        InputError: there is no such arm, or there are no others.
    """
    if arm in SDNET_ARMS:
        return [arm]
    if arm not in ("all", "others"):
        raise InputError(f"arm={arm}: unknown; choose all, others or one of {', '.join(SDNET_ARMS)}")
    if arm == "others" and not variants:
        raise InputError("arm=others: variant_steps is 0, so that there are none; give it a number, or choose all")
    unlike = [name for name in SDNET_ARMS if name not in SDNET_METHODS and SDNET_ARMS[name].anatomy != anatomy]
    withheld = [name for name in unlike if SDNET_ARMS[name].masks == "labelled"]
    others = [name for name in unlike if name not in withheld] if percent == 100 else withheld
    return [*(SDNET_METHODS if arm == "all" else ()), *(others if variants else ())]


def sdnet_facts(name: str, common: dict, factors: dict) -> dict:
    """What `whereabouts.methods.networks.sdnet.sdnet_network` is called with for one arm.

    Args:
        name: of `SDNET_ARMS`.
        common: what all networks have: classes, filters, momentum.
        factors: what SDNet has besides, where the arm does not say: channels, discrete, side, segmentor_filters.
    """
    one = SDNET_ARMS[name]
    if one.method != "sdnet":
        return {"method": one.method, **common}
    kinds = {"channels": one.channels or factors["channels"], "discrete": one.anatomy or factors["discrete"]}
    return {
        "method": one.method,
        **common,
        **factors,
        **kinds,
        "dimensions": one.dimensions,
        "modulation": one.modulation,
    }
