"""What a trained network says of a volume from a file, on the file's own grid."""

from collections.abc import Callable
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from whereabouts import paths
from whereabouts.data import acdc, in_plane, studies
from whereabouts.data.examples import PHASES, Examples, normalise
from whereabouts.data.layouts import Loaded, Volume
from whereabouts.data.scan import Scan, isotropic, turned
from whereabouts.errors import InputError, raise_all
from whereabouts.evaluation import schema
from whereabouts.formats import limits, orientation
from whereabouts.inference.device import device
from whereabouts.inference.scans import masks
from whereabouts.inference.slices import predict_logits
from whereabouts.methods.inside import parts
from whereabouts.methods.networks.gates import volume_network
from whereabouts.methods.networks.inside import acdc_network
from whereabouts.methods.networks.position import position_network
from whereabouts.methods.networks.sdnet import sdnet_network
from whereabouts.training import weights

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    one.__name__: one for one in (acdc_network, position_network, sdnet_network, volume_network)
}


class Predictor:
    """A trained segmentation network, from a file of weights alone.

    Args:
        path: written by a training notebook of the compendium.

    Raises:
        InputError: damaged weights, those of a network that does not segment NIfTI volumes, or of another version, and
            whatever they say that no network here could be built from or told.
    """

    def __init__(self, path: Path):
        facts, self.use = weights.said(path)
        if not self.use:
            given = "networks trained on hearts or on 3D scans do"
            raise InputError(f"{paths.shown(path)}: its network does not segment NIfTI volumes; {given}")
        remedy = "give weights that this version of the compendium trained"
        raise_all([f"{paths.shown(path)}: {fault}; {remedy}" for fault in schema.faults(facts, self.use)])
        self.input: dict = self.use["input"]
        self.model, self.facts = weights.read(path, NETWORKS[self.use["network"]])
        self.structures: list[str] = self.use["structures"]
        self._study = self._prepared = None  # of the frame before, often that of the next one too

    @property
    def layout(self) -> str:
        return self.input["layout"]

    @property
    def given(self) -> str:
        """The fact that the network wants to know: "none", "position" or "phase"."""
        return parts(self.facts["arm"])[1] if self.use["network"] == "acdc_network" else "none"

    def __call__(self, volume: Volume, loaded: Loaded) -> np.ndarray:
        """Labels (H, W, D), uint8, from 1 in the order of the structures, in the order in which the file is stored."""
        if self.layout == "decathlon":
            return self._scan(volume, loaded)
        slices, spacing = orientation.seen(loaded.nifti, loaded.axes)
        if self.layout == "studies":
            found = self._frame(volume, slices.shape[:2], spacing[:2])
        else:
            found = self._slices(slices, spacing[:2], volume.phase)
        return orientation.stored(orientation.pictures(found), loaded.axes)

    def check(self, volume: Volume, loaded: Loaded) -> None:
        """InputError if the volume would be larger than volumes may be, once it is on the network's grid."""
        if self.input.get("resize"):
            return
        target, axes = self.input["spacing"], loaded.axes[:, 0]
        between = None if self.layout == "decathlon" else 2  # along that axis slices are left alone
        grid = zip(loaded.nifti.array.shape, loaded.nifti.spacing, axes, strict=True)
        voxels = [max(1.0, n if axis == between else n * step / target) for n, step, axis in grid]
        if not prod(voxels) <= limits.GRID_VOXELS:
            becomes = (
                f"{' x '.join(f'{n:.3g}' for n in voxels)} voxels of {target:g} mm, more than {limits.GRID_VOXELS:,}"
            )
            raise InputError(f"{paths.shown(volume.image)}: would be {becomes} for this network; is its spacing right?")

    def _scan(self, volume: Volume, loaded: Loaded) -> np.ndarray:
        """By a 3D network (`whereabouts.inference.scans`); asked for each structure alone, the first one found wins."""
        own = turned(Scan(volume.name, loaded.nifti.array, None, tuple(loaded.nifti.spacing)), loaded.axes)
        seen = isotropic(own, self.input["spacing"], self.input["blur"])
        how = {"window": tuple(self.use["window"]), "asked": self.use["asked"]}
        only = tuple(self.use.get("only", ()))  # of the classes of a network that knows more structures than these
        classes = only or range(len(self.structures) + 1)
        found = masks(self.model, seen, max(classes), shape=own.image.shape, only=only, **how)
        found = found[[number - 1 for number in classes[1:]]].numpy()
        labels = np.where(found.any(0), found.argmax(0) + 1, 0).astype(np.uint8)
        return orientation.stored(labels, loaded.axes)

    def _slices(self, image: np.ndarray, spacing: np.ndarray, phase: str | None) -> np.ndarray:
        """By a 2D network; prepared as for training (`whereabouts.data.acdc.prepare`) and brought back."""
        shape, side = image.shape[:2], self.input["side"]
        resized = (side, side)
        if not self.input.get("resize"):
            resized = in_plane.resampled_shape(shape, spacing, self.input["spacing"])
        slices = in_plane.image_slices(
            image.astype(np.float32), resized, side, tuple(self.input.get("percentiles", (5, 95)))
        )
        return self._labels(slices, resized, shape, phase)

    def _frame(self, volume: Volume, shape: tuple[int, int], pixel: np.ndarray) -> np.ndarray:
        """By a 2D network; prepared as for training, together with the other frames, whose scale it shares."""
        spacing = self.input["spacing"]
        if self._study is not volume.study:
            self._study = volume.study
            self._prepared = studies.prepare(volume.study, spacing, self.input["side"], ())
        slices = self._prepared.images[self._prepared.table.volume == volume.name]
        resized = in_plane.resampled_shape(shape, pixel, spacing)
        return self._labels(slices, resized, shape, None)

    def _labels(
        self, slices: np.ndarray, resized: tuple[int, int], shape: tuple[int, int], phase: str | None
    ) -> np.ndarray:
        """Labels on the file's grid as it is seen, from prepared slices (D, side, side), taken one by one."""
        x = torch.from_numpy(slices)[:, None]
        if self.use["network"] == "position_network":
            x = normalise(x, self.use["statistics"])
        elif self.use["network"] == "sdnet_network":
            x = 2 * x - 1
        nothing = torch.zeros(len(x), dtype=torch.int64)
        examples = Examples(x, nothing, torch.from_numpy(self._z(len(x), phase)), nothing).to(device())
        return on_grid(predict_logits(self.model, examples).cpu(), resized, shape)

    def _z(self, depth: int, phase: str | None) -> np.ndarray:
        """The facts of each slice, (D, K). Of the position, ACDC's convention is believed: the first slice is basal."""
        if self.given == "phase":
            return np.tile(np.float32([phase == name for name in PHASES]), (depth, 1))
        if self.given == "position":
            return acdc.slice_positions(None, depth)[:, None]
        return np.zeros((depth, 1), np.float32)


def on_grid(logits: Tensor, resized: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
    """Class logits of prepared slices -> labels on the grid before; the way back of `in_plane.image_slices`.

    Probabilities are interpolated, not labels, so that borders stay smooth; beyond what the network saw is background.

    Args:
        logits: (D, C, side, side).
        resized: (H', W') of the slices before they were cut or filled to `side`.
        shape: (H, W) of the file.

    Returns:
        (H, W, D) uint8.
    """
    side = logits.shape[-1]
    source, target = [], []
    for length in resized:
        shift = side // 2 - length // 2  # as in `in_plane.centre_crop_or_pad`
        first, last = max(0, -shift), min(length, side - shift)
        source.append(slice(first + shift, last + shift))
        target.append(slice(first, last))
    labels = []
    for probabilities in logits.softmax(1):  # slice by slice, since all classes on a fine grid take much memory
        whole = torch.zeros(len(probabilities), *resized)  # (C, H', W')
        whole[0] = 1
        whole[:, target[0], target[1]] = probabilities[:, source[0], source[1]]
        back = interpolate(whole[None], shape, mode="bilinear", align_corners=False)[0]  # (C, H, W)
        labels.append(back.argmax(0).byte())
    return torch.stack(labels, -1).numpy()
