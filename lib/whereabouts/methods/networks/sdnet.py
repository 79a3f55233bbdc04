"""The segmentation networks of the SDNet chapter, by the name of their method."""

from torch import nn

from whereabouts.models.sdnet.anatomy import SegmentationUNet
from whereabouts.models.sdnet.keras import keras_defaults
from whereabouts.models.sdnet.network import SDNet


def sdnet_network(method: str, classes: int, filters: int, momentum: float = 0.01, **options) -> nn.Module:
    """The segmentation network of `method`: "sdnet", or the U-Net of "unet", "gan" and "self_train".

    Args:
        method: of `whereabouts.methods.sdnet.SDNetArm`.
        classes: with the background.
        filters: of the U-Net's first stage; 64 in the paper.
        momentum: of batch normalisation; see `keras_defaults`.
        options: of `SDNet`, for that method only.
    """
    if method == "sdnet":
        return keras_defaults(SDNet(classes, filters=filters, **options), momentum)
    return keras_defaults(SegmentationUNet(classes, filters), momentum)
