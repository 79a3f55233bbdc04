"""Supervised training: one network, one loss, one optimiser."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn

from whereabouts.data.examples import Examples
from whereabouts.inference.slices import class_logits, predict
from whereabouts.metrics import overlap
from whereabouts.training.checkpoints import Checkpoint
from whereabouts.training.loop import Learner, Schedule, batch_indices, run


@dataclass
class Supervised(Learner):
    """One network, one loss, one optimiser; arguments as for `fit`."""

    model: nn.Module
    training: Examples
    validation: Examples
    loss: Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]
    schedule: Schedule
    seed: int
    classes: int

    def __post_init__(self):
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=self.schedule.learning_rate, fused=True)

    def step(self, number: int) -> Tensor:
        self.model.train()
        self.pace(number)
        index = torch.from_numpy(batch_indices(self.seed, number, len(self.training), self.schedule.batch))
        images, labels, z = self.training.batch(index.to(self.training.images.device))
        value = self.loss(self.model, class_logits(self.model, images, z, self.schedule.precision), labels, z)
        self.optimiser.zero_grad()
        value.backward()
        self.optimiser.step()
        return value.detach()

    def score(self) -> float:
        return validation_dice(self.model, self.validation, self.classes, self.schedule.precision)


def validation_dice(model: nn.Module, validation: Examples, classes: int, precision: str) -> float:
    """Mean Dice over volumes and foreground classes."""
    found = predict(model, validation, precision=precision)
    return overlap.dice(found, validation.labels, classes, validation.volume).mean().item()


def fit(
    model: nn.Module,
    training: Examples,
    validation: Examples,
    loss: Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor],
    schedule: Schedule,
    seed: int,
    classes: int,
    checkpoint: Checkpoint | None = None,
    checkpoint_share: float = 0.03,
    title: str = "",
) -> pd.DataFrame:
    """Train `model` in place and leave in it the weights that were best on the validation set.

    Args:
        model: called as model(images, z); made by `build`.
        training, validation: examples on the device of the model.
        loss: (model, class logits, labels, z) -> scalar.
        schedule: see `Schedule`.
        seed: of the order of the examples.
        classes: with the background.
        checkpoint: where the run is kept while it is unfinished and from where it resumes; None keeps nothing.
        checkpoint_share: of the time, that writing checkpoints may take: one is written at a validation if the last
            was long enough ago.
        title: shown beside the progress bar.

    Returns:
        One row a validation: step, loss (mean since the row before), dice (of the validation set).

    Raises:
        FloatingPointError: the loss is no longer finite.
        Interrupted: the runner wants to end; the checkpoint has all that is needed to go on.
    """
    learner = Supervised(model, training, validation, loss, schedule, seed, classes)
    return run(learner, schedule, checkpoint, checkpoint_share, title)
