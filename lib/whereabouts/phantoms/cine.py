"""Synthetic stand-ins for the two private sets of cine studies of SDNet (Chartsias et al. 2019, section 4.1 b and d).

Neither has an official layout; this follows ACDC's names. Slice 0 is basal; labels are ACDC's, 0 background, 1 right
cavity, 2 myocardium, 3 left cavity, of which these studies show the last two:

    volunteerNN/cine_frameFF.nii.gz     FF from 01; frame 01 is end-diastole, the only one with labels
    volunteerNN/cine_frame01_gt.nii.gz
    canineNN/{cine,bold}_frameFF.nii.gz
    canineNN/{cine,bold}_frameFF_gt.nii.gz
"""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np

from whereabouts.data.cardiac import BACKGROUND, RIGHT_VENTRICLE
from whereabouts.phantoms import short_axis
from whereabouts.phantoms.acdc import require_cycle, save
from whereabouts.phantoms.scanner import tint
from whereabouts.phantoms.short_axis import ANGLES, Heart, Scan
from whereabouts.phantoms.torso import Torso
from whereabouts.pipeline import progress

LENGTH = (70, 88)  # mm, of a man's left ventricle from base to apex
CANINE = 0.7  # a dog's length for each of a man's
DESCENDING = np.pi / 3  # angle of the middle of the left anterior descending artery's territory: AHA segments 7 and 8
TERRITORY = 2 * np.pi / 3  # half-width of the window whose half-maximum is that territory, 120 degrees wide


def write_qmri(root: Path, volunteers: int, frames: int, rng: np.random.Generator, variety: float = 0) -> None:
    """Write cines of healthy volunteers as a 3 T scanner would show them, all in the same orientation.

    Volunteer k comes from the k-th generator spawned from `rng`, so it does not depend on how many follow.

    Args:
        root: folder that takes the volunteers' folders.
        volunteers: how many.
        frames: of a cine, at least 2.
        rng: the only source of randomness.
        variety: how much scanners differ; see `whereabouts.phantoms.scanner.tint`.

    Raises:
        InputError: where `frames` is below 2.
    """
    require_cycle(frames)
    spacing, thickness = 1.406, 6.0  # mm
    for index, child in enumerate(progress.bar(rng.spawn(volunteers), desc="QMRI phantom", unit="volunteer")):
        heart = replace(Heart.sample("NOR", child), direction=np.pi + child.normal(0, 0.04))
        length = child.uniform(*LENGTH)
        slices = int(np.ceil(length / thickness)) + 1  # down to the apex, or just below it
        scan = _sample_scan((256, 208, slices), spacing, (0, (slices - 1) * thickness / length), child)
        images, labels = short_axis.draw(heart, Torso.sample(child), scan, _sample_beats(frames, child), child)
        if variety:
            images = tint(images, (spacing, spacing), variety, *child.spawn(1))
        images *= child.uniform(180, 900)  # scanners scale as they please
        folder = Path(root) / f"volunteer{index + 1:02d}"
        _save_study(folder, "cine", images, labels[..., :1], (spacing, spacing, thickness))


def write_bold(root: Path, canines: int, frames: int, contrast: float, rng: np.random.Generator) -> None:
    """Write pairs of a cine and a CP-BOLD study that differ in the myocardium's oxygenation alone.

    A canine is a man of `CANINE` the length, torso and all. Its pair is drawn twice from equal generators, so that
    noise, motion and everything beyond the left ventricle's wall are the same to the bit. See `oxygenation`.

    Args:
        root: folder that takes the canines' folders; canine k does not depend on how many follow.
        canines: how many, each with a stenosis of the left anterior descending artery, moderate to severe.
        frames: of a study, at least 2; all have labels.
        contrast: by what part a healthy wall is brighter at end-systole in CP-BOLD than in the cine.
        rng: the only source of randomness.

    Raises:
        InputError: where `frames` is below 2.
    """
    require_cycle(frames)
    spacing, thickness = 1.25, 8.0  # mm
    for index, child in enumerate(progress.bar(rng.spawn(canines), desc="BOLD phantom", unit="canine")):
        heart = replace(Heart.sample("NOR", child), open_base=False, labelled_from=(0, 0))
        slices = int(child.integers(1, 4))
        half = thickness * (slices - 1) / 2 / (CANINE * child.uniform(*LENGTH))
        middle = child.uniform(0.4, 0.5)
        scan = _sample_scan((192, 114, slices), spacing / CANINE, (middle - half, middle + half), child)
        torso, beats = Torso.sample(child), _sample_beats(frames, child)
        bold = oxygenation(beats, contrast, severity=child.uniform(0.6, 1))
        gain = child.uniform(180, 900)
        for sequence, factors in (("cine", None), ("bold", bold)):
            images, labels = short_axis.draw(heart, torso, scan, beats, copy.deepcopy(child), factors)
            folder = Path(root) / f"canine{index + 1:02d}"
            _save_study(folder, sequence, images * gain, labels, (spacing, spacing, thickness))


def oxygenation(beats: np.ndarray, contrast: float, severity: float) -> np.ndarray:
    """What CP-BOLD multiplies the myocardium's signal by, at each frame and each of `ANGLES`; (frames, angles).

    1 + contrast (1 + beat (1 - severity territory)) / 2: the signal of healthy myocardium rises from end-diastole to
    end-systole, that of ischaemic myocardium less or not at all (Tsaftaris et al. 2013). The wall moves alike in both.

    Args:
        beats: contraction of each frame, 0 at end-diastole, 1 at end-systole; (frames,).
        contrast: of a healthy wall at end-systole.
        severity: of the stenosis, from 0, none, to 1: no rise in the middle of the territory.
    """
    territory = short_axis.window(ANGLES - DESCENDING, TERRITORY)
    return 1 + contrast * (1 + np.outer(beats, 1 - severity * territory)) / 2


def _sample_beats(frames: int, rng: np.random.Generator) -> np.ndarray:
    """Contraction of each frame, (frames,); the first is end-diastole."""
    return short_axis.contraction(frames, 0, max(1, round(rng.uniform(0.30, 0.45) * frames)))


def _sample_scan(shape: tuple, spacing: float, levels: tuple[float, float], rng: np.random.Generator) -> Scan:
    """An acquisition in canonical orientation, from the first to the second of `levels`."""
    return Scan(
        shape=shape,
        spacing=spacing,
        angle=rng.normal(0.05, 0.04),
        centre=tuple(rng.normal(0, 5, 2)),
        blood=tuple(rng.uniform((0.95, 0.8), 1.2)),
        muscle=rng.uniform(0.3, 0.42),
        noise=rng.uniform(0.015, 0.03),
        bow=0,
        first=levels[0],
        last=levels[1],
    )


def _save_study(folder: Path, sequence: str, images: np.ndarray, labels: np.ndarray, zooms: tuple) -> None:
    """Write frames 01, 02, .. of `images`, (across, down, slices, frames), and labels of as many as there are."""
    folder.mkdir(parents=True, exist_ok=True)
    labels = np.where(labels == RIGHT_VENTRICLE, np.uint8(BACKGROUND), labels)
    for kind, frames in (("", np.round(images).astype(np.int16)), ("_gt", labels)):
        for index in range(frames.shape[3]):
            save(folder / f"{sequence}_frame{index + 1:02d}{kind}.nii.gz", frames[..., index], zooms)
