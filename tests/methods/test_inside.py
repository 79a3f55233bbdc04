"""How the chapter has its conditional layers start: equals, near identity, and open."""

import pytest
import torch

from whereabouts.layers import INSIDE
from whereabouts.methods.inside import ARMS
from whereabouts.methods.networks.inside import Readings, acdc_network, clevr_network
from whereabouts.models.sdnet.decoder import film
from whereabouts.paths import ROOT
from whereabouts.pipeline import params

SCALES = {scale: params.load(ROOT / "params" / f"{scale}.yaml") for scale in params.SCALES}
TOLD = {"position": torch.linspace(0, 1, 5)[:, None], "phase": torch.eye(2)}


def chosen(scale, section):
    return {key: SCALES[scale][section][key] for key in ("scale", "sigma", "hidden")}


def fresh(method, readings):
    """The conditional layers of fresh networks, each with its channels, and the facts that it may be told."""
    torch.manual_seed(1)
    bottleneck = clevr_network(method, 4, 32, 16, **readings).condition
    found = [(bottleneck, 64, 8, torch.eye(4))]
    for facts, z in TOLD.items():
        stages = acdc_network(f"{method}-{facts}", z.shape[1], 32, 32, **readings).decoder
        found += [(stage.between, 32 * 2**k, 32 >> k, z) for k, stage in zip((3, 2, 1, 0), stages, strict=True)]
    return found


@pytest.mark.parametrize("method", ["film", "guiding_block", "inside"])
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("section", ["inside_train_clevr_seg", "inside_train_acdc"])
def test_the_three_that_are_compared_start_near_identity(section, scale, method):
    """What a layer changes is at most half of what it is given; wiped out, it would be all."""
    for layer, channels, side, z in fresh(method, chosen(scale, section)):
        x = torch.rand(len(z), channels, side, side, generator=torch.Generator().manual_seed(2))
        with torch.no_grad():
            changed = (layer(x, z) - x).norm() / x.norm()
        assert changed < 0.5


@pytest.mark.parametrize("section", ["inside_train_clevr_seg", "inside_train_acdc"])
@pytest.mark.parametrize("scale", SCALES)
def test_a_fresh_layer_lets_most_of_a_map_pass(scale, section):
    for layer, _, side, z in fresh("inside", chosen(scale, section)):
        with torch.no_grad():
            assert layer.attention(z, (side, side)).mean() > 0.5


def test_to_the_letter_a_fresh_layer_passes_next_to_nothing():
    """Which is why the chapter reads it otherwise: 3% of the map, times a gamma near 0."""
    for layer, channels, side, z in fresh("inside", {}):
        with torch.no_grad():
            assert layer.attention(z, (side, side)).mean() < 0.06
            x = torch.ones(len(z), channels, side, side)
            changed = (layer(x, z) - x).norm() / x.norm()
        assert changed > 0.7


def test_readings_reach_every_layer_that_has_them():
    for method in ("film", "guiding_block", "inside"):
        for layer, *_ in fresh(method, {"scale": "1-gamma", "sigma": "open", "hidden": 6}):
            assert layer.hypernetwork[0].out_features == 6
            if isinstance(layer, INSIDE):
                assert (layer.hypernetwork[-1].bias[-layer.parts[-1] :] == 3).all()
    assert all(acdc_network(arm, 1, 32, 2, **vars(Readings())) for arm in ARMS)
    with pytest.raises(TypeError, match="sigmas"):
        clevr_network("inside", 4, 32, sigmas="wide")


def test_the_film_of_sdnets_decoder_stays_as_it_was_released():
    """gamma F + beta to the last bit, from Keras' dense layers: no 1 - gamma, whatever the chapter INSIDE does."""
    torch.manual_seed(3)
    layer, x, z = film(8, 8), torch.randn(2, 8, 5, 4), torch.randn(2, 8)
    gamma, beta = layer.hypernetwork(z).split(8, dim=1)
    assert torch.equal(layer(x, z), gamma[:, :, None, None] * x + beta[:, :, None, None])
