"""Training the ultrasound classifiers (Schlemper 2019, section 3.2): weighted sampling, SGD with a warm start."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from sklearn.metrics import f1_score
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from whereabouts.data.examples import normalise
from whereabouts.inference.device import autocast
from whereabouts.models.sononet import AGGREGATIONS, probabilities
from whereabouts.training import augmentation
from whereabouts.training.loop import Learner, Schedule


@dataclass(frozen=True)
class Readings:
    """What the text leaves open.

    Args:
        warm_up: steps at a tenth of the learning rate, at the start (5 epochs).
        decay_every: steps after which the rate is divided by ten, again and again (100 epochs); 0 never.
        weight_decay: 1e-6 as released.
        rotation, shift, zoom: see `whereabouts.training.augmentation.affine`; frames are mirrored with probability one
            half.
    """

    warm_up: int = 0
    decay_every: int = 0
    weight_decay: float = 1e-6
    rotation: float = 15.0
    shift: float = 0.1
    zoom: tuple[float, float] = (0.7, 1.3)


def sampling_weights(planes: np.ndarray, background: int) -> np.ndarray:
    """Probability of each frame (N,): half for the background, the other half shared evenly by the planes there are."""
    counts = np.bincount(planes, minlength=background + 1)
    others = np.count_nonzero(np.delete(counts, background))
    share = np.where(np.arange(len(counts)) == background, 0.5, 0.5 / max(others, 1))
    weights = (share / np.maximum(counts, 1))[planes]
    return weights / weights.sum()


@torch.no_grad()
def predict(model: nn.Module, images: Tensor, batch: int = 256, precision: str = "float32") -> Tensor:
    """Probabilities (N, C) of frames (N, 1, h, w), uint8, on the CPU."""
    model.eval()
    parts = []
    for part in images.split(batch):
        x = normalise(part.float(), {}).contiguous(memory_format=torch.channels_last)
        with autocast(precision):
            logits = model(x)
        parts.append(probabilities(logits, model.aggregation).cpu())
    return torch.cat(parts)


@dataclass
class Classifying(Learner):
    """One classifier of frames.

    Args:
        model: from `whereabouts.models.sononet`, made by `whereabouts.training.loop.build`.
        images, planes: training frames (N, 1, h, w), uint8, on the device, and their planes (N,).
        validation: the same two of the validation frames.
        background: which of the planes is none.
        schedule, seed: as for `whereabouts.training.supervised.fit`; seed also of what is drawn and of how it is moved.
        readings: see `Readings`.
    """

    model: nn.Module
    images: Tensor
    planes: np.ndarray
    validation: tuple[Tensor, np.ndarray]
    background: int
    schedule: Schedule
    seed: int
    readings: Readings = field(default_factory=Readings)
    measure = "f1"

    def __post_init__(self):
        self.optimiser = torch.optim.SGD(
            self.model.parameters(),
            lr=self.schedule.learning_rate,
            momentum=0.9,
            nesterov=True,
            weight_decay=self.readings.weight_decay,
        )
        falls = {"decay_every": self.readings.decay_every, "warm_up": self.readings.warm_up}
        self.schedule = replace(self.schedule, decay="tenths", **falls)
        self._weights = sampling_weights(self.planes, self.background)

    def step(self, number: int) -> Tensor:
        self.model.train()
        self.pace(number)
        x, target = self.batch(number)
        with autocast(self.schedule.precision):
            logits = self.model(x)  # (B, heads, C)
        weights = AGGREGATIONS[self.model.aggregation]
        loss = sum(w * cross_entropy(head.float(), target) for w, head in zip(weights, logits.unbind(1), strict=True))
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return loss.detach()

    def batch(self, number: int) -> tuple[Tensor, Tensor]:
        """Standardised frames (B, 1, h, w) and their planes (B,)."""
        draw = np.random.default_rng((self.seed, number))
        index = draw.choice(len(self.planes), self.schedule.batch, p=self._weights)
        noise = torch.Generator(self.images.device).manual_seed(int(draw.integers(2**62)))
        r = self.readings
        by = augmentation.affine(len(index), noise, r.rotation, r.shift, r.zoom, flips=(0.0, 0.5))
        x = augmentation.warp(self.images[torch.from_numpy(index)].float(), by)
        target = torch.from_numpy(self.planes[index].astype(np.int64)).to(x.device)
        return normalise(x, {}).contiguous(memory_format=torch.channels_last), target

    def score(self) -> float:
        """F1, the mean over planes and background."""
        images, planes = self.validation
        found = predict(self.model, images, precision=self.schedule.precision).argmax(1).numpy()
        return float(f1_score(planes, found, average="macro", zero_division=0))
