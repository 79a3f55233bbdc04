"""The one training loop of the compendium, and prediction.

Nothing in it depends on global state: weights come from `seed`, batch t from (seed, t), so a run that was killed and
started again ends in the same bits on the CPU as one that was not.
"""

import math
import os
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from whereabouts.errors import InputError
from whereabouts.inference.device import device, keep_freed_memory
from whereabouts.pipeline import interruption, measure, progress
from whereabouts.pipeline.interruption import Interrupted
from whereabouts.pipeline.precision import WORDS
from whereabouts.training import processes
from whereabouts.training.checkpoints import Checkpoint

R, T = TypeVar("R"), TypeVar("T")


@dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    Args:
        steps: optimiser steps at most. In steps, not epochs, so that small training sets train as long as large ones.
        batch: images a step.
        learning_rate: of the optimiser, at first; of Adam, with beta 0.9 and 0.999, unless a learner says otherwise.
        validate_every: steps between two validations; weights are kept where the validation score was best.
        patience: validations without a better score after which training stops.
        decay: of the learning rate, one of `DECAYS`.
        decay_every: steps from one drop to the next, where it falls in drops; 0 never drops.
        warm_up: steps at the start, at a tenth of the learning rate.
        precision: one of `whereabouts.pipeline.precision`'s words, resolved: "float32", "bfloat16" or "portable".

    Raises:
        InputError: there is no such decay, or no such precision.
    """

    steps: int
    batch: int
    learning_rate: float
    validate_every: int
    patience: int
    decay: str = "constant"
    decay_every: int = 0
    warm_up: int = 0
    precision: str = "float32"

    def __post_init__(self):
        if self.decay not in DECAYS:
            raise InputError(f"decay={self.decay}: unknown; choose one of {', '.join(DECAYS)}")
        if self.precision not in (known := WORDS[1:]):
            raise InputError(f"precision={self.precision}: unknown; choose one of {', '.join(known)}")


def _drops(left: float) -> Callable[[Schedule, int], float]:
    return lambda schedule, step: left ** (step // schedule.decay_every) if schedule.decay_every else 1.0


# What is left of the learning rate of a schedule at a step.
DECAYS = {
    "constant": lambda schedule, step: 1.0,
    "polynomial": lambda schedule, step: (1 - step / schedule.steps) ** 0.9,  # the power of DeepLab and of nnU-Net
    "halves": _drops(0.5),
    "tenths": _drops(0.1),
}


def rate(schedule: Schedule, step: int) -> float:
    """The learning rate of training step `step`, from 0."""
    left = 0.1 if step < schedule.warm_up else DECAYS[schedule.decay](schedule, step)
    return schedule.learning_rate * left


def build(network: Callable[[], nn.Module], seed: int) -> nn.Module:
    """A network whose initial weights depend on `seed` alone, channels last, on the device; see `side_by_side`."""
    keep_freed_memory()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = network()
    volumes = any(parameter.ndim == 5 for parameter in model.parameters())  # the weights of 3D convolutions
    model = model.to(device=device(), memory_format=torch.channels_last_3d if volumes else torch.channels_last)
    return processes.shared(model) if device().type == "cpu" else model


def batch_indices(seed: int | tuple, step: int, n: int, batch: int) -> np.ndarray:
    """Which of n examples make up batch `step`: an endless row of shuffles, cut every `batch`. (batch,), int64."""
    positions = np.arange(step * batch, (step + 1) * batch)
    return np.array([_shuffle(seed, position // n, n)[position % n] for position in positions])


@lru_cache(maxsize=64)
def _shuffle(seed: int | tuple, epoch: int, n: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(n)


class Learner:
    """What `run` trains: something that takes steps, can be scored, and can be put away and taken up again."""

    model: nn.Module
    optimiser: torch.optim.Optimizer
    schedule: Schedule
    measure = "dice"  # what `score` returns, as a column is called
    least = 0.0  # a score is a gain if it is more than this above the last gain
    restores = True  # whether training ends with the weights of the last gain, or with the last ones

    def parts(self) -> list[nn.Module]:
        """Every network that `step` changes."""
        return [self.model]

    def step(self, number: int) -> Tensor:
        """Training step `number`, from 0: update the weights; returns the loss, detached."""
        raise NotImplementedError

    def pace(self, number: int) -> None:
        """Give the optimiser the learning rate of step `number`; what `step` begins with."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate(self.schedule, number)

    def score(self) -> float:
        """How good the weights are on the validation set, in [0, 1]."""
        raise NotImplementedError

    def counts(self) -> bool:
        """Whether the weights, as they are, may be those that are kept; before, patience has not begun either."""
        return True

    def weights(self) -> dict:
        """What is kept where the score is best, by reference."""
        return self.model.state_dict()

    def keep(self, weights: dict) -> None:
        """Take up `weights`, as once returned by `weights`."""
        self.model.load_state_dict(weights)

    def state(self) -> dict:
        """All that the next step depends on."""
        return {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}

    def resume(self, state: dict) -> None:
        """Go on from `state`."""
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])


