"""The gate against equations 1 to 3 written out in NumPy, its normalisations, and how it starts."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax

from whereabouts.layers.attention_gate import (
    NORMALISATIONS,
    AttentionGate,
    MultiAttentionGate,
    parameter_groups,
    shifted,
)

pytestmark = pytest.mark.usefixtures("on_the_cpu")

GRIDS = [  # of x and of g: coarser, finer, the same, one pixel
    *[((7, 10), (3, 4)), ((4, 3), (9, 5)), ((6, 5), (6, 5)), ((3, 2), (1, 1))],
    *[((5, 6, 7), (2, 3, 2)), ((3, 2, 2), (1, 1, 1)), ((4, 3, 5), (2, 1, 2))],
]
ORACLES = {  # of each map of a batch
    "sigmoid": expit,
    "softmax": lambda q: np.stack([softmax(one) for one in q]),
    "shifted": lambda q: np.stack([(one - one.min()) / (one - one.min()).sum() for one in q]),
}


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(19)


def shaken(layer, rng, dtype=torch.float64):
    """`layer`, evaluating, with random weights, biases and running statistics."""
    with torch.no_grad():
        for tensor in layer.parameters():
            tensor.normal_(0, 0.8, generator=rng)
        for tensor in layer.buffers():
            if tensor.is_floating_point():
                tensor.uniform_(0.5, 2, generator=rng)
    return layer.to(dtype).eval()


def inputs(fine, coarse, rng, dtype=torch.float64, channels=3, gating=4, batch=2):
    x = torch.randn(batch, channels, *fine, generator=rng, dtype=dtype)
    return x, torch.randn(batch, gating, *coarse, generator=rng, dtype=dtype)


def convolved(layer, x):
    """A convolution of size 1 in NumPy: a matrix product at every pixel."""
    w = layer.weight.detach().numpy()
    y = np.einsum("oi,bi...->bo...", w.reshape(w.shape[:2]), x)
    return y if layer.bias is None else y + layer.bias.detach().numpy().reshape(-1, *[1] * (x.ndim - 2))


def normalised(layer, x):
    """Batch normalisation by its running statistics in NumPy."""
    mean, var, scale, shift = (
        t.detach().numpy().reshape(-1, *[1] * (x.ndim - 2))
        for t in (layer.running_mean, layer.running_var, layer.weight, layer.bias)
    )
    return (x - mean) / np.sqrt(var + 1e-5) * scale + shift


def linear(x, size, align_corners):
    """Linear interpolation of (B, C, ...), an axis at a time: where each new pixel lies among the old ones."""
    for axis, (n, m) in enumerate(zip(x.shape[2:], size, strict=True), 2):
        k = np.arange(m)
        where = k * (n - 1) / max(m - 1, 1) if align_corners else np.clip((k + 0.5) * n / m - 0.5, 0, n - 1)
        weights = np.maximum(0, 1 - np.abs(where[:, None] - np.arange(n)))  # (m, n)
        x = np.moveaxis(np.tensordot(weights, x, (1, axis)), 0, axis)
    return x


def logits(gate, x, g, subsample, align_corners):
    """q of equation 1 on its own grid."""
    size, fine = [n // subsample for n in x.shape[2:]], 0
    for offset in product(range(subsample), repeat=len(size)):
        part = tuple(slice(o, o + n * subsample, subsample) for o, n in zip(offset, size, strict=True))
        fine += np.einsum("oi,bi...->bo...", gate.w_x.weight.detach().numpy()[(..., *offset)], x.numpy()[(..., *part)])
    coarse = linear(convolved(gate.w_g, g.numpy()), size, align_corners)
    return convolved(gate.psi, np.maximum(fine + coarse, 0))


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("subsample", [1, 2])
@pytest.mark.parametrize(("fine", "coarse"), GRIDS)
def test_equations_1_and_2(fine, coarse, subsample, align_corners, rng):
    options = {"spatial_dims": len(fine), "subsample": subsample, "align_corners": align_corners, "transform": False}
    for normalisation, bias in product(NORMALISATIONS, (True, False)):
        gate = shaken(AttentionGate(3, 4, 5, normalisation=normalisation, bias=bias, **options), rng)
        assert (gate.w_g.bias is None, gate.w_x.bias) == (not bias, None)
        x, g = inputs(fine, coarse, rng)
        q = logits(gate, x, g, subsample, align_corners)
        if q.size == 2 and normalisation == "shifted":
            continue  # one position an image: nothing is above the lowest
        alpha = linear(ORACLES[normalisation](q), fine, align_corners)
        np.testing.assert_allclose(gate.coefficients(x, g).detach(), alpha, atol=1e-12)
        np.testing.assert_allclose(gate(x, g).detach(), alpha * x.numpy(), atol=1e-12)


@pytest.mark.parametrize(("fine", "coarse"), GRIDS[::4])
def test_output_transform(fine, coarse, rng):
    gate = shaken(AttentionGate(3, 4, spatial_dims=len(fine)), rng)
    assert gate.w_x.weight.shape == (3, 3, *[2] * len(fine))  # F_int is C
    x, g = inputs(fine, coarse, rng)
    convolution, norm = gate.transform
    expected = normalised(norm, convolved(convolution, (gate.coefficients(x, g) * x).detach().numpy()))
    np.testing.assert_allclose(gate(x, g).detach(), expected, atol=1e-12)


def test_gradients_are_scaled_by_the_coefficients(rng):
    """Equation 3: alpha times the gradient from above, and what flows through alpha itself."""
    gate = shaken(AttentionGate(3, 4, transform=False), rng)
    x, g = (t.requires_grad_() for t in inputs((5, 4, 6), (2, 2, 3), rng))
    above = torch.randn(x.shape, generator=rng, dtype=x.dtype)
    alpha = gate.coefficients(x, g)
    (first,) = torch.autograd.grad(gate.apply_to(x, alpha.detach()), x, above)
    torch.testing.assert_close(first, alpha.detach() * above)
    (second,) = torch.autograd.grad(alpha, x, (x.detach() * above).sum(1, keepdim=True))
    assert second.abs().max() > 0.01
    (whole,) = torch.autograd.grad(gate(x, g), x, above)
    torch.testing.assert_close(whole, first + second)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("fine", [(4, 3), (4, 2, 3)])
def test_gradients_are_those_of_finite_differences(fine, normalisation, rng):
    gate = AttentionGate(2, 2, 3, spatial_dims=len(fine), subsample=len(fine) - 1, normalisation=normalisation)
    x, g = (t.requires_grad_() for t in inputs(fine, [2] * len(fine), rng, channels=2, gating=2))
    parameters = list(shaken(gate, rng).parameters())
    assert torch.autograd.gradcheck(lambda x, g, *_: gate(x, g), (x, g, *parameters), fast_mode=True)


@pytest.mark.parametrize("shape", [(3, 1, 5, 7), (2, 1, 3, 4, 5), (2, 1, 1, 2)])
@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e3])
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_normalisations_of_each_map(normalisation, shape, scale, rng):
    q = scale * torch.randn(shape, generator=rng, dtype=torch.float64)
    ours = NORMALISATIONS[normalisation](q)
    np.testing.assert_allclose(ours, ORACLES[normalisation](q.numpy()), rtol=1e-9, atol=1e-300)
    if normalisation != "sigmoid":
        np.testing.assert_allclose(ours.flatten(1).sum(1), 1, rtol=1e-9)
    if normalisation == "shifted":
        assert not ours.flatten(1).amin(1).any()


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3, 1e6])
def test_shifted_of_a_constant_map_is_uniform(value, rng):
    """0/0 as released; the map beside it, which is not constant, is no other than alone."""
    q = torch.stack([torch.full((1, 4, 3, 5), value), torch.randn(1, 4, 3, 5, generator=rng)]).requires_grad_()
    alpha = shifted(q)
    torch.testing.assert_close(alpha[0], torch.full((1, 4, 3, 5), 1 / 60))
    torch.testing.assert_close(alpha[1:], shifted(q[1:]))
    (gradient,) = torch.autograd.grad((alpha * torch.rand(q.shape, generator=rng)).sum(), q)
    assert gradient.isfinite().all()
    assert gradient[1].any()


@pytest.mark.parametrize("scale", [1e4, 1e20, 1e30])
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_huge_logits_are_harmless(normalisation, scale, rng):
    q = (scale * torch.randn(2, 1, 6, 5, generator=rng)).requires_grad_()
    alpha = NORMALISATIONS[normalisation](q)
    (gradient,) = torch.autograd.grad((alpha * torch.rand(q.shape, generator=rng)).sum(), q)
    assert torch.stack([alpha, gradient]).isfinite().all()
    assert 0 <= alpha.min() < alpha.max() <= 1


@pytest.mark.parametrize("subsample", [1, 2])
@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_everything_passes_at_the_start(spatial_dims, subsample, rng):
    """Whatever x and g are; "shifted" starts at random."""
    fine, coarse = [6, 4, 4][:spatial_dims], [3, 2, 2][:spatial_dims]
    x, g = (100 * t for t in inputs(fine, coarse, rng, torch.float32))
    options = {"spatial_dims": spatial_dims, "subsample": subsample}
    alpha = AttentionGate(3, 4, **options).coefficients(x, g)
    torch.testing.assert_close(alpha, torch.full((2, 1, *fine), 0.9525741))  # 1 / (1 + exp(-3))
    alpha = AttentionGate(3, 4, normalisation="softmax", **options).coefficients(x, g)
    torch.testing.assert_close(alpha, torch.full((2, 1, *fine), subsample**spatial_dims / np.prod(fine).item()))
    assert AttentionGate(3, 4, normalisation="shifted", **options).coefficients(x, g).std() > 1e-3


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_gate_leaves_its_start(normalisation, rng):
    """psi has a gradient at once; W_x and W_g, where psi starts at 0, after its first step."""
    torch.manual_seed(0)
    gate = AttentionGate(3, 4, normalisation=normalisation)
    x, g = inputs((6, 4, 4), (3, 2, 2), rng, torch.float32)
    optimiser = torch.optim.SGD(gate.parameters(), lr=0.1)
    for step in range(2):
        optimiser.zero_grad()
        ((gate(x, g) - x.flip(2)) ** 2).sum().backward()
        assert gate.psi.weight.grad.any()
        for layer in (gate.w_x, gate.w_g):
            assert layer.weight.grad.any() == (step > 0 or normalisation == "shifted")
        optimiser.step()


def test_released_start_selects_at_once(rng):
    """As all convolutions: psi has PyTorch's own random weights, and its bias is small."""
    gate = AttentionGate(3, 4, start="released")
    gate.let_pass()
    assert gate.psi.weight.all() and gate.psi.bias.abs() <= 3**-0.5
    assert gate.coefficients(*inputs((6, 4, 4), (3, 2, 2), rng, torch.float32)).std() > 1e-3


