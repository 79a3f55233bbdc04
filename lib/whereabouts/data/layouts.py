"""Folders of NIfTI volumes in the layouts that networks here were trained on: what is there, with labels or without.

    acdc       patientNNN_frameFF.nii.gz anywhere, labels patientNNN_frameFF_gt.nii.gz, phases in Info.cfg beside them
    decathlon  imagesTr/ and imagesTs/ with labelsTr/ beside them, anywhere; or .nii.gz files without such folders
    mmwhs      ct_train_1001_image.nii.gz, labels ct_train_1001_label.nii.gz, anywhere
    studies    <subject>/<sequence>_frameFF.nii.gz anywhere, labels <subject>/<sequence>_frameFF_gt.nii.gz

Unlike the data sets' own loaders these ask for no labels and no lists: they are for files nobody has seen before. They
may be unpacked (.nii), and labels may lack the _0000 of nnU-Net's images.
Networks trained on DICOM series (Pancreas-CT) take the Decathlon's layout: whoever has series converts them first.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from whereabouts import paths
from whereabouts.data import acdc, mmwhs, names, studies
from whereabouts.data.cardiac import STRUCTURES
from whereabouts.data.studies import Study
from whereabouts.errors import InputError, raise_all
from whereabouts.formats import labels, limits, orientation, volumes
from whereabouts.formats.volumes import REGRID, Nifti
from whereabouts.formats.walk import below, few

LAYOUTS = ("acdc", "decathlon", "mmwhs", "studies")
HEARTS = ("acdc", "studies")  # slices along the short axis, see `orientation.short_axis`
_ACDC = re.compile(r"(?:.*/)?patient\d+_frame(\d+)")
_INFO = "Info.cfg"
_ENDING = re.compile(r"(?i:\.nii(\.gz)?)")


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
        axes: (3, 2), see `whereabouts.formats.orientation`.
    """

    nifti: Nifti
    truth: np.ndarray | None
    axes: np.ndarray


def find(folder: Path, layout: str, left_out: list[str] | None = None) -> list[Volume]:
    """All volumes below `folder`, sorted by name; links are followed, hidden files left out.

    Args:
        left_out: gets a line for each reason for which files are left out, see `whereabouts.formats.walk`.

    Raises:
        InputError: there is no such folder or no volume in it, or two are of one name; or as
            `whereabouts.formats.walk.below`.
    """
    if not os.path.isdir(folder):
        raise InputError(f"{paths.shown(folder)}: no such folder; give one of NIfTI volumes")
    left_out = [] if left_out is None else left_out
    files, stems, problems = below(folder, left_out), {}, []
    for name, path in files.items():
        if ending := _ENDING.search(name, len(name) - 7):
            other = stems.setdefault(names.composed(name[: ending.start()]), path)
            if other != path:
                problems.append(f"{paths.shown(path)}: also found as {paths.shown(other)}; keep one")
    finders = {"acdc": _acdc, "decathlon": _decathlon, "mmwhs": _mmwhs, "studies": _studies}
    found = {}
    for one in sorted(finders[layout](stems), key=lambda volume: volume.image):
        if one.name in found:
            problems.append(f"{paths.shown(one.image)}: also found as {paths.shown(found[one.name].image)}; keep one")
        found.setdefault(one.name, one)
    raise_all(problems)
    expected = __doc__.splitlines()[LAYOUTS.index(layout) + 2].split(maxsplit=1)[1]
    if not found:
        raise InputError(f"{paths.shown(folder)}: no volumes; this network expects {expected}")
    used = {path for one in found.values() for path in (one.image, one.truth)}
    used |= {one.image.parent / _INFO for one in found.values()} if layout == "acdc" else set()
    rest = [path for path in files.values() if path not in used]
    for reason, unused in {
        f"this network expects {expected}": [path for path in rest if path in stems.values()],
        "no NIfTI volume": [path for path in rest if path not in stems.values()],
    }.items():
        left_out += [f"{few(unused)}: left out, {reason}"] if unused else []
    return [found[name] for name in sorted(found)]


def _name(stem: str) -> str:
    return stem.rpartition("/")[2]


