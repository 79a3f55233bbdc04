"""Folders of NIfTI volumes in the layouts that networks here were trained on: what is there, with labels or without.

    acdc       patientNNN_frameFF.nii.gz anywhere, labels patientNNN_frameFF_gt.nii.gz, phases in Info.cfg beside them
    decathlon  imagesTr/ and imagesTs/ with labelsTr/ beside them, anywhere; or .nii.gz files without such folders
    mmwhs      ct_train_1001_image.nii.gz, labels ct_train_1001_label.nii.gz, anywhere
    studies    <subject>/<sequence>_frameFF.nii.gz anywhere, labels <subject>/<sequence>_frameFF_gt.nii.gz

Unlike the data sets' own loaders these ask for no labels and no lists: they are for files nobody has seen before.
Networks trained on DICOM series (Pancreas-CT) take the Decathlon's layout: whoever has series converts them first.
"""

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lib import paths
from lib.data import mmwhs, orientation, studies, volumes
from lib.data.cardiac import STRUCTURES
from lib.data.manifest import below
from lib.data.studies import Study
from lib.data.volumes import AGAIN, Nifti
from lib.errors import InputError, raise_all

LAYOUTS = ("acdc", "decathlon", "mmwhs", "studies")
AS_STORED = ("acdc", "studies")  # networks are used to the order in which these are stored, whatever it is
_ACDC = re.compile(r"(?:.*/)?patient\d+_frame(\d+)\.nii\.gz")
_PHASE = re.compile(r"(?m)^\s*(ED|ES)\s*:\s*0*(\d{1,9})\s*$")


@dataclass(frozen=True)
class Volume:
    """One volume's files.

    Args:
        name: of the image's file, without its ending; of a frame of a study "volunteer01-cine-01", as in its table.
        image: the volume itself.
        truth: its labels, or None.
        phase: "ED" or "ES" of a heart, where Info.cfg says so, else None.
        study: of which it is a frame, without labels; None elsewhere.
    """

    name: str
    image: Path
    truth: Path | None
    phase: str | None = None
    study: Study | None = None


@dataclass(frozen=True)
class Loaded:
    """One volume in the order in which it is stored.

    Args:
        nifti: the image.
        truth: (H, W, D) uint8, labels from 1 in the order of the structures; None where there are none.
        axes: (3, 2), see `lib.data.orientation.axes_of`; None for those of `AS_STORED`.
    """

    nifti: Nifti
    truth: np.ndarray | None
    axes: np.ndarray | None


def find(folder: Path, layout: str) -> list[Volume]:
    """All volumes below `folder`, sorted by name; links are followed, hidden files left out.

    Raises:
        InputError: there is no such folder or no volume in it, or two are of one name; as `lib.data.manifest.below`.
    """
    if not os.path.isdir(folder):
        raise InputError(f"{paths.shown(folder)}: no such folder; give one of NIfTI volumes")
    finders = {"acdc": _acdc, "decathlon": _decathlon, "mmwhs": _mmwhs, "studies": _studies}
    found, problems = {}, []
    for one in sorted(finders[layout](below(folder)), key=lambda volume: volume.image):
        if one.name in found:
            problems.append(f"{paths.shown(one.image)}: also found as {paths.shown(found[one.name].image)}; keep one")
        found.setdefault(one.name, one)
    raise_all(problems)
    if not found:
        expected = __doc__.splitlines()[LAYOUTS.index(layout) + 2].split(maxsplit=1)[1]
        raise InputError(f"{paths.shown(folder)}: no volumes; this network expects {expected}")
    return [found[name] for name in sorted(found)]


def _stem(name: str) -> str:
    return name.rpartition("/")[2].removesuffix(".nii.gz")