def test_what_makes_the_coefficients_of_open_gates_does_not_decay():
    """Of a gate that starts at random, and of "shifted" ones, everything decays, as released."""
    gates = AttentionGate(3, 4), AttentionGate(3, 4, start="released"), AttentionGate(3, 4, normalisation="shifted")
    decaying, kept = parameter_groups(torch.nn.ModuleList(gates), 0.25)
    assert (decaying["weight_decay"], kept["weight_decay"]) == (0.25, 0)
    names = {id(weight): name for name, weight in torch.nn.ModuleList(gates).named_parameters()}
    found = {names.pop(id(weight)) for weight in kept["params"]}
    assert found == {"0.w_x.weight", "0.w_g.weight", "0.w_g.bias", "0.psi.weight", "0.psi.bias"}
    assert names == {id(weight): names[id(weight)] for weight in decaying["params"]}
    [group] = parameter_groups(torch.nn.Conv2d(1, 1, 1), 0.5)  # no gate: one group
    assert group["weight_decay"] == 0.5 and len(group["params"]) == 2


def size_of_weights(groups, steps=100, seed=0):
    """Of W_x and W_g of two open gates after steps of Adam, in parts of their start; data tell them next to nothing."""
    torch.manual_seed(seed)
    gate, rng = MultiAttentionGate(2, 3, spatial_dims=2), torch.Generator().manual_seed(seed)
    parts = [part for one in gate.gates for part in (one.w_x.weight, one.w_g.weight)]
    before = [part.detach().norm().item() for part in parts]
    optimiser = torch.optim.Adam(groups(gate), 3e-3)
    for _ in range(steps):
        x, g = torch.randn(2, 2, 4, 4, generator=rng), torch.randn(2, 3, 2, 2, generator=rng)
        optimiser.zero_grad()
        (1e-4 * (gate(x, g) - x.relu()) ** 2).mean().backward()
        optimiser.step()
    return [part.detach().norm().item() / old for part, old in zip(parts, before, strict=True)]


