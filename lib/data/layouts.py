"""Folders of NIfTI volumes in the layouts that networks here were trained on: what is there, with labels or without.

    acdc       patientNNN_frameFF.nii.gz anywhere, labels patientNNN_frameFF_gt.nii.gz, phases in Info.cfg beside them
    decathlon  imagesTr/ and imagesTs/ with labelsTr/ beside them, anywhere; or .nii.gz files without such folders
    mmwhs      ct_train_1001_image.nii.gz, labels ct_train_1001_label.nii.gz, anywhere

Unlike the data sets' own loaders these ask for no labels and no lists: they are for files nobody has seen before.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lib import paths
from lib.data import mmwhs, orientation, volumes
from lib.data.manifest import Manifest
from lib.data.volumes import AGAIN, Nifti
from lib.errors import InputError, raise_all

LAYOUTS = ("acdc", "decathlon", "mmwhs")
_ACDC = re.compile(r"(?:.*/)?patient\d+_frame(\d+)\.nii\.gz")
_PHASE = re.compile(r"(?m)^\s*(ED|ES)\s*:\s*0*(\d{1,9})\s*$")


@dataclass(frozen=True)
class Volume:
    """One volume's files.

    Args:
        name: of the image's file, without its ending.
        image: the volume itself.
        truth: its labels, or None.
        phase: "ED" or "ES" of a heart, where Info.cfg says so, else None.
    """

    name: str
    image: Path
    truth: Path | None
    phase: str | None = None


@dataclass(frozen=True)
class Loaded:
    """One volume in the order in which it is stored.

    Args:
        nifti: the image.
        truth: (H, W, D) uint8, labels from 1 in the order of the structures; None where there are none.
        axes: (3, 2), see `lib.data.orientation.axes_of`; None for ACDC, whose stored order networks are used to.
    """

    nifti: Nifti
    truth: np.ndarray | None
    axes: np.ndarray | None


def find(folder: Path, layout: str) -> list[Volume]:
    """All volumes below `folder`, sorted by name; links are followed, hidden files left out.

    Raises:
        InputError: there is no such folder or no volume in it, or two are of one name.
    """
    if not Path(folder).is_dir():
        raise InputError(f"{paths.shown(folder)}: no such folder; give one of NIfTI volumes")
    manifest = Manifest.of(layout, "", folder)
    pairs = {"acdc": _acdc, "decathlon": _decathlon, "mmwhs": _mmwhs}[layout](manifest)
    found, problems = {}, []
    for image, (truth, phase) in sorted(pairs.items()):
        name = Path(image).name.removesuffix(".nii.gz")
        one = Volume(name, manifest.path(image), manifest.path(truth) if truth in manifest.files else None, phase)
        if name in found:
            problems.append(f"{paths.shown(one.image)}: also found as {paths.shown(found[name].image)}; keep one")
        found.setdefault(name, one)
    raise_all(problems)
    if not found:
        expected = __doc__.splitlines()[LAYOUTS.index(layout) + 2].split(maxsplit=1)[1]
        raise InputError(f"{paths.shown(folder)}: no volumes; this network expects {expected}")
    return [found[name] for name in sorted(found)]


def _acdc(manifest: Manifest) -> dict[str, tuple[str, str | None]]:
    pairs = {}
    for match in filter(None, map(_ACDC.fullmatch, manifest.files)):
        info = str(Path(match[0]).parent / "Info.cfg")
        text = manifest.path(info).read_text(errors="replace") if info in manifest.files else ""
        phases = {int(number): phase for phase, number in _PHASE.findall(text)}
        pairs[match[0]] = match[0].removesuffix(".nii.gz") + "_gt.nii.gz", phases.get(int(match[1]))
    return pairs


def _decathlon(manifest: Manifest) -> dict[str, tuple[str, str | None]]:
    images = [name for name in manifest.files if name.endswith(".nii.gz")]
    in_folders = [name for name in images if Path(name).parent.name in ("imagesTr", "imagesTs")]
    if not in_folders:
        return dict.fromkeys(images, ("", None))
    return {name: (re.sub(r"images(T[rs]/[^/]*)$", r"labels\1", name), None) for name in in_folders}


def _mmwhs(manifest: Manifest) -> dict[str, tuple[str, str | None]]:
    ending = "_image.nii.gz"
    return {
        name: (name.removesuffix(ending) + "_label.nii.gz", None) for name in manifest.files if name.endswith(ending)
    }


def label_values(layout: str, structures: list[str]) -> dict[int, int]:
    """The data set's own value of each structure -> its number here, from 1; of several, the first is written."""
    return mmwhs.LABELS if layout == "mmwhs" else {number: number for number in range(1, len(structures) + 1)}


def load(volume: Volume, layout: str, structures: list[str]) -> Loaded:
    """Read and check one volume.

    Raises:
        InputError: one line for each problem of the image, of the labels, or of both together.
    """
    problems: list[str] = []
    read = volumes.try_read if layout == "acdc" else lambda path, _, faults: orientation.try_read(path, faults)
    image, truth = (read(path, 3, problems) for path in (volume.image, volume.truth))
    problems += volumes.image_faults(image, volume.image)
    values = label_values(layout, structures)
    if truth and not np.isin(truth.array, [0, *values]).all():
        problems.append(f"{paths.shown(volume.truth)}: has labels other than 0, {', '.join(map(str, values))}; {AGAIN}")
    if image and truth:
        compare = volumes.grid_difference if layout == "acdc" else orientation.grid_difference
        if difference := compare(image, truth):
            problems.append(f"{paths.shown(volume.truth)}: {difference} differs from its image's; {AGAIN}")
    raise_all(problems)
    numbers = None
    if truth:
        numbers = np.zeros(truth.array.shape, np.uint8)
        for value, number in values.items():
            numbers[truth.array == value] = number
    axes = None if layout == "acdc" else orientation.axes_of(image, volume.image)
    return Loaded(image, numbers, axes)
