"""The networks of the positional-encoding paper: their names in files and in print."""

from dataclasses import dataclass

from whereabouts.errors import InputError, raise_all


@dataclass(frozen=True)
class PositionArm:
    """One network of the positional-encoding paper.

    Args:
        network: "unet" (its Table 3) or "cnn" (Table 4).
        scale: lambda; 0 is without positional encoding.
        padding: of every 3x3 convolution, "zeros" or "reflect".
        images: how many training images it is shown; 0 is all.
        long: whether it takes as many steps as if it were shown all of them, not as many epochs. The paper's 100 epochs
            are 100 steps then, in which Adam hardly moves a first layer to which lambda = 256 shows an image beside
            coordinates that vary ten thousand times as much.
    """

    network: str
    scale: int
    padding: str = "zeros"
    images: int = 0
    long: bool = False


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
    "unet-0-10-long": PositionArm("unet", 0, images=10, long=True),
    "unet-256-10-long": PositionArm("unet", 256, images=10, long=True),
    "unet-0-5-long": PositionArm("unet", 0, images=5, long=True),
    "unet-256-5-long": PositionArm("unet", 256, images=5, long=True),
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
    "unet-0-10-long": "U-Net, 10 images, as many steps, without PE",
    "unet-256-10-long": "U-Net, 10 images, as many steps, PE λ = 256",
    "unet-0-5-long": "U-Net, 5 images, as many steps, without PE",
    "unet-256-5-long": "U-Net, 5 images, as many steps, PE λ = 256",
}


# Few training images are tried on the radiographs only (its Table 2); trained longer at the paper's scale only.
POSITION_ARMS_ON = {
    "chest": [name for name, arm in POSITION_ARMS.items() if not arm.long],
    "acdc": [name for name, arm in POSITION_ARMS.items() if not arm.images],
}


def prepared_on(dataset: str) -> str:
    """Where the data set is prepared, below build/<scale>; InputError: there is no such data set."""
    known = {"chest": "chest/prepared", "acdc": "acdc/slices"}
    if dataset not in known:
        raise InputError(f"dataset={dataset}: no such data set; choose one of {', '.join(known)}")
    return known[dataset]


def arms_of(dataset: str, names: list[str]) -> list[str]:
    """The networks that are so called; of ["all"], those that the paper trains on the data set, as it does.

    Raises:
        InputError: for each name that no network has.
    """
    arms = POSITION_ARMS_ON[dataset] if names == ["all"] else names
    known = ", ".join(("all", *POSITION_ARMS))
    raise_all([f"arm={name}: no such network; choose one of {known}" for name in arms if name not in POSITION_ARMS])
    return arms