def test_gates_do_not_shrink_to_nothing_while_data_tell_them_little():
    """With the released decay of all parameters they do."""
    assert min(size_of_weights(lambda gate: parameter_groups(gate, 1e-6))) > 0.8
    assert max(size_of_weights(lambda gate: [{"params": gate.parameters(), "weight_decay": 1e-6}])) < 0.7


@pytest.mark.parametrize("gates", [1, 2, 3])
@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_several_gates_are_joined_and_combined(spatial_dims, gates, rng):
    several = shaken(MultiAttentionGate(3, 4, gates, spatial_dims, inner=2, normalisation="softmax"), rng)
    x, g = inputs([6, 5, 4][:spatial_dims], [3, 3, 2][:spatial_dims], rng)
    joined = torch.cat([gate(x, g) for gate in several.gates], 1).detach().numpy()  # (B, gates * C, ..)
    expected = np.maximum(normalised(several.combine[1], convolved(several.combine[0], joined)), 0)
    np.testing.assert_allclose(several(x, g).detach(), expected, atol=1e-12)
    alpha = several.coefficients(x, g)
    assert alpha.shape == (2, gates, *x.shape[2:])
    for gate, own in zip(several.gates, alpha.split(1, 1), strict=True):
        assert gate.w_x.out_channels == 2
        assert torch.equal(own, gate.coefficients(x, g))


