"""The networks: numbers of parameters by hand and as published, shapes, and what stands where the layer would."""

import runpy
import sys
from itertools import pairwise

import pytest
import torch
from torch import nn

from whereabouts.layers import INSIDE, FiLM, GuidingBlock
from whereabouts.methods.__main__ import table
from whereabouts.methods.inside import ARMS, METHOD_NAMES
from whereabouts.methods.networks.inside import METHODS, acdc_network, clevr_network
from whereabouts.models import parameters
from whereabouts.models.clevr_fcn import ClevrFCN
from whereabouts.models.unet import UNet

pytestmark = pytest.mark.usefixtures("on_the_cpu")

# outputs n of the hypernetwork of one layer: C channels, H + W = 2S
OUTPUTS = {
    "film": lambda c, s: 2 * c,
    "guiding_block": lambda c, s: 2 * c + 2 * s,
    "single": lambda c, s: 4,
    "multiple": lambda c, s: 4 * c,
    "inside_single": lambda c, s: 2 * c + 4,
    "inside": lambda c, s: 6 * c,
}


def layer(method, c, k, s):
    """Parameters of a c/2 - c/2 - n hypernetwork."""
    h, n = c // 2, OUTPUTS[method](c, s)
    return (k * h + h) + (h * h + h) + (h * n + n)


@pytest.fixture(scope="module")
def counts():
    return {network: int(ours.replace(",", "")) for network, ours, _ in table().itertuples(index=False)}


def test_clevr_network_has_the_papers_parameters(counts):
    """Six 3x3 convolutions and one 1x1, each with biases: 3-16-32-64-64-32-16-1."""
    widths = [3, 16, 32, 64, 64, 32, 16]
    backbone = sum(9 * a * b + b for a, b in pairwise(widths)) + 16 + 1
    assert backbone == counts["CLEVR-Seg, baseline"] == 83_617
    for method in OUTPUTS:
        assert counts[f"CLEVR-Seg, {method}"] == backbone + layer(method, 64, 4, 50)


def test_unet_has_the_parameters_of_the_groups_sdnet(counts):
    """SDNet's anatomy encoder has 34,526,344 with 8 outputs of its last convolution, here 4 classes (64 + 1 each).

    In each decoder stage the baseline has one more batch normalisation, the others the layer.
    """
    common = 34_526_344 - 4 * (64 + 1)
    assert counts["ACDC U-Net, baseline"] == common + 2 * (64 + 128 + 256 + 512)
    for arm in ARMS[1:]:
        method, facts = arm.split("-")
        stages = zip((512, 256, 128, 64), (28, 56, 112, 224), strict=True)
        layers = sum(layer(method, c, {"position": 1, "phase": 2}[facts], s) for c, s in stages)
        assert counts[f"ACDC U-Net, {arm}"] == common + layers


def test_only_what_is_trained_counts():
    model = nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    assert parameters(model) == 6


def test_all_methods_and_arms_of_the_paper_are_there():
    assert list(METHODS) == ["baseline", "film", "guiding_block", "single", "multiple", "inside_single", "inside"]
    assert [
        *("baseline", "film-position", "film-phase", "guiding_block-position", "guiding_block-phase"),
        *("inside-position", "inside-phase"),
    ] == ARMS


@pytest.mark.parametrize(
    ("method", "kind", "gaussians", "film"),
    [
        ("single", INSIDE, 1, False),
        ("multiple", INSIDE, 64, False),
        ("inside_single", INSIDE, 1, True),
        ("inside", INSIDE, 64, True),
    ],
)
def test_variants_are_what_they_are_called(method, kind, gaussians, film):
    condition = clevr_network(method, 4, 200).condition
    assert type(condition) is kind
    assert (condition.gaussians, condition.film) == (gaussians, film)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("method", METHODS)