def run(
    learner: Learner,
    schedule: Schedule,
    checkpoint: Checkpoint | None = None,
    checkpoint_share: float = 0.03,
    title: str = "",
) -> pd.DataFrame:
    """Train until the schedule ends or patience does, and leave the weights that scored best; see `fit`.

    What a gain is, and whether its weights stay, is the learner's to say: `counts`, `least` and `restores`.
    """
    for part in learner.parts():
        processes.expect_shared(part)
    measure.training(learner, schedule.steps, title)
    rows: list[dict] = []
    best = {"score": -1.0, "age": 0, "weights": None}
    step, losses, saved, cost = 0, [], time.monotonic(), 0.0
    if checkpoint and (state := checkpoint.load()):
        learner.resume(state["learner"])
        rows, best, step = state["rows"], state["best"], state["step"]
        losses = [torch.tensor(loss, device=device()) for loss in state["losses"]]

    def put_away() -> None:
        values = [loss.item() for loss in losses]
        state = {"learner": learner.state(), "rows": rows, "best": best, "step": step, "losses": values}
        checkpoint.save(state)

    with progress.bar(total=schedule.steps, initial=step, desc=title, unit="step") as bar:
        while step < schedule.steps and best["age"] < schedule.patience:
            if checkpoint and interruption.asked():
                put_away()
                raise Interrupted(f"after {step} of {schedule.steps} steps")
            losses.append(learner.step(step))
            step += 1
            bar.update()
            if step % schedule.validate_every and step < schedule.steps:
                continue

            mean_loss = torch.stack(losses).mean().item()
            if not math.isfinite(mean_loss):
                raise FloatingPointError(f"{title}: the loss is {mean_loss} before step {step}")
            score = learner.score()
            rows.append({"step": step, "loss": mean_loss, learner.measure: score})
            losses = []
            if not learner.counts():
                pass
            elif score > best["score"] + learner.least:
                best = {"score": score, "age": 0, "weights": deepcopy(learner.weights())}
            else:
                best["age"] += 1
            shown = {"loss": mean_loss, learner.measure: score, "best": best["score"]}
            bar.set_postfix({name: f"{value:.3f}" for name, value in shown.items()})
            finished = step == schedule.steps or best["age"] == schedule.patience
            if checkpoint and (finished or (time.monotonic() - saved) * checkpoint_share > cost):
                start = time.monotonic()
                put_away()
                saved = time.monotonic()
                cost = saved - start

    if learner.restores and best["weights"] is not None:
        learner.keep(best["weights"])
    return pd.DataFrame(rows)


def side_by_side(train: Callable[[R], T], runs: list[R]) -> dict[R, T]:
    """run -> train(run) for independent trainings: on the CPU one a core at a time, on an accelerator in turn.

    Small networks gain little from a second core and a second network gains all of it: see `processes`. What a training
    leaves is what it returns, and the weights of networks that `build` made before.
    """
    if device().type != "cpu":
        return {run: train(run) for run in runs}
    return processes.each(train, runs, len(os.sched_getaffinity(0)))


def configuration(schedule: Schedule, **facts) -> dict:
    """What a run depends on beside the code, for `Checkpoints.of`."""
    return {"schedule": asdict(schedule), **facts}
