"""The 3D U-Nets: numbers of parameters as published, the network put together from MONAI's parts, and its gates."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn.functional import batch_norm, conv3d, interpolate, max_pool3d

from whereabouts.layers import INSIDE
from whereabouts.layers.attention_gate import AttentionGate
from whereabouts.models import parameters
from whereabouts.models.unet3d import GATED, AskedAttentionUNet3D, AttentionUNet3D, InsideUNet3D, UNet3D, widths
from whereabouts.training.loop import build

with warnings.catch_warnings():  # MONAI's imports use what its dependencies have deprecated
    warnings.simplefilter("ignore")
    from monai.networks.nets.attentionunet import AttentionBlock
    from monai.networks.nets.basic_unet import TwoConv

pytestmark = pytest.mark.usefixtures("on_the_cpu")

SMALL = [4, 5, 6, 7, 8]
NETWORKS = [UNet3D, AttentionUNet3D, AskedAttentionUNet3D, InsideUNet3D]


@pytest.fixture
def rng():
    """The global generator, from which networks draw as well."""
    return torch.manual_seed(23)


def shaken(model, rng):
    """`model`, evaluating, as if trained: gates that have left their start, running statistics, no dead maps."""
    with torch.no_grad():
        for name, layer in model.named_modules():
            if name.endswith("psi"):
                layer.weight.normal_(generator=rng)
            elif isinstance(layer, nn.BatchNorm3d):
                layer.bias.normal_(0.3, 0.3, generator=rng)
                layer.running_mean.normal_(0, 0.2, generator=rng)
                layer.running_var.uniform_(0.5, 1.5, generator=rng)
    return model.eval()


def seen(model, *inputs):
    """What every part of `model` was given and gave, by name."""
    record = {}
    for name, part in model.named_modules():
        part.register_forward_hook(lambda part, given, gave, name=name: record.update({name: (given, gave)}))
    model(*inputs)
    return record


@pytest.mark.parametrize(
    ("network", "options", "count"),
    [
        (UNet3D, {}, 5_888_004),  # "5.88 M"
        (UNet3D, {"deep_supervision": False}, 5_887_028),
        (UNet3D, {"filters": widths(8)}, 1_473_516),
        (UNet3D, {"filters": widths(3.82)}, 6_444_328),  # Table 2's 6.44 M
        (UNet3D, {"filters": widths(3)}, 10_403_190),  # and 10.40 M
        (AttentionUNet3D, {}, 6_473_322),
        (AttentionUNet3D, {"gating": "centre"}, 6_411_498),
        (AttentionUNet3D, {"gating": "centre", "deep_supervision": False}, 6_410_522),
        (AttentionUNet3D, {"gates": 1}, 6_214_151),
        (AttentionUNet3D, {"filters": widths(8)}, 1_620_770),
        (AttentionUNet3D, {"filters": widths(8), "gating": "centre"}, 1_605_218),
        (AttentionUNet3D, {"filters": widths(8), "gates": 1}, 1_555_695),
    ],
)
def test_parameters_are_those_of_the_released_networks(network, options, count):
    with torch.device("meta"):  # shapes without memory
        assert parameters(network(**options)) == count


def test_widths():
    assert [widths(scale) for scale in (3.82, 3)] == [[16, 33, 67, 134, 268], [21, 42, 85, 170, 341]]


def test_asked_networks_are_of_one_size():
    with torch.device("meta"):
        asked, inside, gated = AskedAttentionUNet3D(), InsideUNet3D(), AttentionUNet3D(classes=2)
    assert parameters(asked) == parameters(gated) + 3 * 16 * 27
    assert parameters(inside) == pytest.approx(parameters(asked), rel=1e-3)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(("batch", "shape"), [(1, (16, 48, 16)), (2, (48, 16, 32))])
def test_output_has_the_grid_of_the_image(network, batch, shape, rng):
    x, z = torch.randn(batch, 1, *shape, generator=rng), torch.eye(3)[:batch]
    for count, options in [(4, {}), (1, {"deep_supervision": False})]:
        model = shaken(network(5, SMALL, **options), rng)
        fused, levels = model.levels(x, z)
        assert [level.shape for level in (fused, *levels)] == [(batch, 5, *shape)] * (1 + count)
        assert fused[0].std((1, 2, 3)).min() > 1e-2
        assert torch.equal(model(x, z), fused)


def two_convolutions(block):
    """MONAI's with the weights of ours."""
    theirs = TwoConv(3, block[0].in_channels, block[0].out_channels, act="relu", norm="batch", bias=True)
    theirs.load_state_dict(dict(zip(theirs.state_dict(), block.state_dict().values(), strict=True)))
    return theirs.eval()


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("deep_supervision", [True, False])
def test_network_is_put_together_from_monais_parts(deep_supervision, align_corners, rng):
    model = shaken(UNet3D(3, SMALL, 2, deep_supervision, align_corners), rng)
    x = torch.randn(2, 2, 16, 48, 32, generator=rng)

    def upsampled(maps, factor):
        return interpolate(maps, scale_factor=factor, mode="trilinear", align_corners=align_corners)

    a = two_convolutions(model.encoder[0])(x)
    b = two_convolutions(model.encoder[1])(max_pool3d(a, 2))
    c = two_convolutions(model.encoder[2])(max_pool3d(b, 2))
    d = two_convolutions(model.encoder[3])(max_pool3d(c, 2))
    e = two_convolutions(model.encoder[4])(max_pool3d(d, 2))
    d = two_convolutions(model.decoder[3])(torch.cat([d, upsampled(e, 2)], 1))
    c = two_convolutions(model.decoder[2])(torch.cat([c, upsampled(d, 2)], 1))
    b = two_convolutions(model.decoder[1])(torch.cat([b, upsampled(c, 2)], 1))
    a = two_convolutions(model.decoder[0])(torch.cat([a, upsampled(b, 2)], 1))
    maps = [a, b, c, d] if deep_supervision else [a]
    expected = [upsampled(judge(x), 2**k) for k, (x, judge) in enumerate(zip(maps, model.judges, strict=True))]
    fused, levels = model.levels(x)
    torch.testing.assert_close(levels, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(fused, model.final(torch.cat(expected, 1)), rtol=1e-4, atol=1e-4)


def test_initial_weights(rng):
    """Kaiming's normal ones for convolutions, N(1, 0.02) for batch normalisation, PyTorch's for biases."""
    model = AttentionUNet3D(16, [16] * 5, inputs=16)
    for layer in (m for m in model.modules() if isinstance(m, nn.Conv3d) and m.out_channels == 16):  # all but psi
        fan_in = layer.weight[0].numel()
        assert layer.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.2)
        assert layer.bias is None or 0 < layer.bias.abs().max() <= fan_in**-0.5
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm3d)]
    scales = torch.cat([m.weight.detach() for m in norms])
    assert (scales.mean().item(), scales.std().item()) == pytest.approx((1, 0.02), abs=0.003)
    assert not torch.cat([m.bias for m in norms]).any()


