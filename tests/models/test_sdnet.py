"""SDNet's networks: parameters counted by hand, shapes layer by layer, and each operation against NumPy or SciPy."""

import re
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d
from scipy.stats import kstest
from torch import nn
from torch.nn.functional import leaky_relu

from whereabouts.errors import InputError
from whereabouts.layers import INSIDE, FiLM
from whereabouts.losses.sdnet import kl_divergence
from whereabouts.methods.networks.sdnet import sdnet_network
from whereabouts.methods.sdnet import SDNET_ARMS, SDNET_METHODS, SDNET_NAMES, sdnet_arms, sdnet_data, sdnet_facts
from whereabouts.models import parameters
from whereabouts.models.sdnet.anatomy import AnatomyEncoder, SegmentationUNet, one_hot, rounded
from whereabouts.models.sdnet.decoder import Decoder, Residual
from whereabouts.models.sdnet.discriminator import MaskDiscriminator
from whereabouts.models.sdnet.keras import keras_defaults
from whereabouts.models.sdnet.modality import ModalityEncoder, sample
from whereabouts.models.sdnet.network import SDNet
from whereabouts.models.sdnet.segmentor import Segmentor
from whereabouts.models.sdnet.volume import AreaRegressor
from whereabouts.reporting.plotting import METHOD_COLOURS

pytestmark = pytest.mark.usefixtures("on_the_cpu")


@pytest.fixture
def rng():
    torch.manual_seed(5)  # of the weights
    return torch.Generator().manual_seed(5)


def seen(model, kinds, *inputs):
    """(channels, height, width), or (features,), of what each layer of `kinds` gives, in the order of computation."""
    shapes = []
    hooks = [
        layer.register_forward_hook(lambda _, __, output: shapes.append(tuple(output.shape[1:])))
        for layer in model.modules()
        if isinstance(layer, kinds)
    ]
    model(*inputs)
    for hook in hooks:
        hook.remove()
    return shapes


def maps(rng, *shape):
    """Random values of a softmax over the channels."""
    return torch.softmax(2 * torch.randn(shape, generator=rng), dim=1)


# ---------------------------------------------------------------------------------------------- numbers of parameters


def conv(a, b, k=3):
    return k * k * a * b + b


@pytest.mark.parametrize(("outputs", "count"), [(8, 34_526_344), (4, 34_526_344 - 4 * 65)])
def test_parameters_of_the_unet_are_the_released_codes(outputs, count):
    """Stage by stage: convolutions with biases, and two numbers a map for each batch normalisation."""
    widths, total = [64, 128, 256, 512, 1024], conv(64, outputs, 1)
    for a, b in zip([1, *widths], widths, strict=False):
        total += conv(a, b) + conv(b, b) + 4 * b
    for b in widths[:4]:
        total += conv(2 * b, b) + conv(2 * b, b) + conv(b, b) + 6 * b
    with torch.device("meta"):  # shapes without memory
        assert parameters(SegmentationUNet(outputs)) == total == count


def test_parameters_are_the_released_codes():
    modality = conv(9, 16) + 3 * conv(16, 16) + 4 * 32 + 13 * 13 * 16 * 32 + 32 + 64 + 2 * (32 * 8 + 8)
    segmentor = conv(8, 64) + conv(64, 64) + 4 * 64 + conv(64, 4, 1)
    decoder = 4 * (2 * conv(8, 8) + 8 * 16 + 16 + 16 * 16 + 16) + conv(8, 1)
    widths = [3, 64, 128, 256, 512, 1024]
    discriminator = sum(conv(a, b, 4) for a, b in pairwise(widths)) + 14 * 14 * 1024 + 1
    with torch.device("meta"):
        assert parameters(AnatomyEncoder()) == 34_526_344
        assert parameters(ModalityEncoder()) == modality == 95_552
        assert parameters(Segmentor()) == segmentor == 42_116
        assert parameters(Decoder()) == decoder == 6_409
        assert parameters(SDNet()) == 34_526_344 + modality + segmentor + decoder
        assert parameters(MaskDiscriminator()) == discriminator == 11_346_881


def test_the_regressor_has_no_layer_as_wide_as_the_image():
    assert parameters(AreaRegressor()) == conv(8, 16) + conv(16, 16) + 16 * 17 + 17


# --------------------------------------------------------------------------------------------------------- the shapes


