"""The methods that the INSIDE paper compares, by name, and the two networks that they are put into."""

from collections.abc import Callable

from whereabouts.layers import INSIDE, FiLM, GuidingBlock
from whereabouts.methods.inside import parts
from whereabouts.models.clevr_fcn import ClevrFCN
from whereabouts.models.unet import UNet

# (channels, condition, (H, W)) -> layer
METHODS: dict[str, Callable | None] = {
    "baseline": None,
    "film": lambda c, k, size: FiLM(c, k),
    "guiding_block": lambda c, k, size: GuidingBlock(c, k, size),
    "single": lambda c, k, size: INSIDE(c, k, attention="single", film=False),
    "multiple": lambda c, k, size: INSIDE(c, k, attention="multiple", film=False),
    "inside_single": lambda c, k, size: INSIDE(c, k, attention="single"),
    "inside": lambda c, k, size: INSIDE(c, k, attention="multiple"),
}


def clevr_network(method: str, condition: int, size: int, filters: int = 16) -> ClevrFCN:
    """The CLEVR-Seg network with `method` at its bottleneck.

    Args:
        method: one of `METHODS`.
        condition: K, values of the factor.
        size: side of the images in pixels, a multiple of 4.
        filters: of the first convolution; 16 in the paper.
    """
    layer = METHODS[method]
    return ClevrFCN(layer and layer(4 * filters, condition, (size // 4, size // 4)), filters)


def acdc_network(arm: str, condition: int, size: int, filters: int = 64) -> UNet:
    """The ACDC network with the method of `arm` in every decoder stage.

    Args:
        arm: one of `whereabouts.methods.inside.ARMS`.
        condition: K, length of z.
        size: side of the images in pixels, a multiple of 16.
        filters: of the first stage; 64 at paper scale.
    """
    layer = METHODS[parts(arm)[0]]
    return UNet(layer and (lambda channels, map_size: layer(channels, condition, map_size)), filters=filters, size=size)
