"""Sononet and AG-Sononet: numbers of parameters as published, their parts in NumPy, and what the heads say together."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch import nn
from torch.nn.functional import batch_norm, conv2d, cross_entropy, max_pool2d

from whereabouts.layers.attention_gate import NORMALISATIONS, shifted
from whereabouts.models import parameters
from whereabouts.models.sononet import AGGREGATIONS, AGSononet, Sononet, probabilities, start_from
from whereabouts.training.loop import build

pytestmark = pytest.mark.usefixtures("on_the_cpu")

SHAPES = [(48, 64), (52, 68)]  # the second comes down to 13 x 17, 6 x 8 and 3 x 4


@pytest.fixture
def rng():
    """The global generator, from which networks draw as well."""
    return torch.manual_seed(29)


def shaken(model, rng):
    """`model`, in double precision and evaluating, as if trained: gates have left their start, and no map is dead."""
    with torch.no_grad():
        for name, layer in model.named_modules():
            if name.endswith("psi"):
                layer.weight.normal_(generator=rng)
            elif isinstance(layer, nn.BatchNorm2d):
                layer.bias.normal_(0.3, 0.3, generator=rng)
                layer.running_mean.normal_(0, 0.2, generator=rng)
                layer.running_var.uniform_(0.5, 1.5, generator=rng)
    return model.double().eval()


def images(shape, rng, batch=3):
    return torch.randn(batch, 1, *shape, generator=rng, dtype=torch.float64)


def dense(layer, x):
    """A linear layer, or a convolution of size 1 on (B, C, H, W), in NumPy."""
    w, b = (parameter.detach().numpy() for parameter in layer.parameters())
    return np.einsum("oi,bi...->bo...", w.reshape(w.shape[:2]), x) + b.reshape(-1, *[1] * (x.ndim - 2))


def normalised(layer, x):
    mean, var, scale, shift = (
        t.detach().numpy()[:, None, None] for t in (layer.running_mean, layer.running_var, layer.weight, layer.bias)
    )
    return (x - mean) / np.sqrt(var + 1e-5) * scale + shift


@pytest.mark.parametrize(
    ("scale", "plain", "mean", "deep_supervision", "fine_tuned"),
    [
        (8, 162_954, 177_068, 179_322, 177_670),
        (4, 647_914, 700_716, 705_210, 701_318),
        (2, 2_583_978, 2_787_884, 2_796_858, 2_788_486),
    ],
)
def test_parameters_are_those_of_the_released_networks(scale, plain, mean, deep_supervision, fine_tuned):
    """The released aggregation by concatenation does not run: there, one head of all inputs replaces three."""
    with torch.device("meta"):  # shapes without memory
        assert parameters(Sononet(14, scale)) == plain
        counts = {name: parameters(AGSononet(14, scale, name)) for name in AGGREGATIONS}
    others = {"mean": mean, "deep_supervision": deep_supervision, "fine_tuned": fine_tuned}
    assert counts == others | {"concatenation": mean - 2 * 14}


def test_gated_layers_are_the_papers_11_and_14():
    """And the gating one 17, counting convolutions and pooling layers."""
    with torch.device("meta"):
        model = AGSononet()
    lasts, number = [], 0
    for stage in model.backbone.stages:
        number += len(stage)
        lasts.append(number)
        number += 1  # pooling
    assert lasts[2:] == [11, 14, 17]
    assert (model.aggregation, *(gate.normalise for gate in model.gates)) == ("deep_supervision", shifted, shifted)


@pytest.mark.parametrize("shape", SHAPES)
def test_features(shape, rng):
    model, x = shaken(Sononet(5, 64), rng), images(shape, rng)
    ours, maps = model.backbone(x), []
    for stage, (depth, width) in enumerate(zip((3, 3, 3, 2, 2), (1, 2, 4, 8, 8), strict=True)):
        x = max_pool2d(x, 2) if stage else x
        for k in range(depth):
            convolution, norm, _ = model.backbone.stages[stage][k]
            x = conv2d(x, convolution.weight, convolution.bias, padding=1)
            x = batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias).relu()
        assert x.shape == (3, width, shape[0] >> stage, shape[1] >> stage)
        maps.append(x)
    torch.testing.assert_close(ours, maps)
    assert min(maps.std() for maps in ours[2:]) > 0.1


@pytest.mark.parametrize("shape", SHAPES)
def test_head_of_sononet(shape, rng):
    """Convolutions of size 1 to F3 and to C maps, both normalised, the last not rectified; each map's average."""
    model, x = shaken(Sononet(5, 32), rng), images(shape, rng)
    (first, norm, _), last, last_norm = model.head
    hidden = np.maximum(normalised(norm, dense(first, model.backbone(x)[-1].detach().numpy())), 0)
    assert hidden.shape[1] == 8
    expected = normalised(last_norm, dense(last, hidden)).mean((2, 3))
    assert model(x).shape == (3, 1, 5)
    np.testing.assert_allclose(model(x)[:, 0].detach(), expected, rtol=1e-9)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_coefficients(shape, normalisation, rng):
    """Of stages 3 and 4 on their own grids, each told of stage 5."""
    model, x = shaken(AGSononet(5, 32, normalisation=normalisation), rng), images(shape, rng)
    *_, fine, coarse, g = model.backbone(x)
    for gate, maps, alpha in zip(model.gates, (fine, coarse), model.coefficients(x), strict=True):
        assert torch.equal(alpha, gate.coefficients(maps, g))
        assert alpha.shape == (3, 1, *maps.shape[2:])
        assert alpha.flatten(1).std(1).min() > 0
        assert not torch.allclose(alpha, gate.coefficients(maps, g.flip(2)))
        if normalisation != "sigmoid":
            np.testing.assert_allclose(alpha.sum((1, 2, 3)).detach(), 1)
        assert (gate.w_x.weight.shape[2:], gate.w_x.out_channels) == ((1, 1), 16)
        assert (gate.w_g.bias, gate.align_corners) == (None, True)


