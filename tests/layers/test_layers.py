"""The mechanisms against the papers' equations as loops over pixels, SciPy's normal distribution and closed forms."""

import math

import numpy as np
import pytest
import torch
from scipy.special import expit
from scipy.stats import norm
from torch.func import functional_call

from whereabouts.layers import INSIDE, FiLM, GuidingBlock
from whereabouts.layers.hypernetwork import hypernetwork
from whereabouts.layers.inside import gaussian
from whereabouts.models import parameters

SIZES = [(1, 1), (13, 17), (5, 4)]
INSIDES = [
    {"attention": attention, "film": film, "scale": scale, "sigma": sigma}
    for attention in ("multiple", "single")
    for film, scale in ((True, "gamma"), (True, "1-gamma"), (False, "gamma"))
    for sigma in ("text", "open", "wide", "code")
]


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(7)


def shaken(layer, rng, dtype=torch.float64):
    """`layer` with random weights and biases, so that no output is 0 by its initialisation."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(0, 0.8, generator=rng)
    return layer.to(dtype)


def inputs(batch, channels, condition, size, rng, dtype=torch.float64):
    x = torch.randn(batch, channels, *size, generator=rng, dtype=dtype)
    return x, torch.randn(batch, condition, generator=rng, dtype=dtype)


def with_outputs(layer, values):
    """`layer` whose hypernetwork always answers `values` (n,)."""
    with torch.no_grad():
        layer.hypernetwork[-1].weight.zero_()
        layer.hypernetwork[-1].bias.copy_(torch.as_tensor(values))
    return layer


# ---------------------------------------------------------------------------------------------- numbers of parameters


@pytest.mark.parametrize(
    ("layer", "outputs", "count"),
    [
        (FiLM(64, 4), 128, 5_440),
        (FiLM(64, 3), 128, 5_408),
        (FiLM(64, 4, hidden=64), 128, 12_800),
        (GuidingBlock(64, 4, (50, 50)), 228, 8_740),
        (GuidingBlock(64, 3, (50, 50)), 228, 8_708),
        (GuidingBlock(64, 4, (50, 50), hidden=64), 228, 19_300),
        (INSIDE(64, 4), 384, 13_888),
        (INSIDE(64, 3), 384, 13_856),
        (INSIDE(64, 4, hidden=64), 384, 29_440),
        (INSIDE(64, 4, attention="single"), 132, 32 * 37 + 32 + 33 * 132),
        (INSIDE(64, 4, film=False), 256, 32 * 37 + 32 + 33 * 256),
        (INSIDE(64, 4, attention="single", film=False), 4, 32 * 37 + 32 + 33 * 4),
        (INSIDE(64, 4, spatial_dims=3), 512, 32 * 37 + 32 + 33 * 512),
    ],
)
def test_parameters_are_the_papers(layer, outputs, count):
    assert layer.hypernetwork[-1].out_features == outputs
    assert parameters(layer) == count


def test_weights_start_glorot_uniform_and_biases_zero():
    torch.manual_seed(1)
    for dense in INSIDE(64, 4, hidden=64).hypernetwork[::2]:
        limit = math.sqrt(6 / (dense.in_features + dense.out_features))
        assert dense.weight.abs().max() <= limit
        assert dense.weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.1)
        assert not dense.bias.any()


def test_hypernetwork_is_three_dense_layers_with_tanh_between(rng):
    layers = shaken(hypernetwork(3, 5, 7), rng)
    z = torch.randn(4, 3, generator=rng, dtype=torch.float64)
    (w1, b1), (w2, b2), (w3, b3) = ([p.detach().numpy() for p in dense.parameters()] for dense in layers[::2])
    expected = np.tanh(np.tanh(z.numpy() @ w1.T + b1) @ w2.T + b2) @ w3.T + b3
    np.testing.assert_allclose(layers(z).detach(), expected, rtol=1e-12)


# ----------------------------------------------------------------------------------- forward against loops over pixels


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("scale", ["gamma", "1-gamma"])
def test_film(scale, batch, size, rng):
    layer = shaken(FiLM(4, 2, scale=scale), rng)
    x, z = inputs(batch, 4, 2, size, rng)
    head = layer.hypernetwork(z).detach().numpy()
    expected = np.empty(x.shape)
    for b, c, h, w in np.ndindex(*x.shape):
        gamma, beta = head[b, c], head[b, 4 + c]
        expected[b, c, h, w] = (gamma if scale == "gamma" else 1 - gamma) * x[b, c, h, w] + beta
    np.testing.assert_allclose(layer(x, z).detach(), expected, rtol=1e-12)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("batch", [1, 3])
def test_guiding_block(batch, size, rng):
    layer = shaken(GuidingBlock(4, 2, size), rng)
    x, z = inputs(batch, 4, 2, size, rng)
    head = layer.hypernetwork(z).detach().numpy()
    expected = np.empty(x.shape)
    for b, c, h, w in np.ndindex(*x.shape):
        shift, scale, alpha, beta = head[b, c], head[b, 4 + c], head[b, 8 + h], head[b, 8 + size[0] + w]
        expected[b, c, h, w] = (1 + alpha + beta + scale) * x[b, c, h, w] + shift
    np.testing.assert_allclose(layer(x, z).detach(), expected, rtol=1e-12)


def profile(mu, s, n, sigma):
    """One axis of the attention in pixels, as the released code writes it, from two outputs of the hypernetwork."""
    sigmoid = 1 / (1 + math.exp(-s))
    centre = math.tanh(mu) * n / 2 + n / 2 - 0.5
    width = {
        "text": sigmoid * n / 7,
        "open": sigmoid * n / 7,
        "code": 3.5 * math.tanh(s),
        "wide": 3.5 * sigmoid * n / 2,
    }[sigma]
    return [math.exp(-0.5 * ((k - centre) / (abs(width) + 1e-7)) ** 2) for k in range(n)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("options", INSIDES, ids=lambda options: "-".join(map(str, options.values())))
def test_inside(options, batch, size, rng):
    layer = shaken(INSIDE(4, 2, **options), rng)
    x, z = inputs(batch, 4, 2, size, rng)
    head = layer.hypernetwork(z).detach().numpy()
    film, n = 8 if options["film"] else 0, 4 if options["attention"] == "multiple" else 1
    expected = np.empty(x.shape)
    for b, c in np.ndindex(batch, 4):
        mu_h, mu_w, s_h, s_w = head[b, film:].reshape(4, n)[:, c % n]
        a_h = profile(mu_h, s_h, size[0], options["sigma"])
        a_w = profile(mu_w, s_w, size[1], options["sigma"])
        for h, w in np.ndindex(*size):
            value = x[b, c, h, w].item() * a_h[h] * a_w[w]
            if film:
                gamma, beta = head[b, c], head[b, 4 + c]
                value = (gamma if options["scale"] == "gamma" else 1 - gamma) * value + beta
            expected[b, c, h, w] = value
    np.testing.assert_allclose(layer(x, z).detach(), expected, rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize("attention", ["multiple", "single"])
def test_inside_in_three_dimensions(attention, rng):
    layer = shaken(INSIDE(3, 2, attention=attention, film=False, spatial_dims=3), rng)
    x, z = inputs(2, 3, 2, (5, 6, 1), rng)
    n = 3 if attention == "multiple" else 1
    mu, s = layer.hypernetwork(z).detach().numpy().reshape(2, 2, 3, n).transpose(1, 0, 2, 3)  # (B, axes, n) each
    expected = x.numpy().copy()
    for b, c in np.ndindex(2, 3):
        a = [profile(mu[b, axis, c % n], s[b, axis, c % n], x.shape[2 + axis], "text") for axis in range(3)]
        expected[b, c] *= np.einsum("i,j,k->ijk", *a)
    np.testing.assert_allclose(layer(x, z).detach(), expected, rtol=1e-9)
    np.testing.assert_allclose(layer(x, z).detach(), x * layer.attention(z, x.shape[2:]).detach(), rtol=1e-12)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scale", ["gamma", "1-gamma"])
def test_film_with_a_predictor_of_its_own(scale, size, rng):
    """Gamma first, then beta, from the network that is given; INSIDE's hypernetwork is then not there."""
    predictor = torch.nn.Linear(2, 8)
    layer = shaken(FiLM(4, 2, scale=scale, predictor=predictor), rng)
    assert layer.hypernetwork is predictor
    assert parameters(layer) == 2 * 8 + 8
    x, z = inputs(3, 4, 2, size, rng)
    weight, bias = (part.detach().numpy() for part in (predictor.weight, predictor.bias))
    expected = np.empty(x.shape)
    for b, c, h, w in np.ndindex(*x.shape):
        gamma, beta = (weight[k] @ z[b].numpy() + bias[k] for k in (c, 4 + c))
        expected[b, c, h, w] = (gamma if scale == "gamma" else 1 - gamma) * x[b, c, h, w] + beta
    np.testing.assert_allclose(layer(x, z).detach(), expected, rtol=1e-9)


