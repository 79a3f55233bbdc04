"""Training in bfloat16: what is rounded, what is not, and that every forward pass sees the weights as they are."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d

from equality import same_bits
from sdnet_examples import DRAWN, LABELLED, UNLABELLED, VALIDATION
from whereabouts.errors import InputError
from whereabouts.inference.device import arithmetic, autocast
from whereabouts.layers import INSIDE, FiLM, GuidingBlock
from whereabouts.methods.networks.sdnet import sdnet_network
from whereabouts.models.sdnet.discriminator import MaskDiscriminator
from whereabouts.training.loop import Schedule, build, run
from whereabouts.training.semi_supervised import SelfTraining, SemiSupervised

pytestmark = pytest.mark.usefixtures("on_the_cpu")


def schedule(precision):
    return Schedule(4, 2, 1e-2, 2, 9, precision=precision)


def sdnet(precision="bfloat16"):
    model = build(lambda: sdnet_network("sdnet", 4, 4, side=32, segmentor_filters=4), 0)
    judge = build(lambda: MaskDiscriminator(3, 32, 4), 1)
    others = {"unlabelled": UNLABELLED, "discriminator": judge, "drawn": DRAWN}
    return SemiSupervised(model, LABELLED, VALIDATION, 4, schedule(precision), 0, **others)


def self_training(precision="bfloat16"):
    model = build(lambda: sdnet_network("unet", 4, 4), 0)
    return SelfTraining(model, LABELLED, VALIDATION, 4, schedule(precision), 0, unlabelled=UNLABELLED, rounds=3)


@pytest.mark.parametrize("learner", [sdnet, self_training])
def test_every_pass_sees_the_weights_as_the_optimiser_left_them(learner):
    """A block of autocast rounds each weight once, so that a pass after a step in the same block would see the old."""
    one, seen = learner(), []

    def watch(layer, inputs, output):
        if not torch.is_grad_enabled():  # labels that it gives itself
            return
        rounded = (value.detach().bfloat16() for value in (inputs[0], layer.weight, layer.bias))
        expected = conv2d(*rounded, layer.stride, layer.padding)
        assert output.dtype == torch.bfloat16
        torch.testing.assert_close(output.detach(), expected, rtol=0.02, atol=0.002)
        seen.append(layer.weight.detach().clone())

    first = next(layer for layer in one.model.modules() if isinstance(layer, nn.Conv2d))
    handle = first.register_forward_hook(watch)
    with torch.no_grad():
        first.weight.mul_(4)  # steps are to be seen beyond the rounding
    one.optimisers[0].param_groups[0]["lr"] = 0.5
    one.schedule = Schedule(4, 2, 0.5, 2, 9, precision="bfloat16")
    for number in range(3):
        one.step(number)
    handle.remove()
    assert max((a - b).abs().max() for a, b in pairwise(seen)) > 0.1


@pytest.mark.parametrize("learner", [sdnet, self_training])
def test_weights_and_optimiser_stay_float32(learner):
    one = learner()
    loss = one.step(0)
    assert loss.dtype == torch.float32 and loss.isfinite()
    state = one.state()
    tensors = [value for part in state["parts"] for value in part.values() if value.is_floating_point()]
    tensors += [v for part in state["optimisers"] for one in part["state"].values() for v in one.values()]
    assert {tensor.dtype for tensor in tensors} == {torch.float32}


@pytest.mark.parametrize("learner", [sdnet, self_training])
def test_portable_is_float32(learner):
    curves = [run(one, one.schedule) for one in (learner("portable"), learner("float32"), learner("bfloat16"))]
    assert same_bits(curves[0].to_dict(), curves[1].to_dict())
    assert not curves[2].equals(curves[1]) and curves[2].loss.map(math.isfinite).all()


@pytest.mark.parametrize(
    "layer", [FiLM(4, 2), GuidingBlock(4, 2, (6, 5)), INSIDE(4, 2)], ids=lambda x: type(x).__name__
)
def test_what_the_facts_say_is_not_rounded_on_the_way(layer):
    said = []
    layer.hypernetwork.register_forward_hook(lambda _, inputs, output: said.append(output.detach()))
    x, z = torch.randn(3, 4, 6, 5), torch.randn(3, 2)
    expected = layer(x, z)
    with autocast("bfloat16"):
        found = layer(x.bfloat16(), z)
    assert torch.equal(*said) and found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.05)


def test_another_precision_is_one_line():
    with pytest.raises(InputError, match=r"^precision=auto: unknown; choose one of float32, bfloat16, portable$"):
        schedule("auto")


def test_how_tables_call_it(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setattr("whereabouts.pipeline.precision.resolved", lambda word: "bfloat16")
    monkeypatch.setattr("whereabouts.pipeline.precision.pinned", lambda: False)
    assert (arithmetic("float32"), arithmetic("bfloat16")) == ("float32 on AVX2", "bfloat16 on AMX")
    monkeypatch.setattr("whereabouts.pipeline.precision.pinned", lambda: True)
    assert arithmetic("portable") == "portable float32 on AVX2"