def _acdc(stems: dict[str, Path]) -> list[Volume]:
    found = []
    for match in filter(None, map(_ACDC.fullmatch, stems)):
        image, phases = stems[match[0]], {}
        try:
            numbers = acdc.parse_info(limits.read(image.parent / _INFO, limits.INFO))
            phases = {acdc.number(numbers.get(phase)): phase for phase in acdc.PHASES}
        except InputError:  # not there, or not to be read: whoever needs the phase is told
            pass
        found.append(Volume(_name(match[0]), image, stems.get(f"{match[0]}_gt"), phases.get(int(match[1]))))
    return found


def _decathlon(stems: dict[str, Path]) -> list[Volume]:
    in_folders = {stem: _labels(stem, stems) for stem in stems if Path(stem).parent.name in ("imagesTr", "imagesTs")}
    channels = {stem for stem in in_folders if _is_further_channel(stem, stems)}
    images = [stem for stem in in_folders or stems if stem not in channels]
    return [Volume(_name(stem), stems[stem], in_folders.get(stem)) for stem in images]


def _labels(stem: str, stems: dict[str, Path]) -> Path | None:
    """Labels of an image in imagesTr or imagesTs, which in nnU-Net's layout lack the number of its channel."""
    label = re.sub(r"images(T[rs]/[^/]*)$", r"labels\1", stem)
    return stems.get(label, stems.get(label.removesuffix("_0000")))


def _is_further_channel(stem: str, stems: dict[str, Path]) -> bool:
    """Whether nnU-Net's labels say that an image is another channel of a volume, of which networks here see one."""
    volume, _, channel = stem.rpartition("_")
    first = f"{volume}_0000"
    return (
        re.fullmatch(r"\d{4}", channel) is not None
        and stem != first
        and first in stems
        and _labels(stem, stems) is None
        and _labels(first, stems) is not None
    )


def _mmwhs(stems: dict[str, Path]) -> list[Volume]:
    images = [stem for stem in stems if stem.endswith("_image")]
    return [Volume(_name(stem), stems[stem], stems.get(stem.removesuffix("_image") + "_label")) for stem in images]


def _studies(stems: dict[str, Path]) -> list[Volume]:
    frames = {}  # (folder, subject, sequence) -> number of the frame -> name of its image
    for match in filter(None, map(studies.FRAME.fullmatch, stems)):
        if not match[5]:
            frames.setdefault(match.groups()[:3], {})[int(match[4])] = match[0]
    found = []
    for (_, subject, sequence), images in frames.items():
        study = Study(subject, sequence, {number: (stems[images[number]], None) for number in sorted(images)})
        for number, image in images.items():
            name = f"{subject}-{sequence}-{number:02d}"
            found.append(Volume(name, stems[image], stems.get(f"{image}_gt"), study=study))
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
    heart = layout in HEARTS
    image, truth = (
        volumes.try_read(path, 3, problems, limits.FRAME_VOXELS) if heart else orientation.try_read(path, problems)
        for path in (volume.image, volume.truth)
    )
    problems += volumes.image_faults(image, volume.image, (0, 100) if layout == "decathlon" else (5, 95))
    values = label_values(layout, structures)
    problems += labels.faults(truth and truth.array, volume.truth, list(values), ", ".join(map(str, values)))
    if image and truth:
        compare = volumes.grid_difference if heart else orientation.grid_difference
        if difference := compare(image, truth):
            problems.append(f"{paths.shown(volume.truth)}: {difference} differs from its image's; {REGRID}")
    first = image
    if image and volume.study:
        (path, _), *_ = volume.study.frames.values()
        first = volumes.try_read(
            path, 3, [], limits.FRAME_VOXELS
        )  # what is wrong with it is said where it is loaded itself
        if difference := first and volumes.grid_difference(first, image):
            where = paths.shown(volume.image)
            problems.append(f"{where}: {difference} differs from the study's first frame's; {REGRID}")
    raise_all(problems)
    numbers = None
    if truth:
        stored, numbers = labels.rounded(truth.array), np.zeros(truth.array.shape, np.uint8)
        for value, number in values.items():
            numbers[stored == value] = number
    axes = orientation.short_axis(first or image) if heart else orientation.axes_of(image, volume.image)
    return Loaded(image, numbers, axes)
