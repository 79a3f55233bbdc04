"""Training: equal bits whatever happens on the way, and early stopping."""

import math
from copy import deepcopy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from equality import global_generators_untouched, same_bits
from whereabouts.data.examples import Examples
from whereabouts.errors import InputError
from whereabouts.inference.slices import predict
from whereabouts.layers import INSIDE
from whereabouts.losses.segmentation import inside_loss
from whereabouts.methods.networks.inside import clevr_network
from whereabouts.metrics import overlap
from whereabouts.pipeline import interruption
from whereabouts.pipeline.interruption import Interrupted
from whereabouts.training import loop
from whereabouts.training.checkpoints import Checkpoints
from whereabouts.training.loop import Schedule, batch_indices, build
from whereabouts.training.supervised import fit

pytestmark = pytest.mark.usefixtures("on_the_cpu")

SCHEDULE = Schedule(steps=11, batch=4, learning_rate=3e-2, validate_every=2, patience=9)


class Killed(BaseException):
    """What a test raises where a process would be killed."""


def examples(n=10, seed=0, size=16, classes=4):
    """Slices in which each class has its own intensity, two facts about each, and volumes of about three slices."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, (n, size // 4, size // 4)).repeat(4, 1).repeat(4, 2)
    images = (labels / classes + rng.normal(0, 0.1, labels.shape)).astype(np.float32)
    return Examples.of(images, labels, rng.normal(size=(n, 2)), np.arange(n) // 3)


class Small(nn.Module):
    """A convolution, batch normalisation and an INSIDE layer."""

    def __init__(self):
        super().__init__()
        self.first, self.steered, self.last = nn.Conv2d(1, 6, 3, padding=1), INSIDE(6, 2), nn.Conv2d(6, 4, 1)
        self.norm = nn.BatchNorm2d(6)

    def forward(self, x, z):
        return self.last(self.steered(self.norm(self.first(x)), z).relu())


def loss(model, logits, labels, z):
    return inside_loss(model, logits, labels, z, focal=0.1, gamma=0.5, eta=1e-4)


def dies(at, error=Killed):
    """A loss that raises in step `at`, counted from 1."""
    calls = []

    def inner(*arguments):
        calls.append(1)
        if len(calls) == at:
            raise error
        return loss(*arguments)

    return inner


class Memory:
    """A checkpoint that is kept, but not on disk."""

    def load(self):
        return getattr(self, "state", None)

    def save(self, state):
        self.state = deepcopy(state)


def run(checkpoint=None, loss=loss, seed=0, schedule=SCHEDULE, **options):
    """One small run: its network, curve and last state."""
    model = build(Small, seed)
    checkpoint = checkpoint or Memory()
    options = {"checkpoint": checkpoint, "checkpoint_share": math.inf} | options
    curve = fit(model, examples(), examples(7, seed=1), loss, schedule, seed, 4, **options)
    return model, curve, checkpoint.load()


def equal(a, b, last=True):
    """Whether two runs have the same best weights and curve and ended in the same state, of the optimiser too."""
    best = same_bits(dict(a[0].state_dict()), dict(b[0].state_dict())) and a[1].equals(b[1])
    return best and (not last or same_bits(a[2], b[2]))


@pytest.fixture(scope="module")
def uninterrupted(on_the_cpu):
    return run()


# ---------------------------------------------------------------------------------------------------------- same bits


def test_examples_are_drawn_in_the_order_of_batch_indices():
    seen = []

    def watch(model, logits, labels, z):
        seen.append(z)
        return loss(model, logits, labels, z)

    run(loss=watch)
    expected = [examples().z[torch.from_numpy(batch_indices(0, step, 10, 4))] for step in range(11)]
    assert torch.equal(torch.stack(seen), torch.stack(expected))


def test_validations_are_regular_and_at_the_end(uninterrupted):
    _, curve, last = uninterrupted
    assert curve.step.tolist() == [2, 4, 6, 8, 10, 11]
    assert list(curve.columns) == ["step", "loss", "dice"]
    assert last["step"] == 11


def test_a_run_is_a_function_of_its_arguments(uninterrupted):
    """Neither the state of the global generators nor the writing of checkpoints matters, and the state stays."""
    with global_generators_untouched():
        assert equal(run(), uninterrupted)
    assert equal(run(checkpoint_share=0), uninterrupted)
    assert not equal(run(seed=4), uninterrupted, last=False)


def test_weights_depend_on_the_seed_alone():
    def weights(seed):
        return build(lambda: clevr_network("inside", 4, 16), seed).state_dict()

    torch.manual_seed(1)
    first = weights(0)
    torch.manual_seed(2)
    assert all(torch.equal(a, b) for a, b in zip(first.values(), weights(0).values(), strict=True))
    assert not torch.equal(first["head.weight"], weights(1)["head.weight"])
    assert torch.initial_seed() == 2


def test_the_same_loop_written_plainly():
    """Weights after the first validation, from Adam and the formulas alone."""
    model, curve, _ = run(schedule=replace(SCHEDULE, steps=2))
    plain = build(Small, 0).train()
    adam, losses = torch.optim.Adam(plain.parameters(), lr=3e-2, betas=(0.9, 0.999), fused=True), []
    for step in range(2):
        images, labels, z = examples().batch(torch.from_numpy(batch_indices(0, step, 10, 4)))
        adam.zero_grad()
        losses.append(loss(plain, plain(images, z), labels, z))
        losses[-1].backward()
        adam.step()
    assert all(torch.equal(a, b) for a, b in zip(plain.state_dict().values(), model.state_dict().values(), strict=True))
    validation = examples(7, seed=1)
    dice = overlap.dice(predict(plain, validation), validation.labels, 4, validation.volume).mean().item()
    assert curve.to_dict("records") == [
        {"step": 2, "loss": pytest.approx(torch.stack(losses).mean().item()), "dice": dice}
    ]


OURS = {
    "constant": (SCHEDULE, lambda adam: torch.optim.lr_scheduler.ConstantLR(adam, factor=1)),
    "polynomial": (
        replace(SCHEDULE, decay="polynomial"),
        lambda adam: torch.optim.lr_scheduler.PolynomialLR(adam, total_iters=11, power=0.9),
    ),
    "halves": (
        replace(SCHEDULE, decay="halves", decay_every=4),
        lambda adam: torch.optim.lr_scheduler.StepLR(adam, step_size=4, gamma=0.5),
    ),
    "tenths": (
        replace(SCHEDULE, decay="tenths", decay_every=5),
        lambda adam: torch.optim.lr_scheduler.StepLR(adam, step_size=5, gamma=0.1),
    ),
    "warm up": (
        replace(SCHEDULE, warm_up=3),
        lambda adam: torch.optim.lr_scheduler.ConstantLR(adam, factor=0.1, total_iters=3),
    ),
}


@pytest.mark.parametrize("name", OURS)
def test_the_learning_rate_is_that_of_pytorchs_schedulers(name, monkeypatch):
    """At every step of a run, which is also where the optimiser gets it."""
    schedule, scheduler = OURS[name]
    adam, paces, expected = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=3e-2), [], []
    theirs = scheduler(adam)
    for _ in range(11):
        expected.append(adam.param_groups[0]["lr"])
        adam.step()
        theirs.step()
    step = torch.optim.Adam.step
    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.Adam, "step", lambda adam: (paces.append(adam.param_groups[0]["lr"]), step(adam)))
        run(schedule=schedule)
    assert paces == pytest.approx(expected, rel=1e-6)
    assert paces == [loop.rate(schedule, number) for number in range(11)]


def test_a_decay_without_an_interval_never_drops_and_an_unknown_one_is_named():
    assert loop.rate(replace(SCHEDULE, decay="halves"), 10) == SCHEDULE.learning_rate
    with pytest.raises(InputError) as error:
        replace(SCHEDULE, decay="cosine")
    assert str(error.value) == "decay=cosine: unknown; choose one of constant, polynomial, halves, tenths"


def test_a_schedule_goes_on_where_it_was(checkpoint):
    schedule = replace(SCHEDULE, decay="polynomial")
    with pytest.raises(Killed):
        run(checkpoint, dies(7), schedule=schedule)
    assert equal(run(checkpoint, schedule=schedule), run(schedule=schedule))


@pytest.mark.parametrize("at", [1, 2, 3, 11])
def test_killed_and_resumed_is_the_same_run(at, checkpoint, uninterrupted):
    with pytest.raises(Killed):
        run(checkpoint, dies(at))
    assert checkpoint.path.exists() == (at > 2)
    assert equal(run(checkpoint), uninterrupted)


def test_killed_again_and_again(checkpoint, uninterrupted):
    for _ in range(3):
        with pytest.raises(Killed):
            run(checkpoint, dies(4))
    assert checkpoint.load()["step"] == 6
    assert equal(run(checkpoint), uninterrupted)


def test_a_finished_run_is_not_run_again(checkpoint, uninterrupted):
    run(checkpoint, checkpoint_share=0)
    assert checkpoint.load()["step"] == 11
    assert equal(run(checkpoint, dies(1)), uninterrupted)


def test_checkpoints_are_no_more_frequent_than_asked(checkpoint):
    with pytest.raises(Killed):
        run(checkpoint, dies(11), checkpoint_share=0)
    assert not checkpoint.path.exists()


@pytest.mark.parametrize(
    ("share", "steps"), [(0.0, [11]), (0.5, [2, 11]), (1.0, [2, 8, 11]), (9.0, [2, 4, 6, 8, 10, 11])]
)
def test_checkpoints_take_a_share_of_the_time(share, steps, monkeypatch):
    """A step takes a second here, a checkpoint four; the first is written to see what it takes."""
    clock, saved = [0.0], []
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: clock[0]))

    class Slow(Memory):
        def save(self, state):
            super().save(state)
            saved.append(state["step"])
            clock[0] += 4

    def ticking(*arguments):
        clock[0] += 1
        return loss(*arguments)

    run(Slow(), ticking, checkpoint_share=share)
    assert saved == steps


def interrupted_after(steps, monkeypatch, checkpoint):
    """A run that is asked to end after so many of its steps, and the message it ends with."""
    answers = iter([False] * steps + [True] * 99)
    with monkeypatch.context() as patch:
        patch.setattr(interruption, "asked", lambda: next(answers))
        with pytest.raises(Interrupted) as caught:
            run(checkpoint, checkpoint_share=0)
    return str(caught.value)


@pytest.mark.parametrize("steps", [0, 1, 2, 10])
def test_put_away_when_asked_and_resumed_is_the_same_run(steps, checkpoint, uninterrupted, monkeypatch):
    """Between two validations too, when no checkpoint would be due for long."""
    said = interrupted_after(steps, monkeypatch, checkpoint)
    assert said == f"put away after {steps} of 11 steps; run it again to go on"
    assert checkpoint.load()["step"] == steps
    assert equal(run(checkpoint), uninterrupted)


def test_put_away_again_and_again(checkpoint, uninterrupted, monkeypatch):
    for steps in (3, 0, 4, 1):
        interrupted_after(steps, monkeypatch, checkpoint)
    assert checkpoint.load()["step"] == 8
    assert equal(run(checkpoint), uninterrupted)


def test_a_run_without_a_checkpoint_goes_on_to_its_end(monkeypatch):
    """There is nowhere to put it away."""
    monkeypatch.setattr(interruption, "asked", lambda: True)
    assert fit(build(Small, 0), examples(), examples(7, seed=1), loss, SCHEDULE, 0, 4).step.max() == 11


@pytest.mark.parametrize("part", ["model", "optimiser", "step", "best", "rows", "losses"])
def test_everything_in_a_checkpoint_matters(part, checkpoint, uninterrupted, monkeypatch):
    """What the equalities above would not see, were it never read. "step" is what random numbers are drawn from."""
    interrupted_after(9, monkeypatch, checkpoint)
    state = checkpoint.load()
    if part == "model":
        state["learner"]["model"]["norm.running_mean"] += 1e-3
    elif part == "optimiser":
        state["learner"]["optimiser"]["state"][0]["exp_avg"] *= 1.01
    elif part == "step":
        state["step"] -= 2
    elif part == "best":
        state["best"]["score"] = 2.0
    elif part == "losses":
        state["losses"][0] += 1
    else:
        state["rows"][0]["loss"] += 1
    checkpoint.save(state)
    assert not equal(run(checkpoint), uninterrupted, last=False)


def test_a_damaged_checkpoint_costs_steps_and_no_bits(checkpoint, uninterrupted):
    with pytest.raises(Killed):
        run(checkpoint, dies(8))
    checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:-100])
    with pytest.warns(UserWarning, match="damaged checkpoint passed over"):
        resumed = run(checkpoint)
    assert equal(resumed, uninterrupted)


def test_another_configuration_starts_afresh(tmp_path):
    """The same folder, one number changed: as a run without checkpoints."""
    other = replace(SCHEDULE, learning_rate=2e-2)
    of = [Checkpoints(tmp_path).of(loop.configuration(s, seed=3)) for s in (SCHEDULE, other)]
    with pytest.raises(Killed):
        run(of[0], dies(9))
    assert equal(run(of[1], schedule=other), run(schedule=other))
    assert of[0].load()["step"] == 8


# ------------------------------------------------------------------------------------------------------------ stopping


def scripted(monkeypatch, scores):
    scores = iter(scores)
    monkeypatch.setattr(overlap, "dice", lambda *_: torch.tensor(next(scores)))


def test_stops_without_progress_and_keeps_the_best_weights(monkeypatch):
    """Best at the second of the validations; equal is no better. No fourth after it, with patience 3."""
    scripted(monkeypatch, [0.25, 0.5, 0.5, 0.375, 0.125, 1.0])
    model, curve, _ = run(schedule=replace(SCHEDULE, steps=100, patience=3))
    assert curve.step.tolist() == [2, 4, 6, 8, 10]
    assert curve.dice.tolist() == [0.25, 0.5, 0.5, 0.375, 0.125]
    scripted(monkeypatch, [0.25, 0.5])
    best, *_ = run(schedule=replace(SCHEDULE, steps=4))
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), best.state_dict().values(), strict=True))


def test_progress_renews_patience(monkeypatch):
    scripted(monkeypatch, [0.1, 0.0, 0.2, 0.0, 0.3, 0.0, 0.0, 0.0])
    _, curve, _ = run(schedule=replace(SCHEDULE, steps=100, patience=2))
    assert curve.step.tolist() == [2, 4, 6, 8, 10, 12, 14]


def test_stopping_survives_being_killed(checkpoint, monkeypatch):
    schedule = replace(SCHEDULE, steps=100, patience=3)
    scores = [0.25, 0.5, 0.5, 0.375, 0.125, 1.0]
    scripted(monkeypatch, scores)
    expected = run(schedule=schedule)
    scripted(monkeypatch, scores)
    with pytest.raises(Killed):
        run(checkpoint, dies(8), schedule=schedule)
    scripted(monkeypatch, scores[3:])
    resumed = run(checkpoint, schedule=schedule)
    assert equal(resumed, expected)
    assert equal(run(checkpoint, dies(1), schedule=schedule), expected)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite(value, checkpoint):
    calls = []

    def explodes(*arguments):
        calls.append(1)
        return loss(*arguments) * (value if len(calls) == 6 else 1)

    with pytest.raises(FloatingPointError) as error:
        run(checkpoint, explodes, title="one run")
    assert str(error.value) == f"one run: the loss is {value} before step 6"
    assert checkpoint.load()["step"] == 4