@pytest.mark.parametrize("network", NETWORKS)
def test_initial_weights_depend_on_the_seed_alone(network):
    first, again, other = (build(lambda: network(filters=SMALL), seed) for seed in (1, 1, 2))
    assert first.encoder[1][0].weight.is_contiguous(memory_format=torch.channels_last_3d)
    a, b, c = (model.state_dict() for model in (first, again, other))
    assert all(torch.equal(a[name], b[name]) for name in a)
    changed = {name for name in a if not torch.equal(a[name], c[name])}
    assert {"encoder.0.0.weight", "decoder.3.3.bias", "judges.2.weight", "final.weight"} <= changed


@pytest.mark.parametrize("network", NETWORKS)
def test_every_parameter_learns(network, rng):
    """W_x, W_g and what prepares g from the second step on, since psi starts at 0."""
    model, x = build(lambda: network(3, SMALL), 0), torch.randn(2, 1, 16, 32, 16, generator=rng)
    optimiser, labels = torch.optim.SGD(model.parameters(), 0.1), torch.randint(3, (2, 16, 32, 16), generator=rng)
    for step in range(2):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x, torch.eye(3)[:2]), labels).backward()
        weights = {name: p.grad for name, p in model.named_parameters() if name.endswith("weight")}
        silent = {name for name, gradient in weights.items() if not gradient.any()}
        late = {name for name in weights if ".w_x." in name or ".w_g." in name or name.startswith("signal.")}
        assert silent == (set() if step else late)
        optimiser.step()


def test_all_gates_are_open_at_the_start(rng):
    """Of a whole network, whose initialisation has passed over them since they were made."""
    model = AttentionUNet3D(3, SMALL, align_corners=False)
    parts = seen(model, torch.randn(2, 1, 16, 32, 48, generator=rng))
    for level in GATED:
        alpha = model.gates[str(level)].coefficients(*parts[f"gates.{level}"][0])
        torch.testing.assert_close(alpha, torch.full((2, 2, 16 >> level, 32 >> level, 48 >> level), 0.9525741))
    assert {gate.align_corners for gate in model.modules() if isinstance(gate, AttentionGate)} == {False}