@pytest.mark.parametrize("shape", SHAPES)
def test_logits_of_the_gates_written_plainly(shape, rng):
    """Equation 1 without b_xg; g is interpolated corner to corner, as by PyTorch before 0.4 (released)."""
    model, x = shaken(AGSononet(5, 32, normalisation="sigmoid"), rng), images(shape, rng)
    *_, fine, coarse, g = model.backbone(x)
    for gate, maps, alpha in zip(model.gates, (fine, coarse), model.coefficients(x), strict=True):
        told = conv2d(g, gate.w_g.weight)
        for axis in (2, 3):  # linear interpolation of one axis at a time, as a matrix
            n, m = told.shape[axis], maps.shape[axis]
            where = torch.arange(m, dtype=torch.float64) * (n - 1) / (m - 1)
            weights = (1 - (where[:, None] - torch.arange(n)).abs()).clamp(min=0)  # (m, n)
            told = (told.movedim(axis, -1) @ weights.T).movedim(-1, axis)
        q = conv2d((conv2d(maps, gate.w_x.weight) + told).relu(), gate.psi.weight, gate.psi.bias)
        torch.testing.assert_close(alpha, 1 / (1 + torch.exp(-q)))


def test_gating_by_one_vector_and_of_an_earlier_stage(rng):
    x = images(SHAPES[0], rng)
    model = shaken(AGSononet(5, 32, gating="global", gated=[1, 3]), rng)
    _, early, _, late, g = model.backbone(x)
    mean = g.mean((2, 3), keepdim=True)
    for gate, maps, alpha in zip(model.gates, (early, late), model.coefficients(x), strict=True):
        assert torch.equal(alpha, gate.coefficients(maps, mean))
    assert model(x).shape == (3, 4, 5) and model.heads[0].in_features == early.shape[1]


def attended(model, x):
    """The three vectors of each image in NumPy: two sums over space of alpha times x, and the average of stage 5."""
    maps = [one.detach().numpy() for one in model.backbone(x)[2:]]
    alpha = [one.detach().numpy()[:, 0] for one in model.coefficients(x)]
    sums = [np.einsum("bhw,bchw->bc", a, one) for a, one in zip(alpha, maps, strict=False)]
    return [*sums, maps[2].mean((2, 3))]


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_aggregation(aggregation, normalisation, rng):
    """What each head is fitted on, in which order, and how many there are."""
    model, x = shaken(AGSononet(5, 32, aggregation, normalisation), rng), images(SHAPES[1], rng)
    vectors = attended(model, x)
    joined = np.concatenate(vectors, 1)  # (B, F3 + F4 + F5)
    scales = [dense(head, vector) for head, vector in zip(model.heads, vectors, strict=False)]
    expected = {
        "mean": lambda: scales,
        "concatenation": lambda: [dense(model.joint, joined)],
        "deep_supervision": lambda: [dense(model.joint, joined), *scales],
        "fine_tuned": lambda: [dense(model.joint, np.concatenate(scales, 1))],
    }[aggregation]()
    ours = model(x).detach()
    assert ours.shape == (3, len(AGGREGATIONS[aggregation]), 5)
    np.testing.assert_allclose(ours, np.stack(expected, 1), rtol=1e-9)
    assert ours.std(0).min() > 0


