"""Networks printed as tables, and the numbers that Figure 1 names."""

import math

import numpy as np
import pytest
import torch

from whereabouts.evaluation import gaussians
from whereabouts.layers import INSIDE
from whereabouts.methods.networks.inside import acdc_network, clevr_network
from whereabouts.models import parameters
from whereabouts.reporting.summary import summary


def test_every_parameter_is_in_one_row_and_outputs_are_those_of_the_paper():
    model = clevr_network("inside", 4, 200)
    table = summary(model, torch.zeros(1, 3, 200, 200), torch.eye(4)[:1]).set_index("Layer")
    counts = [int(text.replace(",", "")) for text in table.Parameters]
    assert sum(counts[:-1]) == counts[-1] == parameters(model) == 83_617 + 13_888
    assert table.loc["condition", "Kind"] == "INSIDE, hypernetwork 4-32-32-384"
    assert table.loc["condition", "Output"] == "64 x 50 x 50" and table.loc["head", "Output"] == "1 x 200 x 200"
    assert not any(layer._forward_hooks for layer in model.modules())


def test_the_baseline_shows_normalisation_where_others_show_the_layer():
    inputs = torch.zeros(1, 1, 32, 32), torch.zeros(1, 1)
    kinds = {arm: summary(acdc_network(arm, 1, 32, filters=2), *inputs) for arm in ("baseline", "film-position")}
    between = {arm: table[table.Layer.str.endswith(".between")].Kind for arm, table in kinds.items()}
    assert list(between["baseline"]) == ["BatchNorm2d"] * 4
    assert list(between["film-position"].str.split(",").str[0]) == ["FiLM"] * 4


def test_the_six_numbers_and_profiles_are_those_that_the_layer_uses():
    torch.manual_seed(0)
    layer, z, x = INSIDE(5, 3), torch.randn(1, 3), torch.randn(1, 5, 9, 9)
    numbers = list(gaussians.six(layer, z, 2, 9).values())
    gamma, beta, mu_h, sigma_h, mu_w, sigma_w = numbers
    centres = [(2 * k + 1) / 9 - 1 for k in range(9)]
    expected = [
        [
            x[0, 2, i, j].item()
            * math.exp(-0.5 * ((centres[i] - mu_h) / sigma_h) ** 2 - 0.5 * ((centres[j] - mu_w) / sigma_w) ** 2)
            * gamma
            + beta
            for j in range(9)
        ]
        for i in range(9)
    ]
    np.testing.assert_allclose(layer(x, z)[0, 2].detach(), expected, rtol=1e-4, atol=1e-5)
    a_h, a_w = gaussians.profiles(layer, z, 2, 9)
    np.testing.assert_allclose(np.outer(a_h, a_w), gaussians.maps(layer, z, 9)[0, 2], rtol=1e-5)
    assert a_h == pytest.approx([math.exp(-0.5 * ((c - mu_h) / sigma_h) ** 2) for c in centres], rel=1e-4, abs=1e-6)
