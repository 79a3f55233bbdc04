"""Training 3D networks on scans (Schlemper 2019, section 3.2): pad, move, standardise, crop; Dice loss; Adam."""

from copy import deepcopy
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn

from whereabouts.data.scan import Scan, tensor
from whereabouts.inference.device import autocast, device
from whereabouts.inference.scans import masks, padded, standardised
from whereabouts.layers.attention_gate import parameter_groups
from whereabouts.losses.segmentation import dice_loss
from whereabouts.metrics import overlap
from whereabouts.training import augmentation
from whereabouts.training.loop import Learner, Schedule, batch_indices


@dataclass(frozen=True)
class Readings:
    """Where the text, the released code and what two cores can do differ.

    Args:
        optimiser: "adam" (the text, and the first release) or "sgd", with Nesterov momentum (what the released code
            does since a later change).
        halve_every: steps after which the learning rate is halved, again and again (released: 250 epochs); 0 never.
        weight_decay: 1e-6 as released, but see `whereabouts.layers.attention_gate.parameter_groups`.
        as_released: the loss with its epsilon inside the factor 2, which becomes negative where a class is absent.
        auxiliary: weight of a loss on each decoder level; 0 as released, although the text has deep supervision.
        rotation, shift, zoom: see `whereabouts.training.augmentation.affine`.
        flip: probability with which each in-plane axis is reversed.
        accumulate: forward and backward passes whose gradients are averaged for one step.
    """

    optimiser: str = "adam"
    halve_every: int = 0
    weight_decay: float = 1e-6
    as_released: bool = False
    auxiliary: float = 0.0
    rotation: float = 15.0
    shift: float = 0.1
    zoom: tuple[float, float] = (0.7, 1.3)
    flip: float = 0.5
    accumulate: int = 1

    def __post_init__(self):
        if self.optimiser not in ("adam", "sgd"):
            raise ValueError(f"optimiser={self.optimiser!r}: unknown; choose one of adam, sgd")


