"""ACDC: cine-MR of the heart, short axis, labelled at end-diastole and end-systole (Bernard et al., IEEE TMI 2018).

Official layout, below any prefix (`training/`, `database/training/`, `database/testing/`, none):

    patientNNN/Info.cfg                          "key: value" lines: ED, ES, Group, Height, NbFrame, Weight
    patientNNN/patientNNN_4d.nii.gz              optional here, the whole cycle
    patientNNN/patientNNN_frameFF.nii.gz         FF counts from 01
    patientNNN/patientNNN_frameFF_gt.nii.gz      0 background, 1 right ventricle, 2 myocardium, 3 left ventricle

Slices are read as they are seen: the patient's right on the left, the front on top (`orientation.short_axis`).
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from whereabouts import paths
from whereabouts.data import in_plane, names
from whereabouts.data.cardiac import BACKGROUND
from whereabouts.data.manifest import Manifest
from whereabouts.errors import InputError, raise_all
from whereabouts.formats import limits, orientation, volumes
from whereabouts.formats.labels import rounded
from whereabouts.formats.volumes import AGAIN, FILL, REGRID, Nifti
from whereabouts.pipeline import progress

PHASES = ("ED", "ES")
EXCLUDED = {"labelled": 0, "off by one": 1}  # number of an unwanted frame less ED or ES

_DIGITS = 9  # of a frame's number at most
_UNREADABLE = "\N{REPLACEMENT CHARACTER}"  # in the place of bytes that are not UTF-8
_FILE = re.compile(r"((?:.*/)?(patient\d{3}))/(?:Info\.cfg|\2_(?:4d|frame\d{2}(?:_gt)?)\.nii\.gz)")


@dataclass(frozen=True)
class Patient:
    """One patient's files.

    Args:
        name: "patient001".
        group: "NOR", "MINF", "DCM", "HCM" or "RV"; None where Info.cfg does not say.
        ed, es: number of the end-diastolic and the end-systolic frame, from 1.
        frames: phase, "ED" or "ES" -> (image, labels); labels are None where a test patient has none.
        four_d: the whole cycle, or None.
        part: "training" or "testing".
    """

    name: str
    group: str | None
    ed: int
    es: int
    frames: dict[str, tuple[Path, Path | None]]
    four_d: Path | None
    part: str

    @property
    def has_labels(self) -> bool:
        return all(truth is not None for _, truth in self.frames.values())


@dataclass(frozen=True)
class Prepared:
    """One patient's slices, end-diastole first, in the file's order, as they are seen.

    Args:
        images: (S, size, size) float32 in [0, 1].
        labels: (S, size, size) uint8, 0 to 3.
        table: S rows; patient, group, phase, slice (index in the file), position (0 apex to 1 base) and
            volume ("patient001-ED").
    """

    images: np.ndarray
    labels: np.ndarray
    table: pd.DataFrame


def read(manifest: Manifest) -> list[Patient]:
    """All patients, sorted by name, after reading and checking every file that they consist of once.

    Patients below a folder called `testing` may lack labels; all others are training patients. Files that the layout
    does not know, and frames that Info.cfg does not name, are left alone.

    Raises:
        InputError: one line for each problem of any patient.
    """
    folders = sorted({match[1] for match in map(_FILE.fullmatch, manifest.files) if match})
    if not folders:
        raise InputError(f"no patients below {manifest.root}; expected patientNNN/Info.cfg, see data/README.md")
    problems, patients = [], {}
    for folder in progress.bar(folders, desc=f"check {manifest.dataset}", unit="patient"):
        patient = _read_patient(manifest, folder, problems)
        if patient and patient.name in patients:
            other = patients[patient.name].frames["ED"][0].parent
            problems.append(f"{_shown(manifest, folder)}: also found as {paths.shown(other)}; keep one of them")
        elif patient:
            patients[patient.name] = patient
    raise_all(problems)
    return [patients[name] for name in sorted(patients)]


def frame(patient: Patient, phase: str) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """One frame of a patient.

    Returns:
        Image (H, W, D) float32; labels (H, W, D) uint8, or None where it has none; spacing (3,) in mm, along H, W, D.
    """
    image, truth = (path and volumes.read_nifti(path) for path in patient.frames[phase])
    axes = orientation.short_axis(image)  # for both
    numbers = truth and orientation.seen(truth, axes)[0]
    array, spacing = orientation.seen(image, axes)
    return array.astype(np.float32), None if truth is None else rounded(numbers).astype(np.uint8), spacing


def cycle(patient: Patient) -> tuple[np.ndarray, np.ndarray]:
    """The whole cycle of a patient who has one, (H, W, D, T) float32, and its spacing (3,) in mm.

    It is on the grid of the frames, whose headers say how it lies: its own affine is another in some released files.
    """
    axes = orientation.short_axis(volumes.read_nifti(patient.frames["ED"][0]))
    array, spacing = orientation.seen(volumes.read_nifti(patient.four_d), axes)
    return array.astype(np.float32), spacing


def parse_info(content: bytes) -> dict[str, str]:
    """The lines of an Info.cfg, key -> text."""
    lines = content.decode("utf-8-sig", errors="replace").splitlines()
    return {key.strip(): text.strip() for key, colon, text in (line.partition(":") for line in lines) if colon}


def number(text: str | None) -> int | None:
    """The whole number from 1 that a line of Info.cfg gives; None where it gives none."""
    given = text is not None and text.isascii() and text.isdigit() and len(text) <= _DIGITS and int(text) >= 1
    return int(text) if given else None


def slice_positions(truth: np.ndarray | None, depth: int) -> np.ndarray:
    """Position of each slice along the heart's long axis, linear in its index: 0 the apical end, 1 the basal end.

    The heart narrows towards the apex, which the right ventricle does not even reach, so the end towards which the
    labelled area grows is basal: the sign of the covariance between area and index over the slices that show heart.
    Those above the base or below the apex say nothing and are left out. The left ventricle's area alone misleads in
    aneurysms of the apex. Without labels, or with a tie, index 0 is basal: ACDC's convention.

    Args:
        truth: (H, W, D) labels, or None.
        depth: D.

    Returns:
        (D,) float32. A single slice has no direction: 0.5.
    """
    if depth == 1:
        return np.full(1, 0.5, np.float32)
    from_base = np.linspace(1, 0, depth, dtype=np.float32)
    if truth is None:
        return from_base
    area = (truth != BACKGROUND).sum(axis=(0, 1))  # (D,) pixels
    index = np.flatnonzero(area)
    growth = ((index - index.mean()) * area[index]).sum() if index.size else 0
    return from_base[::-1].copy() if growth > 0 else from_base


def prepare(
    patient: Patient,
    spacing: float,
    size: int,
    resize: bool = False,
    percentiles: tuple[float, float] = (5, 95),
) -> Prepared:
    """Slices of both phases: resampled in-plane, clipped to two percentiles, scaled to [0, 1], cut to size.

    INSIDE (section 4.2) samples to 1.37 mm and then "resizes" each slice to 224 x 224, which would undo the sampling;
    the same group's code crops and pads instead, and so does this by default. Slices without heart are kept: Dice is
    over whole volumes, a position says where a slice lies among all of them, and a network has to learn where there
    is nothing.

    Args:
        patient: with labels.
        spacing: mm in-plane, without effect with `resize`.
        size: pixels.
        resize: stretch the whole field of view to `size` x `size`, the letter of the paper and Murase's way, in one
            interpolation from the file's own pixels.
        percentiles: of each volume, which become 0 and 1; 5 and 95 in INSIDE. 0 and 100 clip nothing.

    Raises:
        InputError: the patient has no labels.
    """
    if not patient.has_labels:
        raise InputError(f"{patient.name}: has no labels; prepare patients with `has_labels` only")
    images, truths, rows = [], [], []
    for phase in patient.frames:
        image, truth, pixel = frame(patient, phase)
        positions = slice_positions(truth, truth.shape[2])
        shape = (size, size) if resize else in_plane.resampled_shape(image.shape, pixel[:2], spacing)
        images.append(in_plane.image_slices(image, shape, size, percentiles))
        truths.append(in_plane.label_slices(truth, shape, size))
        rows += [
            (patient.name, patient.group, phase, index, float(position), f"{patient.name}-{phase}")
            for index, position in enumerate(positions)
        ]
    table = pd.DataFrame(rows, columns=["patient", "group", "phase", "slice", "position", "volume"])
    return Prepared(np.concatenate(images), np.concatenate(truths), table)


def prepare_unlabelled(
    patient: Patient,
    spacing: float,
    size: int,
    percentiles: tuple[float, float] = (5, 95),
    excluded: str = "labelled",
) -> tuple[np.ndarray, pd.DataFrame]:
    """Slices of the cycle's other frames, prepared as `prepare` does, but scaled together (SDNet, sections 4.1 a, 5.1).

    Args:
        patient: with a 4D file.
        spacing: mm in-plane.
        size: pixels.
        percentiles: of the whole cycle, the frames left out included, which become 0 and 1.
        excluded: which frames are left out: "labelled", those numbered ED and ES; or "off by one", those numbered
            ED + 1 and ES + 1, as SDNet's released code does, which compares indices from 0 with numbers from 1: most
            labelled frames stay in.

    Returns:
        Images (S, size, size) float32 in [0, 1], and S rows of patient, frame (from 1) and slice (index in the file).

    Raises:
        InputError: the patient has no 4D file, or `excluded` is neither.
    """
    if excluded not in EXCLUDED:
        raise InputError(f"excluded: '{excluded}' is unknown; give one of {', '.join(map(repr, EXCLUDED))}")
    if patient.four_d is None:
        raise InputError(f"{patient.name}: has no {patient.name}_4d.nii.gz, which holds its unlabelled frames; add it")
    whole, pixel = cycle(patient)
    height, width, depth, frames = whole.shape
    shape = in_plane.resampled_shape(whole.shape, pixel[:2], spacing)
    stack = whole.transpose(0, 1, 3, 2).reshape(height, width, frames * depth)
    images = in_plane.image_slices(stack, shape, size, percentiles)
    number, index = np.repeat(np.arange(1, frames + 1), depth), np.tile(np.arange(depth), frames)
    kept = ~np.isin(number, np.array([patient.ed, patient.es]) + EXCLUDED[excluded])
    return images[kept], pd.DataFrame({"patient": patient.name, "frame": number[kept], "slice": index[kept]})


def _shown(manifest: Manifest, name: str) -> str:
    return paths.shown(manifest.path(name))


def _read_patient(manifest: Manifest, folder: str, problems: list[str]) -> Patient | None:
    """The patient below `folder`, or None where Info.cfg leaves the frames open; adds to `problems`."""
    name = folder.rpartition("/")[2]
    part = "testing" if "testing" in folder.split("/") else "training"
    info, numbers = _read_info(manifest, f"{folder}/Info.cfg", problems)
    frames, images = {}, []
    for phase in filter(numbers.get, PHASES):
        number = numbers[phase]
        image, truth = (f"{folder}/{name}_frame{number:02d}{end}.nii.gz" for end in ("", "_gt"))
        if image not in manifest.files:
            what = f"missing, Info.cfg names frame {number} as {phase}"
            problems.append(f"{_shown(manifest, image)}: {what}; {names.advice(image, manifest.files, AGAIN)}")
        if truth not in manifest.files and part == "training":
            what = "missing, training frames have labels"
            problems.append(f"{_shown(manifest, truth)}: {what}; {names.advice(truth, manifest.files, AGAIN)}")
        present = [manifest.path(file) if file in manifest.files else None for file in (image, truth)]
        images.append(volumes.read_frame(*present, problems))
        frames[phase] = tuple(present)
    four_d = f"{folder}/{name}_4d.nii.gz"
    four_d = manifest.path(four_d) if four_d in manifest.files else None
    problems += _cycle_problems(four_d, numbers, images)
    if any(image is None for image, _ in frames.values()) or len(frames) < len(PHASES):
        return None
    return Patient(name, info.get("Group"), numbers["ED"], numbers["ES"], frames, four_d, part)


def _read_info(manifest: Manifest, file: str, problems: list[str]) -> tuple[dict[str, str], dict[str, int]]:
    """Info.cfg as key -> text, and key -> number for those of ED, ES and NbFrame that it gives properly."""
    shown = _shown(manifest, file)
    if file not in manifest.files:
        advice = names.advice(file, manifest.files, AGAIN)
        problems.append(f"{shown}: missing, it says which frames are ED and ES; {advice}")
        return {}, {}
    try:
        info = parse_info(limits.read(manifest.path(file), limits.INFO))
    except InputError as fault:
        problems += fault.problems
        return {}, {}
    if _UNREADABLE in info.get("Group", ""):
        problems.append(f"{shown}: Group is no text in UTF-8; save it so")
    numbers = {}
    for key, meaning in {"ED": "number of a frame", "ES": "number of a frame", "NbFrame": "number of frames"}.items():
        text = info.get(key)
        if text is None:
            if key in PHASES:
                problems.append(f"{shown}: has no {key}; add the line '{key}: <number of the frame>'")
        elif (found := number(text)) is None:
            problems.append(f"{shown}: {key} is '{text[:30]}'; give the {meaning}, a whole number from 1")
        else:
            numbers[key] = found
    if "ED" in numbers and numbers["ED"] == numbers.get("ES"):
        problems.append(f"{shown}: ED and ES are both frame {numbers['ED']}; correct one of them")
    return info, numbers


def _cycle_problems(path: Path | None, numbers: dict[str, int], images: list[Nifti | None]) -> list[str]:
    """What is wrong with the 4D file, alone, and beside Info.cfg's `numbers` and the images of its frames."""
    problems = []
    cycle = volumes.try_read(path, 4, problems)
    if cycle is None:
        return problems
    if not volumes.all_finite(cycle.array):
        problems.append(f"{paths.shown(path)}: has NaN or infinite voxels; {FILL}")
    most, found = max(numbers, key=numbers.get, default=None), cycle.array.shape[3]
    if most and found < numbers[most]:
        problems.append(
            f"{paths.shown(path)}: has {found} frames, but Info.cfg says {most}: {numbers[most]}; correct one of them"
        )
    for image in filter(None, images):
        difference = volumes.grid_difference(image, replace(cycle, array=cycle.array[..., 0], affines={}))
        if difference:
            problems.append(f"{paths.shown(path)}: {difference} differs from its frames'; {REGRID}")
            break
    return problems
