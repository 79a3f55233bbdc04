r"""How the networks of the SDNet chapter are trained: from labelled images, unlabelled ones, and masks.

One step of `SemiSupervised` (section 4.2, in the order of the released code), with x a labelled and u an unlabelled
batch:

1. labelled: $\lambda_2 L_{segm}$ on x, and for SDNet $\lambda_1 L_{KL} + \lambda_4 L_{rec} + \lambda_5 L_{z_{rec}}$;
2. unlabelled: $\lambda_3 L_{adv}$ on u, and for SDNet the same three;
3. discriminator: drawn masks against the masks just predicted for u.

Without a discriminator it is the supervised U-Net, without SDNet's terms the GAN, without unlabelled images the fully
supervised SDNet of section 5.3. Every network is computed once where it is needed and its result shared.

As released, but for: L_z_rec is part of the same update (there, one of its own, on an anatomy that running statistics
normalise), one Adam serves both updates of the segmentation network (there, one each), and the discriminator sees the
masks just predicted for u, which cost nothing (there, of the last 50 of a stream of its own, of frames with and without
labels, predicted after the update with running statistics).
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from whereabouts.data.examples import Examples
from whereabouts.errors import InputError
from whereabouts.inference.device import autocast
from whereabouts.inference.slices import predict, predict_logits
from whereabouts.losses.sdnet import (
    Weights,
    absolute_error,
    adversarial_loss,
    discriminator_loss,
    foreground,
    kl_divergence,
    masks,
    segmentation_loss,
)
from whereabouts.metrics.overlap import pooled_soft_dice
from whereabouts.models.sdnet.discriminator import MaskDiscriminator
from whereabouts.models.sdnet.modality import sample
from whereabouts.models.sdnet.network import SDNet
from whereabouts.training.augmentation import angles, rotate
from whereabouts.training.loop import Learner, Schedule, batch_indices
from whereabouts.training.supervised import validation_dice

KNOWN = {
    "z_anatomy": ("reencoded", "given"),
    "decay_per": ("epoch", "update"),
    "selection": ("best", "released"),
}


@dataclass(frozen=True)
class Readings:
    """Where the paper leaves a choice. The defaults follow its text, where that is sound.

    Args:
        z_anatomy: "reencoded", L_z_rec re-encodes the anatomy of the synthetic image (section 3.3.1); "given", it
            takes the anatomy that the image was made from (released code), a third cheaper.
        decay: of the learning rate, in lr / (1 + decay t).
        decay_per: t counts "epoch"s (section 4.2) or "update"s (what the released code does).
        beta1: of Adam with a discriminator or SDNet; 0.5 as released. The U-Net alone has 0.9.
        rotation: images are turned by up to this many degrees to either side; 90 on ACDC, else 0 (section 5.1).
        soft_masks: turned masks are interpolated, as released, and not nearest neighbour.
        as_printed: the letter of the formulas of L_segm and L_adv; see `whereabouts.losses.sdnet`.
        spectral: weight of the released code's penalty on the discriminator; 10 there.
        selection: what early stopping looks at, and what it leaves: "best", hard Dice of volumes, any gain, the best
            weights (the text's "early stopping criterion on the validation set"); or "released", soft Dice of slices,
            classes pooled, gains of more than .01 (the U-Net's: .001), the last weights.
    """

    z_anatomy: str = "reencoded"
    decay: float = 1e-4
    decay_per: str = "epoch"
    beta1: float = 0.5
    rotation: float = 0.0
    soft_masks: bool = False
    as_printed: bool = False
    spectral: float = 0.0
    selection: str = "best"

    def __post_init__(self):
        for name, known in KNOWN.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name}={getattr(self, name)!r}: unknown; choose one of {', '.join(known)}")


@dataclass
class SemiSupervised(Learner):
    """Segmentation network and discriminator, trained in turn.

    Args:
        model: `SDNet`, or a network image -> class logits; made by `whereabouts.training.loop.build`.
        labelled, validation: examples with images in [-1, 1], on the device.
        classes: with the background.
        schedule, seed: as for `whereabouts.training.supervised.fit`; seed also of the noise and of the rotations.
        unlabelled: examples whose labels are not looked at, or None.
        discriminator: or None; needs `unlabelled` and `drawn`.
        drawn: examples whose labels the discriminator takes for real; their images are not looked at.
        weights_of, readings: see `Weights` and `Readings`.
    """

    model: nn.Module
    labelled: Examples
    validation: Examples
    classes: int
    schedule: Schedule
    seed: int
    unlabelled: Examples | None = None
    discriminator: MaskDiscriminator | None = None
    drawn: Examples | None = None
    weights_of: Weights = field(default_factory=Weights)
    readings: Readings = field(default_factory=Readings)

    def __post_init__(self):
        if self.schedule.decay != "constant":
            raise InputError(f"decay={self.schedule.decay}: SDNet's is readings' decay; leave it constant")
        plain = self.discriminator is None and not isinstance(self.model, SDNet)
        betas = (0.9 if plain else self.readings.beta1, 0.999)
        if self.readings.selection == "released":
            self.least, self.restores = 0.001 if plain else 0.01, False
        self.optimisers = [
            torch.optim.Adam(part.parameters(), lr=self.schedule.learning_rate, betas=betas, fused=True)
            for part in self.parts()
        ]

    def parts(self) -> list[nn.Module]:
        """What is trained, each with an optimiser of its own, the segmentation network first."""
        return [self.model] if self.discriminator is None else [self.model, self.discriminator]

    def step(self, number: int) -> Tensor:
        """One alternation; returns the loss of the labelled batch."""
        self.model.train()
        self._decay(number)
        noise = self._generator(number)
        x, target = self._batch(self.labelled, number, 0, noise)
        logits, explained = self._see(x, noise)
        segmentation = segmentation_loss(foreground(logits), target, as_printed=self.readings.as_printed)
        loss = self.weights_of.segmentation * segmentation + explained
        self._update(0, loss)
        if self.unlabelled is not None:
            u, _ = self._batch(self.unlabelled, number, 1, noise)
            logits, explained = self._see(u, noise)
            if self.discriminator is None:
                self._update(0, explained)
            else:
                self._play(foreground(logits), explained, number, noise)
        return loss.detach()

    def _see(self, x: Tensor, noise: torch.Generator) -> tuple[Tensor, Tensor | float]:
        """Class logits of x, and what its explanation by s and z costs (0 for a network that gives none)."""
        with autocast(self.schedule.precision):
            if not isinstance(self.model, SDNet):
                return self.model(x), 0.0
            s, cost = self._explain(x, noise)
            return self.model.segmentor(s), cost

    def _explain(self, x: Tensor, noise: torch.Generator) -> tuple[Tensor, Tensor]:
        """The anatomy factor of x, and the cost of painting x from its factors."""
        weights = self.weights_of
        s, mean, log_var = self.model.encode(x)
        y = self.model.decoder(s, sample(mean, log_var, noise))
        cost = weights.reconstruction * absolute_error(y, x) + weights.kl * kl_divergence(mean, log_var)
        return s, cost + weights.z_reconstruction * self._z_reconstruction(s.detach(), noise)

    def _z_reconstruction(self, s: Tensor, noise: torch.Generator) -> Tensor:
        """A z from the prior painted on s, and read again from the painting (section 3.3.1)."""
        z = torch.randn(len(s), self.model.dimensions, generator=noise, device=s.device)
        y = self.model.decoder(s, z)
        again = self.model.anatomy(y) if self.readings.z_anatomy == "reencoded" else s
        return absolute_error(z, sample(*self.model.modality(y, again), noise))

    def _play(self, predicted: Tensor, explained: Tensor | float, number: int, noise: torch.Generator) -> None:
        """The unlabelled update against the discriminator, then the discriminator's own."""
        self.discriminator.requires_grad_(False)
        adversarial = adversarial_loss(self._judge(predicted), self.readings.as_printed)
        self._update(0, self.weights_of.adversarial * adversarial + explained)
        self.discriminator.requires_grad_(True)
        _, drawn = self._batch(self.drawn, number, 2, noise, images=False)
        scores = self._judge(torch.cat([drawn, predicted.detach()]))
        loss = discriminator_loss(*scores.split([len(drawn), len(predicted)]))
        if self.readings.spectral:
            loss = loss + self.readings.spectral * self.discriminator.spectral_penalty()
        self._update(1, loss)

    def _judge(self, predicted: Tensor) -> Tensor:
        """The discriminator's scores (B, 1) of masks (B, L, H, W)."""
        with autocast(self.schedule.precision):
            return self.discriminator(predicted).float()

    def _batch(self, examples: Examples, number: int, role: int, noise: torch.Generator, images: bool = True):
        """Images (B, 1, H, W) and masks (B, L, H, W) of batch `number`, turned alike."""
        index = batch_indices((self.seed, role), number, len(examples), self.schedule.batch)
        index = torch.from_numpy(index).to(examples.labels.device)
        x = examples.batch(index)[0] if images else None
        target = masks(examples.labels[index], self.classes)
        if self.readings.rotation:
            by = angles(len(index), self.readings.rotation, noise)
            target = rotate(target, by, "bilinear" if self.readings.soft_masks else "nearest")
            x = rotate(x, by).contiguous(memory_format=torch.channels_last) if images else None
        return x, target

    def _update(self, which: int, loss: Tensor) -> None:
        self.optimisers[which].zero_grad()
        loss.backward()
        self.optimisers[which].step()

    def _decay(self, number: int) -> None:
        """lr / (1 + decay t)."""
        largest = max(len(self.labelled), len(self.unlabelled) if self.unlabelled is not None else 0)
        per_epoch = -(-largest // self.schedule.batch)
        t = number if self.readings.decay_per == "update" else number // per_epoch
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = self.schedule.learning_rate / (1 + self.readings.decay * t)

    def _generator(self, number: int, *stream: int) -> torch.Generator:
        """The noise of one step, the same whether or not the run was interrupted before it."""
        state = np.random.SeedSequence((self.seed, number, *stream)).generate_state(1, np.uint64)[0]
        return torch.Generator(self.labelled.images.device).manual_seed(int(state >> 1))

    def score(self) -> float:
        if self.readings.selection == "best":
            return validation_dice(self.model, self.validation, self.classes, self.schedule.precision)
        logits = predict_logits(self.model, self.validation, precision=self.schedule.precision)
        return pooled_soft_dice(logits, self.validation.labels).mean().item()

    def state(self) -> dict:
        parts = [part.state_dict() for part in self.parts()]
        return {"parts": parts, "optimisers": [optimiser.state_dict() for optimiser in self.optimisers]}

    def resume(self, state: dict) -> None:
        for part, values in zip(
            [*self.parts(), *self.optimisers], [*state["parts"], *state["optimisers"]], strict=True
        ):
            part.load_state_dict(values)


@dataclass
class SelfTraining(SemiSupervised):
    """A U-Net that labels the unlabelled images itself, again and again (Bai et al. 2017, without its CRF).

    The paper leaves open how often, and whether the network starts afresh. Here the schedule is cut into `rounds` + 1
    equal parts, and the network goes on: first with the labelled images alone; at the start of each later part it
    labels all unlabelled images, and half of its updates are on those. Weights from before its first labels are never
    kept, however well they score: they are the U-Net's.

    Args:
        rounds: how often images are labelled anew.
    """

    rounds: int = 3

    def step(self, number: int) -> Tensor:
        part, before = (n * (self.rounds + 1) // self.schedule.steps for n in (number, max(number - 1, 0)))
        if part > before:
            self._pseudo = predict(self.model, self.unlabelled)
        self.model.train()
        self._decay(number)
        noise = self._generator(number)
        loss = self._learn(self.labelled, number, 0, noise)
        if part:
            guessed = Examples(self.unlabelled.images, self._pseudo, self.unlabelled.z, self.unlabelled.volume)
            self._learn(guessed, number, 1, noise)
        return loss

    def counts(self) -> bool:
        """From the first labels of its own on."""
        return self._pseudo is not None or self.rounds == 0

    def _learn(self, examples: Examples, number: int, role: int, noise: torch.Generator) -> Tensor:
        x, target = self._batch(examples, number, role, noise)
        predicted = foreground(self._see(x, noise)[0])
        loss = self.weights_of.segmentation * segmentation_loss(predicted, target, as_printed=self.readings.as_printed)
        self._update(0, loss)
        return loss.detach()

    def __post_init__(self):
        super().__post_init__()
        self._pseudo: Tensor | None = None

    def state(self) -> dict:
        return super().state() | {"pseudo": self._pseudo}

    def resume(self, state: dict) -> None:
        super().resume(state)
        if state["pseudo"] is not None:
            self._pseudo = state["pseudo"].to(self.unlabelled.images.device)
