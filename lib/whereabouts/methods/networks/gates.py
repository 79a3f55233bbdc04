"""The networks of Attention Gated Networks' chapter, built from facts that a file of weights can hold."""

from torch import nn

from whereabouts.models.sononet import AGSononet, Sononet
from whereabouts.models.unet3d import AskedAttentionUNet3D, AttentionUNet3D, InsideUNet3D, UNet3D, widths


def volume_network(network: str, structures: int, feature_scale: float, **options) -> UNet3D:
    """A network for scans.

    Args:
        network: "unet", "attention", "asked_attention" or "asked_inside".
        structures: how many, without the background.
        feature_scale: divides the feature maps; 4 in the paper.
        options: of `AttentionUNet3D`, such as gates and gating; of `InsideUNet3D`, such as sigma.
    """
    filters = widths(feature_scale)
    if network == "unet":
        return UNet3D(structures + 1, filters)
    if network == "attention":
        return AttentionUNet3D(structures + 1, filters, **options)
    if network == "asked_attention":
        return AskedAttentionUNet3D(2, filters, condition=structures, **options)
    return InsideUNet3D(2, filters, condition=structures, **options)


def plane_network(method: str, classes: int, feature_scale: float, **options) -> nn.Module:
    """A network for ultrasound frames.

    Args:
        method: "sononet" or "ag_sononet".
        classes: planes with the background.
        feature_scale: divides the feature maps; 8, 4 and 2 give Sononet-8, -16 and -32.
        options: of `AGSononet`, such as aggregation.
    """
    return Sononet(classes, feature_scale) if method == "sononet" else AGSononet(classes, feature_scale, **options)