def test_clevr_network_keeps_the_size(method, batch):
    model = clevr_network(method, 3, 24, filters=2)
    assert model(torch.rand(batch, 3, 24, 24), torch.rand(batch, 3)).shape == (batch, 1, 24, 24)
    if method != "guiding_block":
        assert model(torch.rand(batch, 3, 4, 36), torch.rand(batch, 3)).shape == (batch, 1, 4, 36)
    else:
        with pytest.raises(ValueError, match=r"maps of \(6, 6\), got \(1, 9\)"):
            model(torch.rand(batch, 3, 4, 36), torch.rand(batch, 3))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("arm", ARMS)
def test_acdc_network_keeps_the_size(arm, batch):
    model = acdc_network(arm, 2, 48, filters=2)
    assert model(torch.rand(batch, 1, 48, 48), torch.rand(batch, 2)).shape == (batch, 4, 48, 48)
    if "guiding_block" not in arm:
        assert model(torch.rand(batch, 1, 64, 32), torch.rand(batch, 2)).shape == (batch, 4, 64, 32)
    else:
        with pytest.raises(ValueError, match=r"maps of \(6, 6\), got \(8, 4\)"):
            model(torch.rand(batch, 1, 64, 32), torch.rand(batch, 2))


def test_other_inputs_and_classes():
    model = UNet(inputs=2, classes=3, filters=3, size=16).eval()
    assert model(torch.rand(1, 2, 16, 16), torch.rand(1, 0)).shape == (1, 3, 16, 16)


@pytest.mark.parametrize(("method", "kind"), [("film", FiLM), ("guiding_block", GuidingBlock), ("inside", INSIDE)])
def test_layer_stands_where_the_baseline_normalises(method, kind):
    """Between the two blocks of each decoder stage, from the coarsest; each with its own channels and size."""
    baseline, model = acdc_network("baseline", 1, 64, filters=2), acdc_network(f"{method}-position", 1, 64, filters=2)
    for stage, (before, after) in enumerate(zip(baseline.decoder, model.decoder, strict=True)):
        channels = 16 >> stage
        assert type(before.between) is nn.BatchNorm2d
        assert before.between.num_features == channels
        assert type(after.between) is kind
        assert after.between.hypernetwork[0].out_features == channels // 2
        if kind is GuidingBlock:
            assert after.between.size == (8 << stage, 8 << stage)
    others = {name: t.shape for name, t in baseline.state_dict().items() if ".between." not in name}
    assert others == {name: t.shape for name, t in model.state_dict().items() if ".between." not in name}


@pytest.mark.parametrize("method", METHODS)
def test_facts_reach_the_output_except_in_the_baseline(method):
    torch.manual_seed(0)
    x, z = torch.rand(1, 3, 16, 16), torch.eye(3)
    model = clevr_network(method, 3, 16, filters=4)
    outputs = model.double()(x.expand(3, -1, -1, -1).double(), z.double())
    assert torch.allclose(outputs[0], outputs[1], rtol=0, atol=1e-12) == (method == "baseline")


def test_layer_is_applied_to_the_bottleneck_after_its_activation():
    class Watch(nn.Module):
        def forward(self, x, z):
            self.seen = x
            return x

    watch = Watch()
    model = ClevrFCN(watch, filters=4)
    model(torch.rand(2, 3, 20, 12), torch.rand(2, 1))
    assert watch.seen.shape == (2, 16, 5, 3)
    assert watch.seen.min() == 0


def test_printed_table(counts, capsys, monkeypatch):
    """`python -m whereabouts.methods`."""
    monkeypatch.delitem(sys.modules, "whereabouts.methods.__main__")
    runpy.run_module("whereabouts.methods", run_name="__main__")
    printed = capsys.readouterr().out.splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in printed]
    assert cells[0] == ["network", "ours", "paper"]
    assert len(cells) == 2 + 7 + 7 + 4 + 7 + 19 == 2 + len(counts)
    assert ["CLEVR-Seg, inside", "97,505", "97,505"] in cells
    assert ["ACDC U-Net, baseline", "34,528,004", ""] in cells
    assert all(ours == paper for _, ours, paper in cells[2:] if paper)


def test_every_method_has_a_name_in_print_and_a_colour():
    from whereabouts.reporting.plotting import METHOD_COLOURS

    assert list(METHODS) == list(METHOD_NAMES) == list(METHOD_COLOURS)[: len(METHODS)]