@dataclass
class Segmenting(Learner):
    """One segmentation network of volumes.

    Args:
        model: from `whereabouts.models.unet3d`, made by `whereabouts.training.loop.build`.
        training, validation: scans as prepared, with labels.
        structures: how many, labels 1 and up.
        schedule, seed: as for `whereabouts.training.supervised.fit`; seed also of crops and movements.
        window: sides of what the network sees at once, voxels, multiples of 16; one of 16 on each side needs a batch
            of two or more, since the coarsest maps are then a single voxel, which cannot be normalised.
        readings: see `Readings`.
        only: labels among which the softmax chooses, the background first; empty for all. Others count as background.
        asked: whether each example asks for one structure, drawn at random, and the network answers for it alone.
        snapshots: steps after which the weights are put aside, in `kept`.

    Raises:
        ValueError: `only` and `asked` together.
    """

    model: nn.Module
    training: list[Scan]
    validation: list[Scan]
    structures: int
    schedule: Schedule
    seed: int
    window: tuple[int, int, int]
    readings: Readings = field(default_factory=Readings)
    only: tuple[int, ...] = ()
    asked: bool = False
    snapshots: tuple[int, ...] = ()

    def __post_init__(self):
        if self.only and self.asked:
            raise ValueError("only and asked: a network that is asked for one structure chooses among no labels")
        weights, rate = parameter_groups(self.model, self.readings.weight_decay), self.schedule.learning_rate
        if self.readings.optimiser == "adam":
            self.optimiser = torch.optim.Adam(weights, rate, fused=True)
        else:
            self.optimiser = torch.optim.SGD(weights, rate, momentum=0.9, nesterov=True)
        if self.readings.halve_every:
            self.schedule = replace(self.schedule, decay="halves", decay_every=self.readings.halve_every)
        self.kept: dict[int, dict] = {}
        self._ready = [self._prepare(scan) for scan in self.training]

    def _prepare(self, scan: Scan) -> tuple[Tensor, Tensor]:
        """Image and labels on the device, filled up to the window with the minimum and with background."""
        image, labels = (part.to(device()) for part in tensor(scan))
        return padded(image, self.window, image.min().item())[0], padded(labels, self.window, 0)[0]

    def step(self, number: int) -> Tensor:
        self.model.train()
        self.pace(number)
        self.optimiser.zero_grad()
        losses = []
        for part in range(self.readings.accumulate):
            loss = self._loss(number * self.readings.accumulate + part) / self.readings.accumulate
            loss.backward()
            losses.append(loss.detach())
        self.optimiser.step()
        if number + 1 in self.snapshots:
            self.kept[number + 1] = deepcopy(self.model.state_dict())
        return torch.stack(losses).sum()

    def _loss(self, number: int) -> Tensor:
        x, labels, z = self.batch(number)
        with autocast(self.schedule.precision):
            fused, levels = self.model.levels(x, z)
        loss = self._dice(fused, labels)
        if self.readings.auxiliary:
            loss = loss + self.readings.auxiliary * sum(self._dice(level, labels) for level in levels)
        return loss

    def _dice(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Over all classes, the background included (section 3.2)."""
        if self.only:
            logits = logits[:, list(self.only)]
            labels = sum((labels == value) * k for k, value in enumerate(self.only))
        return dice_loss(logits, labels, epsilon=0.01, background=True, as_released=self.readings.as_released)

    def batch(self, number: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """Images (B, 1, *window), labels (B, *window) and, if asked, which structures: one-hot (B, structures)."""
        state = np.random.SeedSequence((self.seed, number)).generate_state(1, np.uint64)[0]
        noise = torch.Generator(device()).manual_seed(int(state >> 1))
        index = batch_indices(self.seed, number, len(self._ready), self.schedule.batch)
        images, labels = zip(*(self._draw(*self._ready[k], noise) for k in index), strict=True)
        x = torch.stack(images)[:, None].contiguous(memory_format=torch.channels_last_3d)
        y = torch.stack(labels)
        if not self.asked:
            return x, y.long(), None
        which = torch.randint(self.structures, (len(x),), generator=noise, device=x.device)
        return x, (y == which[:, None, None, None] + 1).long(), torch.eye(self.structures, device=x.device)[which]

    def _draw(self, image: Tensor, labels: Tensor, noise: torch.Generator) -> tuple[Tensor, Tensor]:
        """One volume moved in its plane, standardised and cropped at random."""
        r = self.readings
        by = augmentation.affine(1, noise, r.rotation, r.shift, r.zoom, (r.flip, r.flip))
        image = standardised(augmentation.warp(image[None, None], by)[0, 0])
        labels = augmentation.warp(labels[None, None].float(), by, "nearest")[0, 0].byte()
        room = [n - side + 1 for n, side in zip(image.shape, self.window, strict=True)]
        corner = [int(torch.randint(n, (1,), generator=noise, device=noise.device)) for n in room]
        crop = tuple(slice(start, start + side) for start, side in zip(corner, self.window, strict=True))
        return image[crop], labels[crop]

    def score(self) -> float:
        """Mean Dice over validation scans and structures (those of `only`), on the prepared grid."""
        values = [value for value in range(1, self.structures + 1) if not self.only or value in self.only]
        scores = []
        for scan in self.validation:
            how = {"only": self.only, "asked": self.asked, "precision": self.schedule.precision}
            found = masks(self.model, scan, self.structures, self.window, **how)
            there = torch.stack([tensor(scan)[1] == value for value in values])
            scores.append(overlap.dice(found[[value - 1 for value in values]].byte(), there.byte(), 2).mean())
        return torch.stack(scores).mean().item()

    def state(self) -> dict:
        return super().state() | {"kept": self.kept}

    def resume(self, state: dict) -> None:
        super().resume(state)
        self.kept = state["kept"]