def test_weights_of_the_losses():
    """Released; the first loss is that of the head on the joined vectors."""
    assert AGGREGATIONS["mean"] == (1, 1, 1)
    assert AGGREGATIONS["deep_supervision"] == (1, 0.1, 0.1, 0.1)
    assert AGGREGATIONS["concatenation"] == AGGREGATIONS["fine_tuned"] == (1,)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_probabilities(aggregation, rng):
    """The mean of the heads' probabilities, not that of their logits; or the first head's."""
    logits = 3 * torch.randn(6, len(AGGREGATIONS[aggregation]), 5, generator=rng)
    each = softmax(logits.double().numpy(), axis=2)
    expected = each.mean(1) if aggregation == "mean" else each[:, 0]
    np.testing.assert_allclose(probabilities(logits, aggregation), expected, rtol=1e-5)
    assert probabilities(logits.bfloat16(), aggregation).dtype == torch.float32
    with torch.device("meta"):
        assert AGSononet(aggregation=aggregation).aggregation == aggregation
        assert len(AGGREGATIONS[Sononet().aggregation]) == 1


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_gates_at_the_start(normalisation, rng):
    """Open, or all alike; "shifted" ones, which have no gradient there, at random."""
    model, x = AGSononet(5, 32, normalisation=normalisation), images(SHAPES[0], rng).float()
    for alpha, count in zip(model.coefficients(x), (12 * 16, 6 * 8), strict=True):
        if normalisation == "shifted":
            assert alpha.std() > 0.1 / count
        else:
            expected = 0.9525741 if normalisation == "sigmoid" else 1 / count
            torch.testing.assert_close(alpha, torch.full_like(alpha, expected))


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("network", ["plain", *AGGREGATIONS])
def test_every_weight_learns(network, normalisation, rng):
    """W_x and W_g of gates that start open from the second step on."""
    model = Sononet(5, 32) if network == "plain" else AGSononet(5, 32, network, normalisation)
    x, optimiser = images(SHAPES[0], rng).float(), torch.optim.SGD(model.parameters(), 0.1)
    for step in range(2):
        optimiser.zero_grad()
        sum(cross_entropy(head, torch.tensor([0, 1, 2])) for head in model(x).unbind(1)).backward()
        weights = {name: p.grad for name, p in model.named_parameters() if name.endswith("weight")}
        late = {name for name in weights if ".w_" in name and step == 0 and normalisation != "shifted"}
        assert {name for name, gradient in weights.items() if not gradient.any()} == late
        optimiser.step()


@pytest.mark.parametrize("network", [Sononet, AGSononet])
def test_initial_weights_depend_on_the_seed_alone(network):
    first, again, other = (build(lambda: network(feature_scale=32), seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["backbone.stages.1.0.0.weight"], other["backbone.stages.1.0.0.weight"])
    assert first["backbone.stages.1.0.0.weight"].is_contiguous(memory_format=torch.channels_last)


def test_start_from_sononet(rng):
    """Every feature, and nothing else."""
    trained, model = shaken(Sononet(5, 32), rng), AGSononet(5, 32).double()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    start_from(model, trained)
    after, theirs = model.state_dict(), trained.state_dict()
    for name in after:
        assert torch.equal(after[name], theirs[name] if name.startswith("backbone.") else before[name])
    x = images(SHAPES[0], rng)
    torch.testing.assert_close(model.eval().backbone(x), trained.backbone(x))


def test_start_from_another_aggregation(rng):
    """The new layer on the joined logits has another shape than that on the joined vectors, and stays as it is."""
    trained, model = AGSononet(5, 32, "deep_supervision"), AGSononet(5, 32, "fine_tuned")
    own = model.joint.weight.clone()
    start_from(model, trained)
    assert torch.equal(model.joint.weight, own)
    taken = {name: tensor for name, tensor in trained.state_dict().items() if not name.startswith("joint.")}
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in taken.items())
    trained.heads[0].weight.data.zero_()
    assert model.heads[0].weight.all()  # a copy


def test_unknown_options():
    with pytest.raises(
        ValueError, match=r"^aggregation='ft': unknown; choose one of mean, concatenation, deep_s.*ned$"
    ):
        AGSononet(aggregation="ft")
    with pytest.raises(ValueError, match=r"^normalisation='max': unknown; choose one of sigmoid, softmax, shifted$"):
        AGSononet(normalisation="max")
    with pytest.raises(ValueError, match=r"^gating='centre': unknown; choose one of grid, global$"):
        AGSononet(gating="centre")