def test_unet_layer_by_layer(rng):
    """Four times half the side and twice the filters, and back; the up-sampled map comes before the skip connection."""
    model = SegmentationUNet(5, filters=2)
    sides = [(2, 32), (4, 16), (8, 8), (16, 4), (32, 2)]
    down = [(f, n, n) for f, n in sides for _ in range(2)]
    up = [(f, n, n) for f, n in sides[3::-1] for _ in range(3)]
    assert seen(model, nn.Conv2d, torch.randn(3, 1, 32, 32)) == [*down, *up, (5, 32, 32)]
    assert model(torch.randn(1, 1, 16, 48)).shape == (1, 5, 16, 48)


def test_unet_joins_as_released(rng):
    """Nearest neighbour, convolution, batch normalisation and no ReLU, then the encoder's map of the same side."""
    model = SegmentationUNet(3, filters=2).eval()
    joined, below, skips = [], [], []
    for stage in model.up:
        stage.register_forward_pre_hook(lambda _, inputs: below.append(inputs[0]))
        stage.register_forward_pre_hook(lambda _, inputs: skips.append(inputs[1]))
        stage.blocks.register_forward_pre_hook(lambda _, inputs: joined.append(inputs[0]))
    down = []
    for stage in model.down:
        stage.register_forward_hook(lambda _, __, output: down.append(output))
    model(torch.randn(2, 1, 16, 32, generator=rng))
    assert all(a is b for a, b in zip(skips, down[3::-1], strict=True))
    assert below[0] is down[4]
    for stage, x, skip, both in zip(model.up, below, skips, joined, strict=True):
        width = skip.shape[1]
        twice = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        torch.testing.assert_close(both[:, :width], stage.up[1](stage.up[0](twice)))
        assert torch.equal(both[:, width:], skip)
        assert both[:, :width].min() < 0 <= skip.min()


@pytest.mark.parametrize(
    ("side", "sides"), [(224, [111, 55, 27, 13]), (96, [47, 23, 11, 5]), (32, [15, 7, 3, 1]), (31, [15, 7, 3, 1])]
)
def test_modality_encoder_layer_by_layer(side, sides, rng):
    model = ModalityEncoder(channels=3, dimensions=5, side=side, filters=2, hidden=7)
    inputs = torch.randn(3, 1, side, side), torch.randn(3, 3, side, side)
    expected = [(2, n, n) for n in sides] + [(7,), (5,), (5,)]
    assert seen(model, (nn.Conv2d, nn.Linear), *inputs) == expected
    assert [part.shape for part in model.eval()(*(part[:1] for part in inputs))] == [(1, 5), (1, 5)]


def test_kl_keeps_its_precision_in_mixed_precision(rng):
    """Near the prior 1 + log_var - exp(log_var) cancels, and bfloat16 has 8 significant bits."""
    model = ModalityEncoder(channels=3, dimensions=5, side=32, filters=2, hidden=7).eval()
    inputs = torch.randn(3, 1, 32, 32), torch.randn(3, 3, 32, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mean, log_var = (part / 30 for part in model(*inputs))
        mixed = kl_divergence(mean, log_var)
    assert mixed.item() == pytest.approx(kl_divergence(mean.float(), log_var.float()).item(), rel=1e-3)


def test_modality_encoder_reads_both_factors(rng):
    model = ModalityEncoder(channels=3, dimensions=5, side=32, filters=2, hidden=7).eval()
    x, s = torch.randn(3, 1, 32, 32), torch.randn(3, 3, 32, 32)
    mean, log_var = model(x, s)
    for other in (model(x + 1, s), model(x, s.flip(1))):
        assert not torch.allclose(mean, other[0])
        assert not torch.allclose(log_var, other[1])
    torch.testing.assert_close(model(x[1:2], s[1:2])[0], mean[1:2])


def test_discriminator_layer_by_layer(rng):
    model = MaskDiscriminator(classes=2, side=48, filters=3)
    expected = [(3, 24, 24), (6, 12, 12), (12, 6, 6), (24, 3, 3), (48, 3, 3), (1,)]
    assert seen(model, (nn.Conv2d, nn.Linear), torch.rand(5, 2, 48, 48)) == expected
    assert not any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in model.modules())


