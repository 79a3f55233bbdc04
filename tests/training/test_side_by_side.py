"""Trainings on several cores at once: the same bits as one after the other."""

import os
import signal
from dataclasses import replace
from multiprocessing import get_context

import pytest
import torch
from torch import nn
from tqdm import tqdm

from whereabouts.data.examples import Examples
from whereabouts.errors import InputError
from whereabouts.losses.segmentation import inside_loss
from whereabouts.methods.networks.inside import METHODS, clevr_network
from whereabouts.pipeline import progress
from whereabouts.pipeline.interruption import Interrupted
from whereabouts.training import loop, processes, supervised
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


def test_each_training_has_one_thread_and_the_caller_keeps_its_own():
    before = torch.get_num_threads()
    assert loop.side_by_side(lambda name: torch.get_num_threads(), ["a", "b", "c"]) == {"a": 1, "b": 1, "c": 1}
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("cores", [1, 2, 5])
def test_results_are_in_the_order_of_the_runs_whatever_the_number_of_cores(cores, monkeypatch):
    monkeypatch.setattr(loop.os, "sched_getaffinity", lambda _: set(range(cores)))
    found = loop.side_by_side(lambda run: torch.full((2,), run), [3, 1, 2])
    assert [(run, value.tolist()) for run, value in found.items()] == [(3, [3, 3]), (1, [1, 1]), (2, [2, 2])]
    assert loop.side_by_side(len, []) == {}


def test_a_failure_in_one_training_is_raised():
    def train(name):
        if name == "b":
            raise FloatingPointError("b: the loss is nan before step 3")

    with pytest.raises(FloatingPointError, match="b: the loss is nan") as caught:
        loop.side_by_side(train, ["a", "b"])
    assert "in train" in caught.value.__notes__[0]  # where, in the other process


class Unsendable(Exception):
    def __reduce__(self):
        raise TypeError


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (InputError(["a: wrong; mend it", "b: too"]), "a: wrong; mend it\nb: too"),
        (Interrupted("after 3 of 4 steps"), "put away after 3 of 4 steps; run it again to go on"),
        (Unsendable("all of it"), "all of it"),
    ],
)
def test_an_error_arrives_as_it_was_raised(error, said):
    def train(_):
        raise error

    with pytest.raises(RuntimeError if isinstance(error, Unsendable) else type(error)) as caught:
        loop.side_by_side(train, [0])
    assert said in str(caught.value)
    assert getattr(caught.value, "problems", None) == getattr(error, "problems", None)


def test_a_process_that_is_killed_is_one_line():
    with pytest.raises(
        InputError, match=r"^a: its process: SIGKILL; if memory ran out, choose a smaller batch or scale$"
    ):
        loop.side_by_side(lambda _: os.kill(os.getpid(), signal.SIGKILL), ["a"])


def test_what_a_network_learns_is_not_lost():
    def train(_):
        return supervised.fit(clevr_network("film", 4, 12, filters=2), None, None, None, SCHEDULE, 0, 2)

    with pytest.raises(ValueError, match="that `build` did not make"):
        loop.side_by_side(train, ["a"])


def test_nor_what_those_beside_it_learn():
    """As a discriminator, which is trained with the network that is kept."""
    learner = loop.Learner()
    learner.model = loop.build(lambda: clevr_network("film", 4, 12, filters=2), 0)
    learner.parts = lambda: [learner.model, nn.Linear(2, 1)]
    with pytest.raises(ValueError, match="that `build` did not make"):
        loop.side_by_side(lambda _: loop.run(learner, SCHEDULE), ["a"])


def test_a_shared_network_is_as_it_was():
    """Weights, their order in memory, and what has no elements."""
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)).to(memory_format=torch.channels_last)
    model.register_buffer("nothing", torch.zeros(0))
    before = {name: (value.clone(), value.stride()) for name, value in model.state_dict().items()}
    for name, value in processes.shared(model).state_dict().items():
        assert torch.equal(value, before[name][0]) and value.stride() == before[name][1]
        assert value.data_ptr() % processes.ALIGNED == 0


def test_bars_and_what_is_printed_are_shown_by_the_caller(monkeypatch, capsys):
    shown = []

    class Bar(tqdm):
        def refresh(self, *_, **__):
            shown.append((self.desc, self.n, self.total))

    monkeypatch.setattr(progress, "tqdm", Bar)
    monkeypatch.delenv(progress.CHANNEL, raising=False)

    def train(name):
        print(name, "was here")
        for _ in progress.bar(range(3), desc=name):
            pass

    loop.side_by_side(train, ["a", "b"])
    assert {("a", 3, 3), ("b", 3, 3)} <= set(shown)
    said = capsys.readouterr().err
    assert "a was here\n" in said and "b was here\n" in said


def test_where_one_fails_the_other_is_put_away_and_goes_on_later(tmp_path, monkeypatch):
    """As where the caller is interrupted, by Jupyter's button say."""
    monkeypatch.setattr(loop.os, "sched_getaffinity", lambda _: {0, 1})
    started, checkpoint = get_context("fork").Event(), Checkpoint(tmp_path / "run.pt")

    class Endless(loop.Learner):
        model = loop.build(lambda: nn.Linear(1, 1), 0)

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
