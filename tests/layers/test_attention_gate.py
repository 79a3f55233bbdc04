"""The gate against equations 1 to 3 written out in NumPy, its normalisations, and how it starts."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax

from whereabouts.layers.attention_gate import NORMALISATIONS, AttentionGate, MultiAttentionGate, shifted

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