@pytest.mark.parametrize("gates", [1, 2])
@pytest.mark.parametrize("gating", ["decoder", "centre"])
def test_gates_stand_between_encoder_and_decoder(gating, gates, rng):
    """On all but the finest skip connection, each told of the decoder's maps below, or all of the coarsest ones."""
    model = shaken(AttentionUNet3D(3, SMALL, gates, gating), rng)
    parts = seen(model, torch.randn(1, 1, 32, 16, 32, generator=rng))
    centre = model.signal(parts["encoder.4"][1])
    told = {1: parts["decoder.2"][1], 2: parts["decoder.3"][1], 3: centre} if gating == "decoder" else [centre] * 4
    assert torch.equal(parts["decoder.0"][0][0][:, : SMALL[0]], parts["encoder.0"][1])
    for level in (1, 2, 3):
        (x, g), y = parts[f"gates.{level}"]
        assert torch.equal(x, parts[f"encoder.{level}"][1])
        assert torch.equal(g, told[level])
        assert torch.equal(y, parts[f"decoder.{level}"][0][0][:, : SMALL[level]])


def test_one_vector_gates_the_whole_image(rng):
    """The mean of the coarsest maps, at every position of every skip connection."""
    model = shaken(AttentionUNet3D(3, SMALL, gating="global"), rng)
    parts = seen(model, torch.randn(2, 1, 32, 16, 32, generator=rng))
    mean = model.signal(parts["encoder.4"][1]).mean((2, 3, 4))
    for level in GATED:
        x, g = parts[f"gates.{level}"][0]
        torch.testing.assert_close(g.expand(-1, -1, *x.shape[2:]), mean[..., None, None, None].expand_as(x[:, :1] + g))
        even = torch.ones_like(x) * x[:, :, :1, :1, :1]
        alpha = model.gates[str(level)].coefficients(even, g)
        torch.testing.assert_close(alpha, alpha[:, :, :1, :1, :1].expand_as(alpha))  # of even features it is even


