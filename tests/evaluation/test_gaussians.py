"""How far attention maps spread, against closed forms, and looking into a model without leaving a trace."""

import numpy as np
import pytest
import torch

from whereabouts.data.examples import Examples
from whereabouts.evaluation import gaussians
from whereabouts.methods.networks.inside import acdc_network


def test_spread_is_one_for_a_uniform_map_and_zero_for_a_point():
    assert gaussians.spread(np.full((3, 9, 9), 0.2)) == pytest.approx([1, 1, 1])
    point = np.zeros((7, 7))
    point[2, 5] = 0.4
    assert gaussians.spread(point) == pytest.approx(0)


@pytest.mark.parametrize("sigma", [2.0, 3.5])
def test_spread_of_a_gaussian_is_its_sigma_over_that_of_a_uniform_map(sigma):
    n = 101
    a = np.exp(-0.5 * ((np.arange(n) - 50) / sigma) ** 2)
    assert gaussians.spread(np.outer(a, a)) == pytest.approx(sigma / np.sqrt((n**2 - 1) / 12), rel=1e-3)


def test_spread_does_not_depend_on_place_or_amplitude():
    a = np.exp(-0.5 * ((np.arange(64) - 20) / 2) ** 2)
    b = np.exp(-0.5 * ((np.arange(64) - 41) / 2) ** 2)
    assert gaussians.spread(np.outer(a, b)) == pytest.approx(gaussians.spread(0.1 * np.outer(b, a)), rel=1e-6)


def test_a_map_that_is_nearly_shut_spreads_as_far_but_lets_little_pass():
    a = np.exp(-0.5 * ((np.arange(64) - 20) / 9) ** 2)
    maps = np.stack([np.outer(a, a), 1e-3 * np.outer(a, a), np.ones((64, 64))])
    assert gaussians.spread(maps[:2]) == pytest.approx([gaussians.spread(maps[0])] * 2)
    assert gaussians.amplitude(maps) == pytest.approx([a.mean() ** 2, 1e-3 * a.mean() ** 2, 1])


def test_looking_around_a_layer_sees_what_it_does_and_leaves_no_hook():
    torch.manual_seed(0)
    model = acdc_network("inside-position", 1, 32, filters=2).eval()
    data = Examples(torch.rand(3, 1, 32, 32), torch.zeros(3, 32, 32), torch.rand(3, 1), torch.arange(3))
    layers = gaussians.layers(model)
    assert len(layers) == 4 and layers[0].channels == 16 and layers[-1].channels == 2
    before, after = gaussians.around(model, layers[-1], data)
    with torch.no_grad():
        expected = layers[-1](torch.from_numpy(before), data.z)
    np.testing.assert_allclose(after, expected, rtol=1e-5, atol=1e-6)
    assert not layers[-1]._forward_hooks