def test_a_predictor_may_be_a_network_without_layers(rng):
    """The facts themselves as gamma and beta. An empty `Sequential` counts as false."""
    layer = FiLM(2, 4, predictor=torch.nn.Sequential())
    x, z = inputs(3, 2, 4, (5, 4), rng)
    assert parameters(layer) == 0
    torch.testing.assert_close(layer(x, z), x * z[:, :2, None, None] + z[:, 2:, None, None])


# ------------------------------------------------------------------------------------------------------- the Gaussian


@pytest.mark.parametrize("n", [1, 2, 7, 50])
@pytest.mark.parametrize("mu", [-1.0, -0.3, 0.0, 0.77, 1.0])
@pytest.mark.parametrize("sigma", [0.02, 1 / 3.5, 2.0, -0.4])
def test_gaussian_is_a_normal_density_with_peak_1(sigma, mu, n):
    centres = np.linspace(-1, 1, 2 * n + 1)[1::2]  # edges and centres alternate
    ours = gaussian(torch.tensor([[mu]]).double(), torch.tensor([[sigma]]).double(), n)[0, 0]
    density = norm.pdf(centres, mu, abs(sigma)) / norm.pdf(mu, mu, abs(sigma))
    np.testing.assert_allclose(ours, density, rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize("n", [1, 5, 50])
def test_peak_is_1_on_a_pixel_and_less_between_two(n):
    for k in range(n):
        mu = torch.tensor([[(2 * k + 1) / n - 1, (2 * k + 2) / n - 1]]).double()
        on, between = gaussian(mu, torch.full_like(mu, 0.1), n)[0]
        assert on.argmax() == k
        assert on.max() == pytest.approx(1, abs=1e-12)
        assert between.max() == pytest.approx(math.exp(-0.5 * (10 / n) ** 2), rel=1e-4)  # half a pixel is 1/n


@pytest.mark.parametrize(("mu", "pixel"), [(-1.0, 0), (1.0, 9)])
def test_means_of_1_are_the_edges_of_the_image(mu, pixel):
    """The outermost centre is then half a pixel, 1/N, away: nothing of the peak is inside."""
    ours = gaussian(torch.tensor([[mu]]).double(), torch.full((1, 1), 0.1).double(), 10)[0, 0]
    assert ours.argmax() == pixel
    assert ours[pixel] == pytest.approx(math.exp(-0.5), rel=1e-5)


def widest(sigma, n):
    """The standard deviation in pixels of one axis for a saturated width, from where the profile falls to exp(-1/2)."""
    layer = with_outputs(INSIDE(1, 1, film=False, hidden=1, sigma=sigma).double(), [0.0, 0.0, 30.0, 30.0])
    profile = layer.attention(torch.zeros(1, 1).double(), (n, n))[0, 0, n // 2].detach().numpy()
    k = np.arange(n) - (n / 2 - 0.5)
    slope = np.polyfit(k**2, np.log(profile), 1)[0]  # log a = const - k^2 / (2 sd^2)
    return math.sqrt(-0.5 / slope)


@pytest.mark.parametrize("n", [7, 50, 224])
def test_readings_of_the_width(n):
    assert widest("text", n) == widest("open", n) == pytest.approx(n / 7, rel=1e-5)
    assert widest("code", n) == pytest.approx(3.5, rel=1e-5)
    assert widest("wide", n) == pytest.approx(3.5 * n / 2, rel=1e-5)


def test_widest_gaussian_of_the_text_covers_what_the_paper_says():
    """Centred, its mass inside the image is that within 3.5 standard deviations, 99.95%."""
    inside = norm.cdf(25 / widest("text", 50)) - norm.cdf(-25 / widest("text", 50))
    assert inside == pytest.approx(0.99953, abs=5e-6)


@pytest.mark.parametrize(
    ("sigma", "activation"), [("text", expit), ("open", expit), ("code", np.tanh), ("wide", expit)]
)
def test_penalised_widths_are_those_after_the_activation(sigma, activation):
    layer = with_outputs(INSIDE(2, 3, film=False, sigma=sigma).double(), [9.0] * 4 + [-80.0, -1.0, 0.5, 80.0])
    widths = layer.sigma(torch.zeros(5, 3).double())
    assert widths.shape == (2, 5, 2)
    np.testing.assert_allclose(widths[:, 3].detach(), activation(np.array([[-80.0, -1.0], [0.5, 80.0]])), rtol=1e-12)


# ------------------------------------------------------------------------------------------------------ what is drawn


@pytest.mark.parametrize("attention", ["multiple", "single"])
def test_attention_is_what_forward_applies(attention, rng):
    layer = shaken(INSIDE(5, 3, attention=attention, film=False), rng)
    _, z = inputs(2, 5, 3, (1, 1), rng)
    drawn = layer.attention(z, (6, 9))
    assert drawn.shape == (2, 5, 6, 9)
    torch.testing.assert_close(layer(torch.ones(2, 5, 6, 9).double(), z), drawn, rtol=0, atol=0)
    identical = all(torch.equal(drawn[:, 0], drawn[:, c]) for c in range(1, 5))
    assert identical == (attention == "single")


@pytest.mark.parametrize(
    ("sigma", "sd"), [("text", 0.5 / 3.5), ("open", expit(3) / 3.5), ("wide", 0.5 * 3.5), ("code", 0)]
)
@pytest.mark.parametrize("attention", ["multiple", "single"])
def test_what_passes_at_the_start(attention, sigma, sd, rng):
    """Told nothing, when only biases speak: the product of two centred normal densities, integrated by SciPy."""
    layer = INSIDE(6, 2, attention=attention, sigma=sigma).double()
    maps = layer.attention(torch.zeros(1, 2).double(), (200, 200)).detach()
    along = sd * math.sqrt(2 * math.pi) * (norm.cdf(1 / sd) - 0.5) if sd else 0
    np.testing.assert_allclose(maps.mean((2, 3)), along**2, rtol=1e-3)


def test_scale_at_the_start(rng):
    """With all outputs of the head at 0, "1-gamma" leaves x as it is and "gamma" wipes it out."""
    x, z = inputs(2, 4, 3, (6, 9), rng)
    assert torch.equal(with_outputs(FiLM(4, 3, scale="1-gamma").double(), [0.0] * 8)(x, z), x)
    assert not with_outputs(FiLM(4, 3).double(), [0.0] * 8)(x, z).any()
    assert torch.equal(with_outputs(GuidingBlock(4, 3, (6, 9)).double(), [0.0] * 23)(x, z), x)
    layer = with_outputs(INSIDE(4, 3, scale="1-gamma").double(), [0.0] * 24)
    torch.testing.assert_close(layer(x, z), x * layer.attention(z, (6, 9)))
    assert not with_outputs(INSIDE(4, 3).double(), [0.0] * 24)(x, z).any()


# ----------------------------------------------------------------------------------------------- gradients, precision


SMALL = {
    "film": lambda: FiLM(2, 2, hidden=2),
    "guiding_block": lambda: GuidingBlock(2, 2, (3, 2), hidden=2),
    "inside": lambda: INSIDE(2, 2, hidden=2),
    "inside, released": lambda: INSIDE(2, 2, hidden=2, scale="1-gamma", sigma="code"),
    "inside, wide": lambda: INSIDE(2, 2, hidden=2, sigma="wide"),
    "single": lambda: INSIDE(2, 2, hidden=2, attention="single", film=False),
}


@pytest.mark.parametrize("name", SMALL)
def test_gradients_are_those_of_finite_differences(name, rng):
    layer = shaken(SMALL[name](), rng)
    names, values = zip(*layer.named_parameters(), strict=True)
    x, z = inputs(2, 2, 2, (3, 2), rng)

    def f(x, z, *values):
        return functional_call(layer, dict(zip(names, values, strict=True)), (x, z))

    assert torch.autograd.gradcheck(f, (x.requires_grad_(), z.requires_grad_(), *values))


@pytest.mark.parametrize("magnitude", [0.0, 1e2, 1e6])
@pytest.mark.parametrize("name", SMALL)
def test_gradients_are_finite_for_extreme_facts(name, magnitude, rng):
    layer = shaken(SMALL[name](), rng, torch.float32)
    x, _ = inputs(4, 2, 2, (3, 2), rng, torch.float32)
    z = magnitude * torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    for tensor in (x, z):
        tensor.requires_grad_()
    y = layer(x, z)
    y.square().sum().backward()
    assert y.isfinite().all()
    assert all(tensor.grad.isfinite().all() for tensor in (x, z, *layer.parameters()))


@pytest.mark.parametrize("s", [-200.0, 0.0])
def test_a_width_of_0_gives_a_single_pixel_or_none_and_finite_gradients(s):
    """sigmoid(-200) and tanh(0) are 0 in float32."""
    layer = with_outputs(INSIDE(1, 1, film=False, hidden=1, sigma="text" if s else "code"), [0.0, 0.0, s, s])
    x = torch.ones(1, 1, 5, 4)
    y = layer(x, torch.ones(1, 1))  # 0 is the centre of one of 5 pixels and an edge between 4
    y.sum().backward()
    assert not y.any()
    assert layer.attention(torch.ones(1, 1), (5, 5)).sum() == 1
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


def test_mixed_precision_leaves_the_gaussian_where_it_is(rng):
    """bfloat16 has 8 significant bits, too few to tell 224 pixels apart; only the maps themselves may be rounded."""
    layer = shaken(INSIDE(4, 2, scale="1-gamma"), rng, torch.float32)
    x, z = inputs(3, 4, 2, (224, 7), rng, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = layer(x.bfloat16(), z), layer.attention(z, (224, 7))
    assert mixed[0].dtype == torch.bfloat16
    exact = layer.double()
    torch.testing.assert_close(mixed[1].double(), exact.attention(z.double(), (224, 7)), rtol=0, atol=1e-5)
    torch.testing.assert_close(mixed[0].double(), exact(x.double(), z.double()), rtol=0.05, atol=0.05)


# ----------------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FiLM(4, 2, scale="1+gamma"), "scale='1+gamma': unknown; choose one of gamma, 1-gamma"),
        (lambda: INSIDE(4, 2, scale="beta"), "scale='beta': unknown; choose one of gamma, 1-gamma"),
        (lambda: INSIDE(4, 2, attention="many"), "attention='many': unknown; choose one of multiple, single"),
        (lambda: INSIDE(4, 2, sigma="paper"), "sigma='paper': unknown; choose one of text, open, wide, code"),
        (lambda: INSIDE(4, 2, spatial_dims=1), "spatial_dims=1: unknown; choose one of 2, 3"),
    ],
)
def test_unknown_options(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == message


@pytest.mark.parametrize("size", [(5, 4), (4, 4), (4, 5, 1)])
def test_guiding_block_works_at_its_size_only(size):
    with pytest.raises(ValueError) as error:
        GuidingBlock(2, 1, [4, 5])(torch.zeros(1, 2, *size), torch.zeros(1, 1))
    assert str(error.value) == f"Guiding Block made for maps of (4, 5), got {size}: set size=(H, W)"


@pytest.mark.parametrize(("dims", "shape"), [(2, (1, 2, 3, 3, 3)), (3, (1, 2, 3, 3)), (2, (1, 2, 3))])
def test_inside_wants_as_many_axes_as_declared(dims, shape):
    with pytest.raises(ValueError) as error:
        INSIDE(2, 1, spatial_dims=dims)(torch.zeros(shape), torch.zeros(1, 1))
    assert str(error.value) == f"INSIDE with spatial_dims={dims} got x of shape {shape}"