@pytest.mark.parametrize("batch", [1, 3])
def test_sdnet_segments_and_encodes(batch, rng):
    options = {"dimensions": 2, "segmentor_filters": 3, "discrete": "one_hot"}  # no pixel of s is 0 in all channels
    model = SDNet(classes=3, side=32, channels=5, filters=2, **options).eval()
    x = torch.randn(batch, 1, 32, 32)
    s, mean, log_var = model.encode(x)
    assert s.sum() == batch * 32 * 32
    assert all(torch.equal(a, b) for a, b in zip(model.modality(x, s), (mean, log_var), strict=True))
    assert [part.shape for part in (s, mean, log_var)] == [(batch, 5, 32, 32), (batch, 2), (batch, 2)]
    assert torch.equal(model(x), model.segmentor(s))
    assert torch.equal(model(x, torch.randn(batch, 7)), model(x))  # facts are not looked at
    assert model(x).shape == (batch, 3, 32, 32)
    y = model.decoder(s, mean)
    assert y.shape == (batch, 1, 32, 32)
    assert y.abs().max() <= 1


# -------------------------------------------------------------------------------------------- the operations by hand


@pytest.mark.parametrize(("stage", "before", "after"), [(0, 1, 1), (4, 1, 2)])
@pytest.mark.parametrize("shape", [(8, 8), (6, 10)])
def test_same_padding_is_keras(shape, stage, before, after, rng):
    """Keras pads by k - s for even sides (stride 2: 2; stride 1: 3), the smaller half before, the larger after."""
    model = MaskDiscriminator(classes=2, side=16, filters=2)
    pad, layer = model.features[3 * stage : 3 * stage + 2]
    x = torch.randn(1, layer.in_channels, *shape, generator=rng)
    padded = np.pad(x[0].numpy(), ((0, 0), (before, after), (before, after)))
    step = 2 if stage < 4 else 1
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    expected = np.stack(
        [sum(map(lambda a, k: correlate2d(a, k, "valid"), padded, w)) + b for w, b in zip(weight, bias, strict=True)]
    )[:, ::step, ::step]
    assert expected.shape[1:] == (-(-shape[0] // step), -(-shape[1] // step))
    np.testing.assert_allclose(layer(pad(x))[0].detach(), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "slope"),
    [(lambda: MaskDiscriminator(2, 16, 2), 0.2), (lambda: ModalityEncoder(2, 2, 32), 0.3), (Segmentor, 0.3)],
)
def test_slopes_of_leaky_relu(model, slope):
    assert {layer.negative_slope for layer in model().modules() if isinstance(layer, nn.LeakyReLU)} == {slope}


def convolutions(model):
    """The last four, as matrices: W (out, in * 4 * 4)."""
    return [layer.weight.detach().flatten(1).numpy() for layer in model.features[4::3]]


def test_spectral_penalty_is_that_of_the_singular_values(rng):
    model = MaskDiscriminator(classes=2, side=16, filters=2).double()
    total = 0.0
    for w in convolutions(model):
        total += np.abs(w / np.linalg.svd(w, compute_uv=False)[0] - w).mean()
    assert len(convolutions(model)) == 4
    assert model.spectral_penalty(300).item() == pytest.approx(total, rel=1e-6)
    model.spectral_penalty().backward()
    touched = [name for name, p in model.named_parameters() if p.grad is not None]
    assert touched == [f"features.{k}.weight" for k in (4, 7, 10, 13)]


def test_spectral_penalty_draws_to_a_constant_target(rng):
    """Of mean |T - W| the gradient is sign(W - T) / n for each of n weights: the target W / sigma has none."""
    model = MaskDiscriminator(classes=2, side=16, filters=2).double()
    model.spectral_penalty(300).backward()
    for layer, w in zip(model.features[4::3], convolutions(model), strict=True):
        expected = np.sign(w - w / np.linalg.svd(w, compute_uv=False)[0]) / w.size
        np.testing.assert_allclose(layer.weight.grad.flatten(1), expected, rtol=1e-12)


def test_power_iterations_start_among_the_inputs(rng):
    """Three of W = A diag(2, 1.5) B' from x make v = W (W' W)^2 x, scaled to length 1; sigma is then |W' v|."""
    model = MaskDiscriminator(classes=2, side=16, filters=2).double()
    total, start = 0.0, lambda n: torch.rand(n, generator=torch.Generator().manual_seed(0)).double().numpy() * 2 - 1
    for layer in model.features[4::3]:
        out, inputs = layer.weight.flatten(1).shape
        a, b = (np.linalg.qr(torch.randn(n, 2, generator=rng).double().numpy())[0] for n in (out, inputs))
        w = a @ np.diag([2.0, 1.5]) @ b.T
        layer.weight.data = torch.from_numpy(w).view_as(layer.weight)
        v = (b.T @ start(inputs)) * np.array([2.0, 1.5]) ** 5  # in the frame of A
        total += np.abs(w * np.linalg.norm(v) / np.linalg.norm(v * [2.0, 1.5]) - w).mean()  # 1 / sigma = |v| / |W' v|
    assert model.spectral_penalty().item() == pytest.approx(total, rel=1e-6)


# ---------------------------------------------------------------------------------------- whole networks, in NumPy


def plainly(layer, x, train):
    """What Keras' formula of one layer makes of x (B, C, H, W) or (B, C); of several, one after another."""
    of_maps = (1, -1) + (1,) * (x.ndim - 2)
    if isinstance(layer, nn.Sequential):
        for one in layer.children():
            x = plainly(one, x, train)
        return x
    if isinstance(layer, nn.ReLU | nn.LeakyReLU):
        return np.where(x > 0, x, getattr(layer, "negative_slope", 0.0) * x)
    if isinstance(layer, nn.ZeroPad2d):
        left, right, top, bottom = layer.padding
        return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    if isinstance(layer, nn.Flatten):
        return x.reshape(len(x), -1)
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    if isinstance(layer, nn.Linear):
        return x @ weight.T + bias
    if isinstance(layer, nn.Conv2d):
        pad, step = layer.padding[0], layer.stride[0]
        x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        maps = [[sum(map(lambda a, k: correlate2d(a, k, "valid"), image, w)) for w in weight] for image in x]
        return np.array(maps)[:, :, ::step, ::step] + bias.reshape(of_maps)
    axes = (0, *range(2, x.ndim))
    mean, variance = (x.mean(axes), x.var(axes)) if train else (layer.running_mean.numpy(), layer.running_var.numpy())
    scale = weight / np.sqrt(variance + 1e-3)
    return (x - mean.reshape(of_maps)) * scale.reshape(of_maps) + bias.reshape(of_maps)


def unet_plainly(model, x, train):
    """Down by the largest of 2 x 2, up by repeating; what comes from below stands before what comes from the side."""
    skips = []
    for stage, block in enumerate(model.down):
        if stage:
            x = x.reshape(*x.shape[:2], x.shape[2] // 2, 2, x.shape[3] // 2, 2).max((3, 5))
        x = plainly(block, x, train)
        skips.append(x)
    for block, skip in zip(model.up, skips[3::-1], strict=True):
        x = plainly(block.up, x.repeat(2, 2).repeat(2, 3), train)
        x = plainly(block.blocks, np.concatenate([x, skip], 1), train)
    return plainly(model.head, x, train)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", ["anatomy", "modality", "segmentor", "discriminator"])
def test_a_network_is_its_formulas_one_after_another(name, train, rng):
    """In double precision; statistics, scales and shifts are drawn at random, statistics the batch's in training."""
    x = torch.randn(3, 1, 32, 32, generator=rng).double()
    s, m = (torch.rand(3, c, 32, 32, generator=rng).double() for c in (4, 3))
    make, inputs, plain = {
        "anatomy": (lambda: SegmentationUNet(4, filters=2), (x,), unet_plainly),
        "modality": (
            lambda: ModalityEncoder(4, 2, side=32, filters=3, hidden=5),
            (x, s),
            lambda model, both, train: [
                plainly(head, plainly(model.features, both, train), train) for head in (model.mean, model.log_var)
            ],
        ),
        "segmentor": (lambda: Segmentor(4, classes=4, filters=3), (s,), plainly),
        "discriminator": (
            lambda: MaskDiscriminator(3, side=32, filters=2),
            (m,),
            lambda model, mask, train: plainly(model.score, plainly(model.features, mask, train), train),
        ),
    }[name]
    model = keras_defaults(make()).double().train(train)
    with torch.no_grad():
        for key, value in model.state_dict().items():
            if value.ndim == 1:  # biases, scales, shifts, statistics
                value.copy_(torch.rand(value.shape, generator=rng) + 0.5 * ("bias" not in key))
        expected = plain(model, torch.cat(inputs[::-1], 1).numpy(), train)
        found = model(*inputs)
    for ours, theirs in zip(*((found, expected) if name == "modality" else ([found], [expected])), strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-4 if name == "modality" else 1e-8, atol=1e-9)


def film_by_hand(layer, x, z):
    """gamma x + beta, with gamma and beta from Dense(2C), leaky ReLU 0.3, Dense(2C), as loops over maps."""
    (w1, b1), (w2, b2) = ([p.detach().numpy() for p in dense.parameters()] for dense in layer.hypernetwork[::2])
    hidden = z @ w1.T + b1
    head = np.where(hidden > 0, hidden, 0.3 * hidden) @ w2.T + b2
    result, channels = np.empty_like(x), x.shape[1]
    for b, c in np.ndindex(x.shape[:2]):
        result[b, c] = head[b, c] * x[b, c] + head[b, channels + c]
    return result


def test_decoder_layer_by_hand(rng):
    layer = Decoder(channels=3, dimensions=2).double().layers[1]
    assert isinstance(layer, Residual)
    x, z = torch.randn(2, 3, 5, 7, generator=rng).double(), torch.tensor([[3.0, -1.0], [-2.0, -1.5]]).double()
    with torch.no_grad():
        assert (layer.modulation.hypernetwork[0](z) < 0).any()  # where leaky ReLU is leaky
        first = leaky_relu(layer.first(x), 0.3)
        second = film_by_hand(layer.modulation, layer.second(first).numpy(), z.numpy())
        expected = first.numpy() + np.where(second > 0, second, 0.3 * second)
        np.testing.assert_allclose(layer(x, z), expected, rtol=1e-12)


def test_decoder_is_four_such_layers_and_a_convolution(rng):
    model, s, z = Decoder(channels=3, dimensions=2), maps(rng, 2, 3, 6, 5), torch.randn(2, 2, generator=rng)
    x = s
    for k in range(4):
        x = model.layers[k](x, z)
    assert len(model.layers) == 4
    assert torch.equal(model(s, z), torch.tanh(model.last(x)))


@pytest.mark.parametrize(("modulation", "kind"), [("film", FiLM), ("inside", INSIDE)])
def test_z_reaches_all_pixels_alike_with_film_only(modulation, kind, rng):
    """Where s is constant, another z changes all pixels by the same amount, but for the nine that see the border."""
    model = Decoder(channels=3, dimensions=2, modulation=modulation).double()
    assert all(type(layer.modulation) is kind for layer in model.layers)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.4, generator=rng)
        s = torch.tensor([0.0, 1.0, 0.0]).double().view(1, 3, 1, 1).expand(2, 3, 32, 28)
        a, b = model(s, torch.tensor([[2.0, -1.0], [-1.0, 2.0]]).double())[:, 0, 9:-9, 9:-9]
    change = b - a
    assert change.abs().max() > 1e-3
    assert torch.allclose(change, change[0, 0], rtol=0, atol=1e-12) == (modulation == "film")


def test_sample_is_the_reparameterisation_trick(rng):
    mean, log_var = torch.randn(3, 2, generator=rng), torch.randn(3, 2, generator=rng)
    for part in (mean, log_var):
        part.requires_grad_()
    noise = torch.randn(3, 2, generator=torch.Generator().manual_seed(9))
    z = sample(mean, log_var, torch.Generator().manual_seed(9))
    torch.testing.assert_close(z, mean + log_var.exp().sqrt() * noise)
    z.sum().backward()
    assert torch.equal(mean.grad, torch.ones(3, 2))
    torch.testing.assert_close(log_var.grad, 0.5 * (0.5 * log_var).exp().detach() * noise)


def test_samples_have_the_mean_and_the_variance(rng):
    mean, log_var = torch.tensor([[1.0, -2.0]]).expand(40_000, 2), torch.tensor([[0.0, 2.0]]).expand(40_000, 2)
    z = sample(mean, log_var, rng)
    np.testing.assert_allclose(z.mean(0), [1, -2], atol=0.06)
    np.testing.assert_allclose(z.var(0), np.exp([0, 2]), rtol=0.04)


# ------------------------------------------------------------------------------------------------- the anatomy factor


def test_rounded_is_the_papers_floor(rng):
    s = maps(rng, 3, 4, 7, 5)
    s[0, :, 0, 0] = torch.tensor([0.5, 0.5, 0, 0])  # NumPy's round, of the released code, takes a half to 0
    s[0, :, 0, 1] = torch.tensor([1.0, 0, 0, 0])
    expected = np.floor(s.double().numpy() + 0.5)
    assert np.array_equal(rounded(s), expected)
    assert expected[0, :, 0, 0].tolist() == [1, 1, 0, 0]
    assert set(np.unique(expected)) == {0, 1}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("discrete", [rounded, one_hot])
def test_straight_through(discrete, dtype, rng):
    """Forward exactly 0 or 1, though it is computed as s + (hard - s); backward as if nothing had happened."""
    s = maps(rng, 40, 3, 30, 30).to(dtype).requires_grad_()
    hard = discrete(s)
    assert hard.dtype == dtype
    assert hard.unique().tolist() == [0, 1]
    slope = torch.randn(s.shape, generator=rng, dtype=dtype)
    hard.backward(slope)
    assert torch.equal(s.grad, slope)


def test_exactly_one_channel_holds_for_one_hot_only(rng):
    """Section 3.1.1: "each pixel can only be active on one channel". With three even chances it is active on none."""
    s = maps(rng, 3, 4, 9, 7)
    assert torch.equal(one_hot(s).sum(1), torch.ones(3, 9, 7))
    assert torch.equal(one_hot(s).argmax(1), s.argmax(1))
    active = rounded(s).sum(1)
    assert set(active.unique().tolist()) == {0, 1}
    assert torch.equal(active == 0, s.amax(1) < 0.5)
    even = torch.full((1, 3, 1, 1), 1 / 3)
    assert not rounded(even).any()
    assert one_hot(even).flatten().tolist() == [1, 0, 0]


@pytest.mark.parametrize(("discrete", "values"), [("round", {0, 1}), ("one_hot", {0, 1}), ("soft", None)])
def test_anatomy_encoder(discrete, values, rng):
    model = AnatomyEncoder(channels=3, filters=2, discrete=discrete)
    model.unet.head.weight.data *= 3  # surer of itself, so that s is not 0 in most pixels
    x = torch.randn(2, 1, 16, 32, generator=rng)
    s, soft = model(x), torch.softmax(model.unet(x), dim=1)
    expected = {"round": rounded, "one_hot": one_hot, "soft": lambda s: s}[discrete](soft)
    assert torch.equal(s, expected)
    assert s.sum() > 0.1 * 2 * 16 * 32
    if values:
        assert set(s.unique().tolist()) <= values
    else:
        torch.testing.assert_close(s.sum(1), torch.ones(2, 16, 32))
    s.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    assert model.unet.head.weight.grad.any()


# --------------------------------------------------------------------------------------------------- the area, options


def test_regressor_measures_an_area_up_to_a_unit(rng):
    """It averages over pixels: of constant maps, an output that does not depend on how many there are."""
    model = AreaRegressor(channels=2, filters=3)
    s = torch.rand(3, 2, 12, 10, generator=rng)
    assert model(s).shape == (3,)
    with torch.no_grad():
        for layer in (model[0], model[2]):
            layer.weight.zero_()[:, 0, 1, 1] = 1  # the first map passes through
            layer.bias.zero_()
        model[6].weight.copy_(torch.full((3, 3), 1 / 3))
        model[6].bias.zero_()
        model[8].weight.copy_(torch.full((1, 3), 1 / 3))
        model[8].bias.zero_()
    torch.testing.assert_close(model(s), s[:, 0].mean((1, 2)))
    model[8].bias.data.fill_(-9)
    assert model(s).tolist() == [0, 0, 0]


def test_regressor_starts_alive(rng):
    """Its last ReLU has no gradient below 0."""
    s = maps(rng, 6, 8, 16, 16).round()
    for seed in range(10):
        torch.manual_seed(seed)
        assert (AreaRegressor()(s) > 0.1).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: AnatomyEncoder(2, 2, discrete="floor"),
            "discrete='floor': unknown; choose one of round, one_hot, soft",
        ),
        (lambda: Decoder(2, 2, modulation="spade"), "modulation='spade': unknown; choose one of film, inside"),
        (
            lambda: SDNet(side=32, filters=2, discrete="none"),
            "discrete='none': unknown; choose one of round, one_hot, soft",
        ),
    ],
)
def test_unknown_options(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == message


# ---------------------------------------------------------------------------------------------------------- the arms


def test_networks_by_name():
    for method in ("unet", "gan", "self_train"):
        model = sdnet_network(method, 3, 2)
        assert type(model) is SegmentationUNet
        assert model(torch.zeros(1, 1, 32, 32)).shape == (1, 3, 32, 32)
    options = {"side": 32, "channels": 5, "dimensions": 2, "discrete": "soft", "modulation": "inside"}
    model = sdnet_network("sdnet", 3, 2, **options)
    assert type(model) is SDNet
    assert (model.anatomy.unet.head.out_channels, model.anatomy.unet.head.in_channels, model.dimensions) == (5, 2, 2)
    assert isinstance(model.decoder.layers[0].modulation, INSIDE)


@pytest.mark.parametrize(("method", "modulation"), [("unet", None), ("sdnet", "film"), ("sdnet", "inside")])
def test_networks_start_as_in_keras(method, modulation):
    """Glorot uniform weights, which have a variance of 2 / (inputs + outputs), and biases of 0."""
    options = {"side": 32, "modulation": modulation} if modulation else {}
    torch.manual_seed(0)
    model, large = sdnet_network(method, 4, 8, **options), 0
    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            weight = layer.weight.detach().flatten(2) if layer.weight.ndim > 2 else layer.weight.detach()[..., None]
            limit = np.sqrt(6 / (weight.shape[2] * (weight.shape[0] + weight.shape[1])))
            assert not layer.bias.any()
            assert weight.abs().max() <= limit
            if weight.numel() > 5000:
                assert weight.std().item() == pytest.approx(limit / np.sqrt(3), rel=0.03)
                large += 1
    assert large > 10


def test_keras_defaults_are_keras_formulas():
    """Glorot: uniform within sqrt(6 / (fan in + fan out)), where a convolution's fans count its window's pixels."""
    torch.manual_seed(3)
    layers = nn.Conv2d(5, 40, (3, 7), stride=2), nn.Conv2d(40, 8, 4), nn.Linear(60, 90)
    limits = [6 / (21 * 5 + 21 * 40), 6 / (16 * 40 + 16 * 8), 6 / (60 + 90)]
    model = nn.Sequential(*layers)
    assert keras_defaults(model) is model
    for layer, limit in zip(layers, np.sqrt(limits), strict=True):
        weight = layer.weight.detach().numpy().ravel()
        assert 0.99 * limit < np.abs(weight).max() <= np.float32(limit)
        assert kstest(weight, "uniform", (-limit, 2 * limit)).pvalue > 1e-3
        assert layer.bias.shape and not layer.bias.any()


@pytest.mark.parametrize(("layer", "shape"), [(nn.BatchNorm1d(3), (50, 3)), (nn.BatchNorm2d(3), (5, 3, 4, 6))])
def test_batch_normalisation_is_keras(layer, shape, rng):
    """`momentum` 0.99 in Keras' sense, epsilon 1e-3, scales 1 and shifts 0 to start with."""
    x = 2 + 0.05 * torch.randn(shape, generator=rng, dtype=torch.float64)
    layer = keras_defaults(nn.Sequential(layer.double()))[0]
    flat = x.transpose(0, 1).flatten(1).numpy()
    expected = (flat - flat.mean(1, keepdims=True)) / np.sqrt(flat.var(1, keepdims=True) + 1e-3)
    np.testing.assert_allclose(layer.train()(x).detach().transpose(0, 1).flatten(1), expected, rtol=1e-9)
    np.testing.assert_allclose(layer.running_mean, 0.99 * 0 + 0.01 * flat.mean(1), rtol=1e-9)
    np.testing.assert_allclose(layer.running_var, 0.99 * 1 + 0.01 * flat.var(1, ddof=1), rtol=1e-9)


@pytest.mark.parametrize(("given", "momentum"), [({}, 0.01), ({"momentum": 0.1}, 0.1)])
@pytest.mark.parametrize(("method", "options"), [("unet", {}), ("sdnet", {"side": 32})])
def test_every_batch_normalisation_of_a_network(method, options, given, momentum):
    """As in Keras, or with the momentum asked for."""
    layers = sdnet_network(method, 4, 2, **options, **given).modules()
    found = [(layer.momentum, layer.eps) for layer in layers if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    assert len(found) > 10 and set(found) == {(momentum, 1e-3)}


def test_every_arm_is_a_network():
    """With the scale's anatomy and channels where an arm leaves them to it."""
    for arm in SDNET_ARMS.values():
        options = {
            "discrete": arm.anatomy or "one_hot",
            "channels": arm.channels or 8,
            "dimensions": arm.dimensions,
            "modulation": arm.modulation,
        }
        with torch.device("meta"):
            sdnet_network(arm.method, 4, 2, **(options if arm.method == "sdnet" else {}))


VARIANTS = ["sdnet-base", "sdnet-round", "sdnet-one_hot", "sdnet-soft", "sdnet-c4", "sdnet-z4", "sdnet-z32"]
VARIANTS += ["sdnet-z128", "sdnet-inside"]


@pytest.mark.parametrize("anatomy", ["round", "one_hot", "soft"])
def test_arms_of_a_share_of_the_patients(anatomy):
    """What follows from few labels is trained where labels are few, what follows from the network where they are all.

    With all patients labelled, "all" masks and "labelled" masks are the same masks; with the scale's own anatomy, the
    variant of that name and "sdnet-base" are the same network.
    """
    variants = [name for name in VARIANTS if name != f"sdnet-{anatomy}"]
    assert len(variants) == 8
    assert sdnet_arms(100, anatomy) == sdnet_arms(100.0, anatomy) == [*SDNET_METHODS, *variants]
    for percent in (99.9, 50, 25, 12.5, 6, 3, 1.5):
        expected = ["unet", "gan", "self_train", "sdnet", "gan-labelled", "sdnet-labelled"]
        assert sdnet_arms(percent, anatomy) == expected


@pytest.mark.parametrize("percent", [100.0, 6.0])
def test_jobs_of_one_method_each_and_of_the_others_train_what_one_job_of_all_does(percent):
    apart = [name for arm in (*SDNET_METHODS, "others") for name in sdnet_arms(percent, "round", arm)]
    assert apart == sdnet_arms(percent, "round", "all")
    assert sdnet_arms(percent, "round", "sdnet-z4") == ["sdnet-z4"]
    assert sdnet_arms(percent, "round", "all", variants=False) == list(SDNET_METHODS)


def test_arms_and_data_that_are_not_there():
    for call, line in (
        (lambda: sdnet_arms(100, "round", "vnet"), "arm=vnet: unknown; choose all, others or one of unet, gan, "),
        (
            lambda: sdnet_arms(100, "round", "others", variants=False),
            "arm=others: variant_steps is 0, so that there are",
        ),
        (lambda: sdnet_data("mmwhs", "acdc", "qmri"), "dataset=mmwhs: unknown here; choose acdc or qmri"),
    ):
        with pytest.raises(InputError, match=f"^{re.escape(line)}"):
            call()


def test_what_an_arm_is_built_with():
    common, factors = {"classes": 4, "filters": 2, "momentum": 0.1}, {"channels": 8, "discrete": "round", "side": 32}
    assert sdnet_facts("gan-labelled", common, factors) == {"method": "gan", **common}
    film = {"method": "sdnet", **common, **factors, "dimensions": 8, "modulation": "film"}
    assert sdnet_facts("sdnet", common, factors) == film
    for name, change in (
        ("sdnet-c4", {"channels": 4}),
        ("sdnet-soft", {"discrete": "soft"}),
        ("sdnet-z32", {"dimensions": 32}),
        ("sdnet-inside", {"modulation": "inside"}),
    ):
        assert sdnet_facts(name, common, factors) == film | change


def test_every_arm_is_trained_at_some_share():
    trained = {arm for percent in (100, 6) for anatomy in ("round", "one_hot") for arm in sdnet_arms(percent, anatomy)}
    assert trained == set(SDNET_ARMS)


def test_every_arm_has_a_name_and_every_method_a_colour():
    assert list(SDNET_ARMS) == list(SDNET_NAMES)
    assert len(set(SDNET_NAMES.values())) == len(SDNET_NAMES)
    assert [SDNET_ARMS[method].method for method in SDNET_METHODS] == list(SDNET_METHODS)
    assert {arm.method for arm in SDNET_ARMS.values()} == set(SDNET_METHODS)
    assert len({METHOD_COLOURS[method] for method in SDNET_METHODS}) == len(SDNET_METHODS)
