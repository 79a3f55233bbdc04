"""Trainings on several cores at once: the same bits as one after the other."""

import threading
from dataclasses import replace

import pytest
import torch

from whereabouts.data.examples import Examples
from whereabouts.losses.segmentation import inside_loss
from whereabouts.methods.networks.inside import METHODS, clevr_network
from whereabouts.training import loop, supervised
from whereabouts.training.checkpoints import Checkpoint

pytestmark = pytest.mark.usefixtures("on_the_cpu")
SCHEDULE = loop.Schedule(steps=6, batch=3, learning_rate=1e-2, validate_every=3, patience=9)


def run(parallel):
    rng = torch.Generator().manual_seed(0)
    data = Examples(
        torch.rand(8, 3, 12, 16, generator=rng),
        torch.randint(0, 2, (8, 12, 16), generator=rng, dtype=torch.uint8),
        torch.eye(4).repeat(2, 1),
        torch.arange(8),
    )
    names = [name for name in METHODS if name != "guiding_block"]
    models = {name: loop.build(lambda name=name: clevr_network(name, 4, 12, filters=2), seed=3) for name in names}

    def train(name):
        def loss(model, logits, labels, z):
            return inside_loss(model, logits, labels, z, 0.1, 0.5, 1e-4)

        return supervised.fit(models[name], data, data, loss, SCHEDULE, seed=3, classes=2)

    curves = loop.side_by_side(train, names) if parallel else {name: train(name) for name in names}
    return curves, models


def test_side_by_side_is_bit_identical_to_one_after_the_other():
    curves, models = run(parallel=True)
    expected, references = run(parallel=False)
    assert list(curves) == list(expected)
    for name in curves:
        assert curves[name].equals(expected[name])
        for key, tensor in models[name].state_dict().items():
            assert torch.equal(tensor, references[name].state_dict()[key]), (name, key)


def test_each_training_has_one_thread_and_the_caller_keeps_its_own(monkeypatch):
    before = torch.get_num_threads()
    assert loop.side_by_side(lambda name: torch.get_num_threads(), ["a", "b", "c"]) == {"a": 1, "b": 1, "c": 1}
    assert torch.get_num_threads() == before


def test_a_failure_in_one_training_is_raised():
    def train(name):
        if name == "b":
            raise FloatingPointError("b: the loss is nan before step 3")

    with pytest.raises(FloatingPointError, match="b: the loss is nan"):
        loop.side_by_side(train, ["a", "b"])


def test_where_one_fails_the_other_is_put_away_and_goes_on_later(tmp_path, monkeypatch):
    """As where the caller is interrupted, by Jupyter's button say."""
    monkeypatch.setattr(loop.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    started, checkpoint = threading.Event(), Checkpoint(tmp_path / "run.pt")

    class Endless(loop.Learner):
        def step(self, number):
            started.set()
            return torch.tensor(0.0)

        def state(self):
            return {}

    def train(name):
        if name == "fails":
            started.wait()
            raise FloatingPointError
        loop.run(Endless(), replace(SCHEDULE, steps=10**9, validate_every=10**9), checkpoint)

    with pytest.raises(FloatingPointError):
        loop.side_by_side(train, ["fails", "endless"])
    assert checkpoint.load()["step"] > 0
    assert loop.side_by_side(lambda name: name, ["a"]) == {"a": "a"}
