"""A synthetic stand-in for the ACDC challenge, in exactly its layout, so that the real loader reads it unchanged.

Layout (Bernard et al. 2018, https://www.creatis.insa-lyon.fr/Challenge/acdc/): `training/patientNNN/` holds `Info.cfg`,
the cine `patientNNN_4d.nii.gz`, and its end-diastolic and end-systolic frames `patientNNN_frameFF.nii.gz` (FF from 01)
with labels `patientNNN_frameFF_gt.nii.gz`: 0 background, 1 right cavity, 2 myocardium, 3 left cavity. Slice 0 is basal.
"""

from pathlib import Path

import nibabel as nib
import numpy as np

from whereabouts import files
from whereabouts.errors import InputError
from whereabouts.phantoms import short_axis
from whereabouts.phantoms.scanner import tint
from whereabouts.phantoms.torso import Torso
from whereabouts.pipeline import progress

GROUPS = tuple(short_axis.GROUPS)


def write(root: Path, patients: int, frames: int, rng: np.random.Generator, variety: float = 0) -> None:
    """Write `patients` studies of `frames` frames each below `root`/training.

    Patient k comes from the k-th generator spawned from `rng`, so it does not depend on how many follow.

    Args:
        root: folder that takes the place of the challenge's `database`.
        patients: number of patients; groups take turns in the order of `GROUPS`.
        frames: number of frames in a cine, at least 2.
        rng: the only source of randomness.
        variety: how much scanners differ; see `whereabouts.phantoms.scanner.tint`.

    Raises:
        InputError: where `frames` is below 2.
    """
    require_cycle(frames)
    for index, child in enumerate(progress.bar(rng.spawn(patients), desc="ACDC phantom", unit="patient")):
        name, group = f"patient{index + 1:03d}", GROUPS[index % len(GROUPS)]
        _write_patient(Path(root) / "training" / name, name, group, frames, child, variety)


def require_cycle(frames: int) -> None:
    """Raise `InputError` unless `frames` are enough for a heart to beat."""
    if frames < 2:
        raise InputError(f"frames: {frames} is too few for a cine; give at least 2, end-diastole and end-systole")


def save(path: Path, array: np.ndarray, zooms: tuple[float, ...]) -> None:
    """Write `array` as NIfTI with voxels of size `zooms` (mm, mm, mm and, for a cine, seconds)."""
    image = nib.Nifti1Image(array, np.diag([-zooms[0], -zooms[1], zooms[2], 1.0]))
    image.header.set_zooms(zooms)
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, path)


def _write_patient(folder: Path, name: str, group: str, frames: int, rng: np.random.Generator, variety: float) -> None:
    """Write one patient's files into `folder`."""
    diastole = 0 if rng.random() < 0.85 else int(rng.integers(1, frames))
    systole = (diastole + max(1, round(rng.uniform(0.30, 0.45) * frames))) % frames
    heart = short_axis.Heart.sample(group, rng)
    scan, zooms = _sample_scan(frames, rng)
    torso = Torso.sample(rng)
    images, labels = short_axis.draw(heart, torso, scan, short_axis.contraction(frames, diastole, systole), rng)
    if variety:
        images = tint(images, zooms[:2], variety, *rng.spawn(1))
    images = np.round(images * rng.uniform(180, 900)).astype(np.int16)  # scanners scale as they please
    folder.mkdir(parents=True, exist_ok=True)
    height, weight = rng.normal(171, 9), rng.normal(75, 14)
    lines = {
        "ED": diastole + 1,
        "ES": systole + 1,
        "Group": group,
        "Height": f"{max(height, 145):.1f}",
        "NbFrame": frames,
        "Weight": f"{max(weight, 42):.1f}",
    }
    files.write_text(folder / "Info.cfg", "".join(f"{key}: {value}\n" for key, value in lines.items()))
    save(folder / f"{name}_4d.nii.gz", images, zooms)
    for frame in (diastole, systole):
        stem = f"{name}_frame{frame + 1:02d}"
        save(folder / f"{stem}.nii.gz", images[..., frame], zooms[:3])
        save(folder / f"{stem}_gt.nii.gz", labels[..., frame], zooms[:3])


def _sample_scan(frames: int, rng: np.random.Generator) -> tuple[short_axis.Scan, tuple[float, ...]]:
    """An acquisition, and the size of its voxels: mm along three axes and seconds between frames."""
    spacing = round(rng.uniform(1.37, 1.68), 4)
    thickness = float(rng.choice([5, 6.5, 7, 8, 10], p=[0.15, 0.05, 0.05, 0.1, 0.65]))
    slices = int(np.clip(round(rng.uniform(72, 98) / thickness), 6, 18))
    long = rng.uniform(295, 365)  # mm
    short = long * rng.uniform(0.78, 0.92)
    upright = rng.random() < 0.7
    across, down = (short, long) if upright else (long, short)
    scan = short_axis.Scan(
        shape=(2 * round(across / spacing / 2), 2 * round(down / spacing / 2), slices),
        spacing=spacing,
        angle=rng.normal(0.05, 0.15) if upright else rng.normal(0.7, 0.2),
        centre=tuple(np.clip(rng.normal((-8, -2), (11, 16)), -30, 30)),
        blood=tuple(rng.uniform((0.95, 0.8), 1.2)),
        muscle=rng.uniform(0.24, 0.5),
        noise=rng.uniform(0.015, 0.035),
        bow=rng.choice([0, 0, 1]) * rng.uniform(0.02, 0.10),
        last=rng.uniform(0.88, 1.06),
    )
    cycle = rng.uniform(0.75, 1.1)  # seconds
    return scan, (spacing, spacing, thickness, round(cycle / frames, 4))