@pytest.mark.parametrize("layer", [AttentionGate, MultiAttentionGate])
def test_coefficients_are_not_kept(layer, rng):
    """No tensor appears on a module, where it would keep the graph alive and the module from being copied."""
    gate = layer(3, 4)

    def attributes():
        return [(name, id(value)) for module in gate.modules() for name, value in sorted(vars(module).items())]

    before = attributes()
    gate(*inputs((6, 4, 4), (3, 2, 2), rng, torch.float32))
    assert attributes() == before


@pytest.mark.parametrize(("fine", "coarse"), GRIDS[::4])
def test_channels_last(fine, coarse, rng):
    layout = torch.channels_last if len(fine) == 2 else torch.channels_last_3d
    gate = shaken(MultiAttentionGate(3, 4, spatial_dims=len(fine)), rng, torch.float32)
    x, g = inputs(fine, coarse, rng, torch.float32)
    expected = gate(x, g)
    ours = gate.to(memory_format=layout)(x.to(memory_format=layout), g.to(memory_format=layout))
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_mixed_precision_normalises_in_float32(normalisation, rng):
    gate = shaken(AttentionGate(3, 4, spatial_dims=2, subsample=1, normalisation=normalisation), rng, torch.float32)
    x, g = inputs((9, 8), (4, 4), rng, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        alpha = gate.coefficients(x, g)
    assert alpha.dtype == torch.float32
    torch.testing.assert_close(alpha, gate.coefficients(x, g), rtol=0.05, atol=0.02)


@pytest.mark.parametrize("layer", [AttentionGate, MultiAttentionGate])
def test_unknown_options(layer):
    with pytest.raises(ValueError, match=r"^normalisation='max': unknown; choose one of sigmoid, softmax, shifted$"):
        layer(3, 4, normalisation="max")
    with pytest.raises(ValueError, match=r"^spatial_dims=1: unknown; choose one of 2, 3$"):
        layer(3, 4, spatial_dims=1)
    with pytest.raises(ValueError, match=r"^start='shut': unknown; choose one of open, released$"):
        layer(3, 4, start="shut")
