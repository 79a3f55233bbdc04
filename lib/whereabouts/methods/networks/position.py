"""The networks that the positional-encoding paper compares, by the name of their architecture."""

from whereabouts.layers import Position, WithPosition
from whereabouts.models.bilinear_unet import BilinearUNet, SmallCNN

NETWORKS = {"unet": BilinearUNet, "cnn": SmallCNN}


def position_network(network: str, scale: float, padding: str = "zeros", filters: int = 64) -> WithPosition:
    """A network for one grey channel and four classes, with its positional encoding.

    Args:
        network: "unet" (Table 3) or "cnn" (Table 4).
        scale: lambda; 0 is without positional encoding.
        padding: of every 3x3 convolution, "zeros" or "reflect".
        filters: of the first convolution; 64 in the paper.
    """
    inputs = 1 + Position(scale).channels()
    return WithPosition(NETWORKS[network](inputs, filters=filters, padding=padding), scale)