def convolved(x, state, name):
    """A 3x3x3 or 1x1x1 convolution of the network's, and its batch normalisation and ReLU if they have numbers."""
    block, _, number = name.rpartition(".")
    weight = state[f"{name}.weight"]
    x = conv3d(x, weight, state[f"{name}.bias"], padding=weight.shape[-1] // 2)
    norm = f"{block}.{int(number) + 1}"
    mean, var = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
    return batch_norm(x, mean, var, state[f"{norm}.weight"], state[f"{norm}.bias"]).relu()


def test_attention_unet_written_plainly(rng):
    """Figure 3 with the released gates, two a skip connection, from the weights alone, in double precision."""
    model = shaken(AttentionUNet3D(3, SMALL), rng).double()
    image, s = torch.randn(2, 1, 32, 16, 16, generator=rng, dtype=torch.float64), model.state_dict()

    def block(x, name):
        return convolved(convolved(x, s, f"{name}.0"), s, f"{name}.3")

    def larger(x, like):
        return interpolate(x, like.shape[2:], mode="trilinear", align_corners=True)

    def gated(x, g, level):
        results = []
        for k in range(2):
            name = f"gates.{level}.gates.{k}"
            fine = conv3d(x, s[f"{name}.w_x.weight"], stride=2)
            coarse = larger(conv3d(g, s[f"{name}.w_g.weight"], s[f"{name}.w_g.bias"]), fine)
            q = conv3d((fine + coarse).relu(), s[f"{name}.psi.weight"], s[f"{name}.psi.bias"])
            y = x * larger(torch.sigmoid(q), x)
            y = conv3d(y, s[f"{name}.transform.0.weight"], s[f"{name}.transform.0.bias"])
            norm = (s[f"{name}.transform.1.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
            results.append(batch_norm(y, *norm))
        return convolved(torch.cat(results, 1), s, f"gates.{level}.combine.0")

    skips = [block(image, "encoder.0")]
    for level in range(1, 5):
        skips.append(block(max_pool3d(skips[-1], 2), f"encoder.{level}"))
    x, g, maps = skips[4], convolved(skips[4], s, "signal.0"), []
    for level in (3, 2, 1, 0):
        skip = gated(skips[level], g, level) if level else skips[0]
        x = g = block(torch.cat([skip, larger(x, skip)], 1), f"decoder.{level}")
        maps.insert(0, conv3d(x, s[f"judges.{level}.weight"], s[f"judges.{level}.bias"]))
    expected = conv3d(torch.cat([larger(one, maps[0]) for one in maps], 1), s["final.weight"], s["final.bias"])
    torch.testing.assert_close(model(image), expected)


def test_gates_that_change_nothing_leave_the_plain_network(rng):
    plain, gated = (shaken(network(3, SMALL), rng) for network in (UNet3D, AttentionUNet3D))
    gated.load_state_dict(plain.state_dict(), strict=False)
    x = torch.randn(1, 1, 16, 32, 32, generator=rng)
    expected = plain(x)
    assert not torch.allclose(gated(x), expected, rtol=0, atol=1e-2)
    for gate in gated.gates.values():
        gate.register_forward_hook(lambda module, given, gave: given[0])
    assert torch.equal(gated(x), expected)


@pytest.mark.parametrize("size", [(4, 5, 3), (2, 2, 1)])
def test_gate_is_monais(size, rng):
    """Which has gates as in the text, on one grid; interpolating g before W_g is the same as after it."""
    ours, theirs = AttentionGate(3, 4, 5, subsample=1, transform=False), AttentionBlock(3, f_int=5, f_g=4, f_l=3).eval()
    ours.psi.weight.data.normal_(generator=rng)
    for own, part in [(ours.w_x, theirs.W_x), (ours.w_g, theirs.W_g), (ours.psi, theirs.psi)]:
        part[0].conv.bias.data.zero_()  # W_x has none
        part[0].conv.load_state_dict(own.state_dict(), strict=False)
        part[1].eps = 0  # its mean 0 and variance 1 then normalise nothing
    x, g = torch.randn(2, 3, 4, 5, 3, generator=rng), torch.randn(2, 4, *size, generator=rng)
    expected = theirs(interpolate(g, (4, 5, 3), mode="trilinear", align_corners=True), x)
    torch.testing.assert_close(ours(x, g), expected)


def test_gating_is_known():
    with pytest.raises(ValueError, match=r"^gating='encoder': unknown; choose one of decoder, centre, global$"):
        AttentionUNet3D(filters=SMALL, gating="encoder")


@pytest.mark.parametrize("network", [AskedAttentionUNet3D, InsideUNet3D])
def test_each_example_is_asked_its_own_question(network, rng):
    model = shaken(network(3, SMALL, condition=4), rng)
    x, z = torch.randn(1, 1, 16, 32, 16, generator=rng), torch.randn(3, 4, generator=rng)
    together = model(x.expand(3, -1, -1, -1, -1), z)
    for item in range(3):
        torch.testing.assert_close(together[item : item + 1], model(x, z[item : item + 1]), rtol=1e-4, atol=1e-4)
        assert not torch.allclose(together[item], together[item - 1], rtol=0, atol=1e-3)


def test_inside_starts_where_gates_do(rng):
    """By letting nearly everything pass, as open gates; bare gamma would let nothing, narrow Gaussians a spot."""

    def passed(**options):
        model = InsideUNet3D(2, widths(8), **options)
        parts = seen(model, torch.randn(2, 1, 32, 32, 32, generator=rng), torch.eye(3)[:2])
        pairs = [(parts[f"inside.{level}"][0][0], parts[f"inside.{level}"][1]) for level in GATED]
        return min(((x * y).sum() / (x * x).sum()).item() for x, y in pairs)

    assert passed() > 0.6
    assert passed(scale="gamma") < 0.3 and passed(sigma="text") < 0.3


def test_questions_are_channels_of_the_image(rng):
    x, z = torch.randn(1, 1, 16, 32, 16, generator=rng), torch.tensor([[0.3, -2.0]])
    given = seen(AskedAttentionUNet3D(3, SMALL, condition=2), x, z)["encoder.0"][0][0]
    assert torch.equal(given, torch.cat([x, torch.full_like(x, 0.3), torch.full_like(x, -2)], 1))


def test_inside_stands_where_gates_do(rng):
    model, z = InsideUNet3D(3, SMALL, hidden=2).eval(), torch.eye(3)[:2]
    parts = seen(model, torch.randn(2, 1, 16, 32, 16, generator=rng), z)
    for level, width in enumerate(SMALL[:4]):
        skip, encoded = parts[f"decoder.{level}"][0][0][:, :width], parts[f"encoder.{level}"][1]
        if level:
            layer = INSIDE(width, 3, hidden=2 * width, scale="1-gamma", sigma="wide", spatial_dims=3)
            layer.load_state_dict(model.inside[str(level)].state_dict())
        assert torch.equal(skip, layer(encoded, z) if level else encoded)
