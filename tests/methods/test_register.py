"""A method of one's own beside the seven of INSIDE."""

import pandas as pd
import pytest
import torch
from torch import nn

from whereabouts import methods
from whereabouts.chapters.inside import table1
from whereabouts.errors import InputError
from whereabouts.methods import inside
from whereabouts.methods.networks.inside import METHODS, Readings, acdc_network, clevr_network
from whereabouts.reporting import plotting


class Shift(nn.Module):
    def __init__(self, channels, condition, size):
        super().__init__()
        self.said, self.size = nn.Linear(condition, channels), size

    def forward(self, x, z):
        assert x.shape[2:] == self.size
        return x + self.said(z)[:, :, None, None]


@pytest.fixture
def registered():
    """`Shift` as "shift", and nothing of it afterwards."""
    tables = inside.METHOD_NAMES, METHODS, plotting.METHOD_COLOURS
    before, arms = [dict(table) for table in tables], list(inside.ARMS)
    methods.register("shift", Shift, "Shift (ours)")
    yield
    for table, kept in zip(tables, before, strict=True):
        table.clear()
        table.update(kept)
    inside.ARMS[:] = arms


def test_it_is_in_both_networks(registered):
    image = torch.zeros(2, 3, 32, 32)
    assert clevr_network("shift", 4, 32, filters=2)(image, torch.eye(4)[:2]).shape == (2, 1, 32, 32)
    arm = acdc_network("shift-phase", 2, 32, filters=2)
    assert arm(image[:, :1], torch.zeros(2, 2)).shape[2:] == (32, 32)
    assert inside.ARMS[-2:] == ["shift-position", "shift-phase"]


def test_it_has_a_row_and_a_colour(registered):
    rows = [("quadrant", name, 1, image, 0.1 * image) for name in ("film", "shift") for image in range(3)]
    paper = {name: dict.fromkeys(("quadrant", "colour", "shape", "size"), (50.0, 1.0)) for name in inside.PAPERS}
    table = table1(pd.DataFrame(rows, columns=["factor", "method", "seed", "image", "dice"]), paper)
    assert table.Method.iloc[-1] == "Shift (ours)"
    assert table["Quadrant, paper"].iloc[-1] == "" and "10.0" in table["Quadrant, ours"].iloc[-1]
    colours = [plotting.METHOD_COLOURS[name] for name in (*inside.PAPERS, "shift")]
    assert len(set(colours)) == len(colours) and plotting.line("shift")["color"] == colours[-1]
    with pytest.raises(KeyError):
        plotting.METHOD_COLOURS["nobody's"]


def test_registered_again_it_is_replaced(registered):
    methods.register("shift", lambda c, k, size: nn.Identity(), "Nothing")
    assert inside.METHOD_NAMES["shift"] == "Nothing" and inside.ARMS.count("shift-phase") == 1
    assert isinstance(METHODS["shift"](1, 1, (1, 1), Readings()), nn.Identity)


@pytest.mark.parametrize(
    ("name", "title", "words"),
    [
        ("inside", "Mine", "inside: no name for a method of your own; write a new one"),
        ("My Method", "Mine", "My Method: no name"),
        ("mine", " ", "mine: titled ' ', which is empty"),
        ("mine", "FiLM", "mine: titled 'FiLM', which is empty or another's"),
    ],
)
def test_names_that_will_not_do(name, title, words):
    with pytest.raises(InputError, match=f"^{words}"):
        methods.register(name, Shift, title)
    assert name == "inside" or name not in inside.METHOD_NAMES
