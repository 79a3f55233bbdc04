"""Examples: what every training and evaluation in the compendium is fed, and how prepared data become examples."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from whereabouts.data.prepared import array, table

PHASES = ("ES", "ED")  # order of the one-hot vector


@dataclass(frozen=True)
class Examples:
    """N images with their labels and the non-imaging facts about each.

    Args:
        images: (N, C, H, W), float32, or uint8 in 0..255 (kept so to save memory; see `batch`).
        labels: (N, H, W), integers, 0 is the background.
        z: (N, K), float32.
        volume: (N,), int64; images with the same number are slices of one volume and are scored together.
    """

    images: Tensor
    labels: Tensor
    z: Tensor
    volume: Tensor

    @classmethod
    def of(cls, images: np.ndarray, labels: np.ndarray, z: np.ndarray, volume: np.ndarray | None = None) -> "Examples":
        """From NumPy arrays; images may be (N, H, W), (N, H, W, C) as uint8 colour, or (N, C, H, W)."""
        images = torch.from_numpy(np.ascontiguousarray(images))
        if images.ndim == 3:
            images = images[:, None]  # (N, 1, H, W)
        elif images.dtype == torch.uint8 and images.shape[-1] == 3:
            images = images.permute(0, 3, 1, 2)  # (N, 3, H, W), channels last in memory
        volume = np.arange(len(images)) if volume is None else volume
        return cls(
            images,
            torch.from_numpy(np.ascontiguousarray(labels).astype(np.uint8)),
            torch.from_numpy(np.asarray(z, dtype=np.float32)),
            torch.from_numpy(np.asarray(volume, dtype=np.int64)),
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index) -> "Examples":
        return Examples(*(getattr(self, field.name)[index] for field in fields(self)))

    def to(self, device: torch.device) -> "Examples":
        return Examples(*(getattr(self, field.name).to(device) for field in fields(self)))

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images as float32 (uint8 scaled to [0, 1]), channels last, labels as int64, and z, at `index` (B,)."""
        images = self.images[index]
        images = images.float().div_(255) if images.dtype == torch.uint8 else images
        return images.contiguous(memory_format=torch.channels_last), self.labels[index].long(), self.z[index]


def clevr_examples(folder: Path, factor: str, part: str) -> Examples:
    """CLEVR-Seg images of `part` ("train", "validation", "test"), with the masks that values of `factor` ask for."""
    chosen = (table(folder).part == part).to_numpy()
    return Examples.of(*(array(folder, name)[chosen] for name in ("images", f"{factor}_mask", f"{factor}_z")))


def acdc_examples(folder: Path, patients: list[str], given: str) -> tuple[Examples, pd.DataFrame]:
    """The slices of `patients` and their rows of the table.

    Args:
        folder: of the prepared data set.
        patients: names.
        given: the facts in z: "position" (S, 1), from 0 at the apex to 1 at the base; "phase" (S, 2), one-hot ES, ED;
            "none" (S, 1), zeros.
    """
    rows = table(folder)
    chosen = rows.patient.isin(patients).to_numpy()
    rows = rows[chosen].reset_index(drop=True)
    z = {
        "none": np.zeros((len(rows), 1)),
        "position": rows[["position"]].to_numpy(),
        "phase": np.stack([rows.phase == phase for phase in PHASES], axis=1),
    }[given]
    volume = pd.factorize(rows.volume)[0]
    return Examples.of(array(folder, "images")[chosen], array(folder, "labels")[chosen], z, volume), rows


def normalise(images: Tensor, statistics: dict[str, float]) -> Tensor:
    """Intensities with mean 0 and variance 1 (Murase 2020, section 2.2).

    Args:
        images: (N, C, H, W), float32.
        statistics: "mean" and "sd" of the training images (JSRT); empty to take those of each image (ACDC's slices).
            An image without contrast becomes 0.
    """
    if statistics:
        return (images - statistics["mean"]) / statistics["sd"]
    sd, mean = torch.std_mean(images, dim=(1, 2, 3), correction=0, keepdim=True)  # (N, 1, 1, 1)
    return (images - mean) / sd.where(sd > 1e-6, 1)


def part_examples(folder: Path, part: str, items: list[str] | None = None) -> tuple[Examples, pd.DataFrame]:
    """The images of `part` ("train", "validation", "test") as prepared, in [0, 1], without facts; their table's rows.

    Args:
        folder: of a data set prepared with columns part, item and volume.
        part: of the split.
        items: which of the part's items; None takes all.
    """
    rows = table(folder)
    chosen = ((rows.part == part) & (True if items is None else rows["item"].isin(items))).to_numpy()
    rows = rows[chosen].reset_index(drop=True)
    images, labels = (array(folder, name)[chosen] for name in ("images", "labels"))
    return Examples.of(images, labels, np.zeros((len(rows), 1)), pd.factorize(rows.volume)[0]), rows