def _acdc(files: dict[str, Path]) -> list[Volume]:
    found = []
    for match in filter(None, map(_ACDC.fullmatch, files)):
        image, text = files[match[0]], ""
        with suppress(OSError):  # not there, or not to be read: whoever needs the phase is told
            text = (image.parent / "Info.cfg").read_text(errors="replace", encoding="utf-8")
        phases = {int(number): phase for phase, number in _PHASE.findall(text)}
        truth = files.get(match[0].removesuffix(".nii.gz") + "_gt.nii.gz")
        found.append(Volume(_stem(match[0]), image, truth, phases.get(int(match[1]))))
    return found


def _decathlon(files: dict[str, Path]) -> list[Volume]:
    images = [name for name in files if name.endswith(".nii.gz")]
    in_folders = [name for name in images if Path(name).parent.name in ("imagesTr", "imagesTs")]
    truths = {name: files.get(re.sub(r"images(T[rs]/[^/]*)$", r"labels\1", name)) for name in in_folders}
    return [Volume(_stem(name), files[name], truths.get(name)) for name in in_folders or images]


def _mmwhs(files: dict[str, Path]) -> list[Volume]:
    ending = "_image.nii.gz"
    images = [name for name in files if name.endswith(ending)]
    return [Volume(_stem(name), files[name], files.get(name.removesuffix(ending) + "_label.nii.gz")) for name in images]


def _studies(files: dict[str, Path]) -> list[Volume]:
    frames = {}  # (folder, subject, sequence) -> number of the frame -> name of its image
    for match in filter(None, map(studies.FILE.fullmatch, files)):
        if not match[5]:
            frames.setdefault(match.groups()[:3], {})[int(match[4])] = match[0]
    found = []
    for (_, subject, sequence), images in frames.items():
        study = Study(subject, sequence, {number: (files[images[number]], None) for number in sorted(images)})
        for number, image in images.items():
            truth = files.get(image.removesuffix(".nii.gz") + "_gt.nii.gz")
            found.append(Volume(f"{subject}-{sequence}-{number:02d}", files[image], truth, study=study))
    return found


def label_values(layout: str, structures: list[str]) -> dict[int, int]:
    """The data set's own values -> their numbers here, structures from 1; of several, the first is written.

    What a study shows and the network does not know counts as background, as it did in training.
    """
    if layout == "mmwhs":
        return {0: 0} | mmwhs.LABELS
    if layout == "studies":
        numbers = {name: number for number, name in enumerate(structures, 1)}
        return {value: numbers.get(name, 0) for value, name in enumerate(("background", *STRUCTURES))}
    return {number: number for number in range(len(structures) + 1)}


def load(volume: Volume, layout: str, structures: list[str]) -> Loaded:
    """Read and check one volume.

    Raises:
        InputError: one line for each problem of the image, of the labels, or of both together, and for a frame on
            another grid than the first of its study.
    """
    problems: list[str] = []
    as_stored = layout in AS_STORED
    read = volumes.try_read if as_stored else lambda path, _, faults: orientation.try_read(path, faults)
    image, truth = (read(path, 3, problems) for path in (volume.image, volume.truth))
    problems += volumes.image_faults(image, volume.image)
    values = label_values(layout, structures)
    if truth and not np.isin(truth.array, list(values)).all():
        problems.append(f"{paths.shown(volume.truth)}: has labels other than {', '.join(map(str, values))}; {AGAIN}")
    if image and truth:
        compare = volumes.grid_difference if as_stored else orientation.grid_difference
        if difference := compare(image, truth):
            problems.append(f"{paths.shown(volume.truth)}: {difference} differs from its image's; {AGAIN}")
    if image and volume.study:
        (path, _), *_ = volume.study.frames.values()
        first = volumes.try_read(path, 3, [])  # what is wrong with it is said where it is loaded itself
        if difference := first and volumes.grid_difference(first, image):
            where = paths.shown(volume.image)
            problems.append(f"{where}: {difference} differs from the study's first frame's; {AGAIN}")
    raise_all(problems)
    numbers = None
    if truth:
        numbers = np.zeros(truth.array.shape, np.uint8)
        for value, number in values.items():
            numbers[truth.array == value] = number
    axes = None if as_stored else orientation.axes_of(image, volume.image)
    return Loaded(image, numbers, axes)
