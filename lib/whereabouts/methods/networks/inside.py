"""The methods that the INSIDE paper compares, by name, and the two networks that they are put into."""

from collections.abc import Callable
from dataclasses import dataclass

from whereabouts.layers import INSIDE, FiLM, GuidingBlock
from whereabouts.methods.inside import parts
from whereabouts.models.clevr_fcn import ClevrFCN
from whereabouts.models.unet import UNet


@dataclass(frozen=True)
class Readings:
    """How the paper is read in all layers of a network that have such a thing; see `INSIDE`.

    The defaults are the paper's to the letter, as in the layers themselves; the chapter's are in params/*.yaml.

    Args:
        scale: "gamma" or "1-gamma", of FiLM and INSIDE.
        sigma: "text", "open", "wide" or "code", of INSIDE and its variants.
        hidden: width of every hypernetwork; 0 is half as many as the layer has channels.
    """

    scale: str = "gamma"
    sigma: str = "text"
    hidden: int = 0


# (channels, condition, (H, W), readings) -> layer
METHODS: dict[str, Callable | None] = {
    "baseline": None,
    "film": lambda c, k, size, r: FiLM(c, k, r.hidden, r.scale),
    "guiding_block": lambda c, k, size, r: GuidingBlock(c, k, size, r.hidden),
    "single": lambda c, k, size, r: INSIDE(c, k, "single", film=False, hidden=r.hidden, sigma=r.sigma),
    "multiple": lambda c, k, size, r: INSIDE(c, k, "multiple", film=False, hidden=r.hidden, sigma=r.sigma),
    "inside_single": lambda c, k, size, r: INSIDE(c, k, "single", True, r.hidden, r.scale, r.sigma),
    "inside": lambda c, k, size, r: INSIDE(c, k, "multiple", True, r.hidden, r.scale, r.sigma),
}


def clevr_network(method: str, condition: int, size: int, filters: int = 16, **readings) -> ClevrFCN:
    """The CLEVR-Seg network with `method` at its bottleneck.

    Args:
        method: one of `METHODS`.
        condition: K, values of the factor.
        size: side of the images in pixels, a multiple of 4.
        filters: of the first convolution; 16 in the paper.
        readings: of `Readings`.
    """
    layer, how = METHODS[method], Readings(**readings)
    return ClevrFCN(layer and layer(4 * filters, condition, (size // 4, size // 4), how), filters)


def acdc_network(arm: str, condition: int, size: int, filters: int = 64, **readings) -> UNet:
    """The ACDC network with the method of `arm` in every decoder stage.

    Args:
        arm: one of `whereabouts.methods.inside.ARMS`.
        condition: K, length of z.
        size: side of the images in pixels, a multiple of 16.
        filters: of the first stage; 64 at paper scale.
        readings: of `Readings`.
    """
    layer, how = METHODS[parts(arm)[0]], Readings(**readings)
    layers = layer and (lambda channels, map_size: layer(channels, condition, map_size, how))
    return UNet(layers, filters=filters, size=size)
