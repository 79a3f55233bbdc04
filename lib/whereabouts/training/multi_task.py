"""SDNet with a second task: how much left ventricle a slice shows (Chartsias 2019, section 5.2)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from whereabouts.data.examples import Examples
from whereabouts.inference.device import autocast
from whereabouts.losses.sdnet import absolute_error
from whereabouts.models.sdnet.volume import AreaRegressor
from whereabouts.training.loop import batch_indices
from whereabouts.training.semi_supervised import SemiSupervised

UNIT = 0.1  # of an image's pixels: areas are counted in this, so that they are near 1


def areas(labels: Tensor, label: int) -> Tensor:
    """Part of each image (N, H, W) that is `label`, in `UNIT`s; (N,), float32."""
    return (labels == label).float().mean((1, 2)) / UNIT


@dataclass
class WithArea(SemiSupervised):
    """A step on labelled images, then one on images whose only label is an area.

    The paper states neither the regression's cost nor its weight: ours is the absolute error.

    Args:
        measured: examples; of their labels nothing but the area of `label` is looked at.
        regressor: made by `whereabouts.training.loop.build`.
        label: of the left ventricle.
        area: weight of the regression.
    """

    measured: Examples = None
    regressor: AreaRegressor = None
    label: int = 0
    area: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        self._areas = areas(self.measured.labels, self.label)

    def parts(self) -> list[nn.Module]:
        return [*super().parts(), self.regressor]

    def step(self, number: int) -> Tensor:
        loss = super().step(number)
        noise = self._generator(number, 1)
        index = batch_indices((self.seed, 3), number, len(self.measured), self.schedule.batch)
        index = torch.from_numpy(index).to(self._areas.device)
        with autocast(self.schedule.precision):
            s, explained = self._explain(self.measured.batch(index)[0], noise)
            found = self.regressor(s)
        cost = self.area * absolute_error(found.float(), self._areas[index]) + explained
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        cost.backward()
        for optimiser in self.optimisers:
            optimiser.step()
        return loss

    def weights(self) -> dict:
        return {"model": self.model.state_dict(), "regressor": self.regressor.state_dict()}

    def keep(self, weights: dict) -> None:
        self.model.load_state_dict(weights["model"])
        self.regressor.load_state_dict(weights["regressor"])
