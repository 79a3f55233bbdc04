"""What the gates of a network do to a scan: coefficients and features on their own grids, and on that of the scan."""

import numpy as np
import torch

from whereabouts.data.scan import Scan
from whereabouts.evaluation.gates import gated, inside_and_outside, on_grid, strongest, support
from whereabouts.inference.device import device
from whereabouts.inference.scans import standardised
from whereabouts.models.sononet import AGSononet
from whereabouts.models.unet3d import AttentionUNet3D
from whereabouts.training.loop import build

FILTERS = [2, 3, 4, 5, 6]


def scan(shape=(32, 16, 48)) -> Scan:
    rng = np.random.default_rng(0)
    image = rng.normal(size=shape).astype(np.float32)
    return Scan("one", image, (image > 1).astype(np.uint8), (1.0, 1.0, 1.0))


def network(open_gates: bool = True) -> AttentionUNet3D:
    model = build(lambda: AttentionUNet3D(3, FILTERS), seed=1)
    if not open_gates:
        for gate in (gate for several in model.gates.values() for gate in several.gates):
            torch.nn.init.normal_(gate.psi.weight, generator=torch.Generator().manual_seed(0))
    return model


def test_gates_that_pass_everything_are_seen_to_do_so_on_each_grid():
    connections = gated(network(), scan())
    assert [one.alpha.shape for one in connections] == [(2, 16, 8, 24), (2, 8, 4, 12), (2, 4, 2, 6)]
    assert [len(one.before) for one in connections] == FILTERS[1:4]
    for one in connections:
        np.testing.assert_allclose(one.alpha, 1 / (1 + np.exp(-3)), rtol=1e-6)
        np.testing.assert_allclose(one.after, one.alpha[:, None] * one.before[None], rtol=1e-6)


def test_features_and_coefficients_are_those_of_a_forward_pass_and_nothing_stays_behind():
    model, one = network(open_gates=False).eval(), scan()
    attributes = {name: set(vars(part)) for name, part in model.named_modules()}
    found = gated(model, one)
    x = standardised(torch.from_numpy(one.image))[None, None].to(device())
    skips = []
    with torch.no_grad():
        for level, block in enumerate(model.encoder):
            x = block(torch.nn.functional.max_pool3d(x, 2) if level else x)
            skips.append(x)
        alpha = model.gates["3"].coefficients(skips[3], model.signal(skips[4]))[0]
    np.testing.assert_allclose(found[2].before, skips[3][0].cpu(), atol=1e-5)
    np.testing.assert_allclose(found[2].alpha, alpha.cpu(), atol=1e-5)
    assert found[2].alpha.std() > 0.01
    assert {name: set(vars(part)) for name, part in model.named_modules()} == attributes
    assert not any(part._forward_hooks for part in model.modules())


def test_a_map_keeps_its_places_when_it_is_widened():
    ramp = np.array(np.broadcast_to(np.arange(8, dtype=np.float32)[:, None, None], (8, 4, 12)))
    wide = on_grid(ramp, scan((32, 16, 48)))
    centres = (np.arange(32) + 0.5) / 4 - 0.5  # of the fine voxels, on the coarse grid
    np.testing.assert_allclose(wide[:, 0, 0], np.clip(centres, 0, 7), atol=1e-6)
    less = on_grid(ramp, scan((27, 16, 48)))  # of which the network saw 32, two more before and three after
    np.testing.assert_allclose(less[:, 0, 0], np.clip(centres, 0, 7)[2:29], atol=1e-6)


def test_inside_and_outside_are_means_over_voxels_and_gates():
    one = scan((16, 16, 16))
    connections = gated(network(open_gates=False), Scan("pad", one.image, one.labels, one.spacing))
    maps = np.mean([on_grid(alpha, one) for level in connections for alpha in level.alpha], axis=0)
    expected = maps[one.labels > 0].mean(), maps[one.labels == 0].mean()
    np.testing.assert_allclose(inside_and_outside(connections, one), expected, rtol=1e-5)


def test_the_strongest_feature_is_the_one_that_is_high_inside_the_labels():
    one = scan()
    rng = np.random.default_rng(1)
    features = rng.normal(size=(3, *one.image.shape)).astype(np.float32)
    features[0] += 0.3 * (one.labels > 0)  # higher there by more than feature 1 is, but by less of its own sd
    features[1] = 0.01 * (one.labels > 0)
    assert strongest(features, one) == 1


def test_support_is_the_part_of_the_frame_that_attention_covers(monkeypatch):
    """All of it, a quarter, and one position of 64; of frames one by one, whatever the maps sum to."""
    model = AGSononet(3, 32)
    maps = torch.zeros(3, 1, 8, 8)
    maps[0], maps[1, :, :4, :4], maps[2, :, 5, 5] = 0.5, 1 / 16, 1
    rows = iter(maps.split(2))
    monkeypatch.setattr(model, "coefficients", lambda x: [next(rows)] * 2)
    found = support(model, torch.zeros(3, 1, 32, 32, dtype=torch.uint8), batch=2)
    np.testing.assert_allclose(found, [1, 1 / 4, 1 / 64], rtol=1e-6)
