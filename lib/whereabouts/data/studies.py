"""Cine studies with labels in some frames or all: SDNet's QMRI and BOLD (Chartsias et al. 2019, section 4.1 b and d).

Both sets are private and have no official layout. Ours follows ACDC's names, below any prefix:

    <subject>/<sequence>_frameFF.nii.gz       FF counts from 01
    <subject>/<sequence>_frameFF_gt.nii.gz    0 background, 1 right ventricle, 2 myocardium, 3 left ventricle

A study is one sequence of one subject. Its frames share one grid, and at least one of them has labels. Slices are read
as they are seen: the patient's right on the left, the front on top (`orientation.short_axis`).
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from whereabouts import paths
from whereabouts.data import in_plane, names
from whereabouts.data.cardiac import STRUCTURES
from whereabouts.data.manifest import Manifest
from whereabouts.errors import InputError, raise_all
from whereabouts.formats import orientation, volumes
from whereabouts.formats.labels import rounded
from whereabouts.formats.volumes import REGRID
from whereabouts.pipeline import progress

FRAME = re.compile(r"((?:.*/)?([^/]+))/([^/]+)_frame(\d{2}|[1-9]\d{2,8})(_gt)?")
_FILE = re.compile(rf"{FRAME.pattern}\.nii\.gz")


@dataclass(frozen=True)
class Study:
    """One study's files.

    Args:
        subject, sequence: "volunteer01", "cine".
        frames: number of the frame, ascending -> (image, labels); labels are None where that frame has none.
    """

    subject: str
    sequence: str
    frames: dict[int, tuple[Path, Path | None]]


@dataclass(frozen=True)
class Prepared:
    """One study's slices, frame by frame, in the file's order, as they are seen.

    Args:
        images: (S, side, side) float32 in [0, 1].
        labels: (S, side, side) uint8, 0 throughout a frame without labels.
        table: S rows; subject, sequence, frame (its number), slice (index in the file), labelled, volume
            ("volunteer01-cine-01") and millilitres (what one pixel of the slice holds).
    """

    images: np.ndarray
    labels: np.ndarray
    table: pd.DataFrame


def read(manifest: Manifest) -> list[Study]:
    """All studies, sorted by subject, then sequence, after reading and checking every file of theirs once.

    Files that the layout does not know are left alone.

    Raises:
        InputError: one line for each problem of any study.
    """
    found = {}
    for match in filter(None, map(_FILE.fullmatch, manifest.files)):
        folder, subject, sequence, number, truth = match.groups()
        files = found.setdefault((subject, sequence, folder), {}).setdefault(int(number), [None, None])
        files[bool(truth)] = manifest.path(match[0])
    problems, studies, places = names.unpacked(manifest, _FILE), [], {}
    if not found:
        raise_all(problems)
        raise InputError(
            f"no studies below {manifest.root}; expected <subject>/<sequence>_frameFF.nii.gz, see data/README.md"
        )
    for key, frames in progress.bar(sorted(found.items()), desc=f"check {manifest.dataset}", unit="study"):
        subject, sequence, folder = key
        studies.append(Study(subject, sequence, {number: tuple(frames[number]) for number in sorted(frames)}))
        name = paths.shown(manifest.path(f"{folder}/{sequence}"))
        problems += _problems(name, studies[-1])
        if not names.is_text(subject + sequence):
            problems.append(f"{name}: its name is not UTF-8; rename it")
        other = places.setdefault((subject, sequence), name)
        if other != name:
            problems.append(f"{name}: also found as {other}; keep one of them")
    raise_all(problems)
    return studies


def prepare(
    study: Study,
    spacing: float,
    side: int,
    structures: tuple[int, ...],
    percentiles: tuple[float, float] = (5, 95),
) -> Prepared:
    """Every slice of every frame: resampled in-plane, clipped to two percentiles, scaled to [0, 1], cut to size.

    The percentiles are of all frames together, so that what changes between frames (CP-BOLD's contrast) survives.

    Args:
        spacing: mm in-plane.
        side: pixels.
        structures: stored label values in the order in which they become 1, 2, ..; the others become background.
            (2, 3) gives myocardium 1 and left ventricle 2.
        percentiles: of the study, which become 0 and 1.
    """
    niftis = [volumes.read_nifti(image) for image, _ in study.frames.values()]
    axes = orientation.short_axis(niftis[0])  # for all, labels too
    frames, (step, *_) = zip(*(orientation.seen(nifti, axes) for nifti in niftis), strict=True)
    depth = frames[0].shape[2]
    shape = in_plane.resampled_shape(frames[0].shape, step[:2], spacing)
    stack = np.concatenate(frames, axis=2).astype(np.float32)
    images = in_plane.image_slices(stack, shape, side, percentiles)
    becomes = np.zeros(len(STRUCTURES) + 1, np.uint8)
    becomes[list(structures)] = range(1, len(structures) + 1)
    labels = np.zeros(images.shape, np.uint8)
    area = np.prod(stack.shape[:2] * step[:2] / shape)  # mm2 of a pixel after resampling
    rows = []
    for index, (frame, (_, truth)) in enumerate(study.frames.items()):
        if truth is not None:
            stored = rounded(orientation.seen(volumes.read_nifti(truth), axes)[0])
            labels[index * depth : (index + 1) * depth] = in_plane.label_slices(becomes[stored], shape, side)
        volume = f"{study.subject}-{study.sequence}-{frame:02d}"
        fixed = truth is not None, volume, area * step[2] / 1000
        rows += [(study.subject, study.sequence, frame, position, *fixed) for position in range(depth)]
    columns = ["subject", "sequence", "frame", "slice", "labelled", "volume", "millilitres"]
    return Prepared(images, labels, pd.DataFrame(rows, columns=columns))


def _problems(name: str, study: Study) -> list[str]:
    """What is wrong with the files of the study that is printed as `name`."""
    problems, first = [], None
    for frame, (image_path, truth_path) in study.frames.items():
        if frame == 0:
            problems.append(f"{name}_frame00: frames count from 01; number them anew")
        if image_path is None:
            problems.append(f"{paths.shown(truth_path)}: labels without their image; add it")
        image = volumes.read_frame(image_path, truth_path, problems)
        first = first or image
        difference = image and volumes.grid_difference(first, image)
        if difference:
            problems.append(f"{paths.shown(image_path)}: {difference} differs from the study's first frame's; {REGRID}")
    if all(truth is None for _, truth in study.frames.values()):
        problems.append(f"{name}: no frame has labels; add {study.sequence}_frameFF_gt.nii.gz for one at least")
    return problems
