"""A tiny sound data set in every format that is read here: how it is written, and all that is read of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import torch
from PIL import Image

from whereabouts import paths
from whereabouts.data import (
    acdc,
    chest,
    clevr_seg,
    decathlon,
    jsrt,
    layouts,
    mmwhs,
    pancreas_ct,
    prepared,
    radiographs,
    studies,
    ultrasound,
)
from whereabouts.data.manifest import Manifest
from whereabouts.files import write_json, write_text
from whereabouts.formats import orientation, volumes
from whereabouts.phantoms import acdc as acdc_phantom
from whereabouts.phantoms import cine as cine_phantom
from whereabouts.phantoms import decathlon as decathlon_phantom
from whereabouts.phantoms import jsrt as jsrt_phantom
from whereabouts.phantoms import mmwhs as mmwhs_phantom
from whereabouts.phantoms import pancreas_ct as pancreas_phantom
from whereabouts.pipeline import notebooks, params
from whereabouts.pipeline.notebooks import nbformat
from whereabouts.reporting import claims
from whereabouts.training import weights

PATIENT = "training/patient001"
TASK = "Task99_Abdomen"


@dataclass(frozen=True)
class Sound:
    """One format.

    Args:
        write: makes the data set below a folder.
        read: returns all that the files below a folder say; an InputError names what is wrong with them.
        files: kind of file -> pattern of its path; the first that fits is meant.
        beside: kind -> patterns of files that it is compared with, of which either may be the wrong one; or words.
    """

    write: Callable[[Path], None]
    read: Callable[[Path], object]
    files: dict[str, str]
    beside: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def path(self, root: Path, kind: str) -> Path:
        return min(root.glob(self.files[kind]))

    def names(self, root: Path, kind: str) -> list[str]:
        """What complaints of a damaged file may call it: its path below `root`, or that of a file beside it."""
        patterns = (self.files[kind], *self.beside.get(kind, ()))
        found = {pattern: [path.relative_to(root).as_posix() for path in root.glob(pattern)] for pattern in patterns}
        return [name for pattern in patterns for name in found[pattern] or [pattern]]


def _manifest(root: Path) -> Manifest:
    return Manifest.of("Sound", "synthetic", root)


# NIfTI


def _write_acdc(root: Path) -> None:
    """One patient with three frames, of which the first and the second are labelled."""
    labels = np.zeros((12, 10, 4), np.uint8)
    labels[2:9, 2:8, :3], labels[3:8, 3:7, :3], labels[4:6, 3:5, :3] = 1, 2, 3
    image = (100 * labels + np.indices(labels.shape)[0]).astype(np.int16)
    folder, zooms = root / PATIENT, (1.5, 1.5, 8.0)
    folder.mkdir(parents=True)
    acdc_phantom.save(folder / "patient001_4d.nii.gz", np.stack([image, image + 9, image + 5], axis=3), (*zooms, 0.3))
    for frame in (1, 2):
        acdc_phantom.save(folder / f"patient001_frame{frame:02d}.nii.gz", image + 9 * (frame - 1), zooms)
        acdc_phantom.save(folder / f"patient001_frame{frame:02d}_gt.nii.gz", labels, zooms)
    write_text(folder / "Info.cfg", "ED: 1\nES: 2\nGroup: DCM\nHeight: 170.0\nNbFrame: 3\nWeight: 70.0\n")


def _read_acdc(root: Path) -> list:
    (patient,) = acdc.read(_manifest(root))
    return [patient, [acdc.frame(patient, phase) for phase in patient.frames], acdc.cycle(patient)]


def _read_mmwhs(root: Path) -> list:
    cases = mmwhs.read(_manifest(root))
    return [(case, mmwhs.canonical(case.image), mmwhs.canonical(case.truth)) for case in cases]


def _read_decathlon(root: Path) -> list:
    task = decathlon.read(_manifest(root), TASK)
    return [task, [decathlon.load(case, task.structures) for case in task.cases]]


def _write_studies(root: Path) -> None:
    cine_phantom.write_bold(root, 1, 2, 0.2, np.random.default_rng(0))


def _read_studies(root: Path) -> list:
    found = studies.read(_manifest(root))
    files = [path for study in found for pair in study.frames.values() for path in pair]
    return [found, [volumes.read_nifti(path) for path in files]]


def _reads_layout(layout: str, structures: list[str]) -> Callable[[Path], list]:
    """As `whereabouts.predict` reads what it is given; the phase is left out, since no Info.cfg need be there."""

    def read(root: Path) -> list:
        loaded = [layouts.load(one, layout, structures) for one in layouts.find(root, layout)]
        pairs = [(one.nifti.array, one.nifti.spacing, one.truth) for one in loaded]
        turned = [orientation.turn(one.nifti, one.axes) for one in loaded]
        return [pairs, turned]

    return read


def _read_pancreas(root: Path) -> list:
    return [pancreas_ct.load(case) for case in pancreas_ct.read(_manifest(root))]


# Frames, radiographs and rendered scenes


def _write_ultrasound(root: Path) -> None:
    rng, shape = np.random.default_rng(0), (16, 20)
    root.mkdir(parents=True, exist_ok=True)
    with h5py.File(root / "ultrasound.hdf5", "w") as file:
        file["label_names"] = np.array(("4CH", "Lips", "Background"), "S")
        for split in ultrasound.SPLITS:
            frames = rng.integers(0, 256, (4, 1, *shape), np.uint8)
            file.create_dataset(f"x_{split}", data=frames, chunks=(2, 1, *shape), compression="gzip")
            file[f"p_{split}"] = np.arange(4) % 3
        file["box_test"] = np.array([(2, 3, 12, 15), (-1, -1, -1, -1), (0, 0, *shape), (5, 6, 6, 7)])


def _read_ultrasound(root: Path) -> list:
    frames = ultrasound.read(_manifest(root))
    return [frames, [list(ultrasound.prepare(frames, split, (16, 20), (8, 10))) for split in ultrasound.SPLITS]]


def _box(rows: slice, columns: slice, shape: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    mask[rows, columns] = 255
    return mask


def _write_radiographs(root: Path) -> None:
    shape = (40, 48)
    grey = np.add.outer(3 * np.arange(shape[0]), 2 * np.arange(shape[1])).astype(np.uint8)
    places = {"right lung": np.s_[8:30, 4:18], "left lung": np.s_[8:30, 28:44], "heart": np.s_[16:34, 18:32]}
    for name, suffix in (("a", "png"), ("b", "jpg")):
        masks = {f"masks/{structure}/{name}.png": _box(*place, shape) for structure, place in places.items()}
        for file, array in {f"images/{name}.{suffix}": grey, **masks}.items():
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(root / file)
    write_text(root / "sources.csv", "id,licence,patient\na,CC BY,1\nb,CC BY,2\n")


def _reads_chest(layout) -> Callable[[Path], list]:
    def read(root: Path) -> list:
        found = layout.read(_manifest(root))
        masks = [chest.read_mask(path) for one in found for path in one.masks.values()]
        return [found, [layout.image(one.image) for one in found], masks]

    return read


def _write_clevr_seg(root: Path) -> None:
    side = 24
    for index in range(2):
        name = f"CLEVR_seg_{index:06d}"
        inside = _box(slice(3, 12), slice(4 + index, 10), (side, side)) > 0
        image = np.where(inside[..., None], (231, 76, 60), (90, 90, 90)).astype(np.uint8)
        mask = np.repeat(np.where(inside, clevr_seg.OBJECT, clevr_seg.BACKGROUND).astype(np.uint8)[..., None], 3, 2)
        thing = {"pixel_coords": [7, 7, 10.5], "color": "alizarin", "shape": "cube", "size": "large"}
        for file, array in {f"images/{name}.png": image, f"segmentations/{name}/0.png": mask}.items():
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(root / file)
        write_json(root / f"scenes/{name}.json", {"objects": [thing]})


# What is written here


def _write_prepared(root: Path) -> None:
    arrays = {"images": np.arange(24, dtype=np.float32).reshape(2, 3, 4)}
    prepared.write(root, arrays, pd.DataFrame({"volume": ["a", "b"]}), {"classes": 2}, "X (synthetic, 1)")


def _read_prepared(root: Path) -> list:
    return [prepared.facts(root), prepared.table(root), np.array(prepared.array(root, "images"))]


def _write_weights(root: Path) -> None:
    weights.write(root / "seed0.safetensors", torch.nn.Linear(3, 2), {"in_features": 3, "out_features": 2})


def _read_weights(root: Path) -> list:
    model, facts = weights.read(root / "seed0.safetensors", torch.nn.Linear)
    return [facts, {name: tensor.cpu().numpy() for name, tensor in model.state_dict().items()}]


def _write_manifest(root: Path) -> None:
    write_text(root / "data/a.txt", "a")
    _manifest(root / "data").write(root / "manifest.json")


def _write_params(root: Path) -> None:
    write_text(root / "params.yaml", paths.at("params.yaml").read_text(encoding="utf-8"))
    for scale in params.SCALES:
        write_text(root / f"params/{scale}.yaml", "acdc:\n  patients: 3\n  step: 0.5\n")


def _read_params(root: Path) -> list:
    params.check(root)
    return [params.load(root / file) for file in ("params.yaml", "params/demo.yaml")]


def _write_claims(root: Path) -> None:
    write_text(root / "position.yaml", paths.at("claims/position.yaml").read_text(encoding="utf-8"))


def _write_notebook(root: Path) -> None:
    cell = nbformat.v4.new_code_cell("seed = 0\nname = 'a'", id="cell-00", metadata={"tags": ["parameters"]})
    notebooks.write(notebooks.normalise(nbformat.v4.new_notebook(cells=[cell])), root / "book.ipynb")


def _read_notebook(root: Path) -> list:
    path = root / "book.ipynb"
    notebook = notebooks.read(path)
    return [notebooks.parameters(notebook, str(path)), notebooks.normalise(notebook)]


_FRAMES = tuple(f"{PATIENT}/patient001_{end}.nii.gz" for end in ("frame01", "frame01_gt", "4d"))
_ACDC = dict(zip(("image", "gt", "4d"), _FRAMES, strict=True)) | {"info": f"{PATIENT}/Info.cfg"}
_MMWHS = {kind: f"ct_train/ct_train_1001_{kind}.nii.gz" for kind in ("image", "label")}
_DECATHLON = {"image": f"{TASK}/imagesTr/*.nii.gz", "label": f"{TASK}/labelsTr/*.nii.gz"}


def _pair(files: dict[str, str], image: str = "image", truth: str = "label") -> dict[str, tuple[str, ...]]:
    return {image: (files[truth],), truth: (files[image],)}


def _phantom(module, step: float) -> Callable[[Path], None]:
    return lambda root: module.write(root, 1, step, np.random.default_rng(0))


_STUDIES = {"image": "canine01/bold_frame01.nii.gz", "gt": "canine01/bold_frame01_gt.nii.gz"}
_OTHER_FRAMES = {kind: ("canine01/bold_frame0*.nii.gz",) for kind in _STUDIES}
_SERIES = "Pancreas-CT/PANCREAS_0001/*/*"

FORMATS = {
    "acdc": Sound(_write_acdc, _read_acdc, _ACDC, {kind: (*_FRAMES, "patient001_frame03") for kind in _ACDC}),
    "mmwhs": Sound(_phantom(mmwhs_phantom, 8), _read_mmwhs, _MMWHS, _pair(_MMWHS)),
    "decathlon": Sound(
        _phantom(decathlon_phantom, 8),
        _read_decathlon,
        _DECATHLON | {"list": f"{TASK}/dataset.json"},
        _pair(_DECATHLON) | {"list": (_DECATHLON["label"],)},
    ),
    "studies": Sound(_write_studies, _read_studies, _STUDIES, _OTHER_FRAMES),
    "predict-acdc": Sound(
        _write_acdc,
        _reads_layout("acdc", ["structure"] * 3),
        {kind: _ACDC[kind] for kind in ("image", "gt", "info")},
        _pair(_ACDC, truth="gt"),
    ),
    "predict-mmwhs": Sound(
        _phantom(mmwhs_phantom, 8), _reads_layout("mmwhs", ["structure"] * 7), _MMWHS, _pair(_MMWHS)
    ),
    "predict-decathlon": Sound(
        _phantom(decathlon_phantom, 8), _reads_layout("decathlon", ["structure"] * 5), _DECATHLON, _pair(_DECATHLON)
    ),
    "predict-studies": Sound(
        _write_studies, _reads_layout("studies", ["myocardium", "left ventricle"]), _STUDIES, _OTHER_FRAMES
    ),
    "pancreas": Sound(
        _phantom(pancreas_phantom, 8),
        _read_pancreas,
        {"slice": f"{_SERIES}/*.dcm", "label": "TCIA_pancreas_labels-*/label0001.nii.gz"},
        {"slice": ("Pancreas-CT/PANCREAS_0001",)},
    ),
    "ultrasound": Sound(_write_ultrasound, _read_ultrasound, {"frames": "ultrasound.hdf5"}),
    "jsrt": Sound(
        lambda root: jsrt_phantom.write(root, 1, np.random.default_rng(0)),
        _reads_chest(jsrt),
        {"image": "All247images/*.IMG", "mask": "SCR/fold*/masks/heart/*.gif"},
    ),
    "radiographs": Sound(
        _write_radiographs,
        _reads_chest(radiographs),
        {"image": "images/a.png", "jpeg": "images/b.jpg", "mask": "masks/heart/a.png", "table": "sources.csv"},
        {kind: ("masks/*/*.png",) for kind in ("image", "jpeg")},
    ),
    "clevr_seg": Sound(
        _write_clevr_seg,
        lambda root: [clevr_seg.read(_manifest(root), 24, rule) for rule in ("centre_of_mass", "pixel_coords")],
        {"image": "images/*0.png", "mask": "segmentations/*0/0.png", "scene": "scenes/*0.json"},
        {"image": ("segmentations/*0/0.png",), "scene": ("segmentations/*0",)},
    ),
    "prepared": Sound(
        _write_prepared, _read_prepared, {"array": "images.npy", "table": "table.csv", "facts": "facts.json"}
    ),
    "weights": Sound(_write_weights, _read_weights, {"weights": "seed0.safetensors"}),
    "manifest": Sound(
        _write_manifest, lambda root: Manifest.read(root / "manifest.json"), {"manifest": "manifest.json"}
    ),
    "params": Sound(_write_params, _read_params, {"switches": "params.yaml", "numbers": "params/demo.yaml"}),
    "claims": Sound(_write_claims, lambda root: claims.read(root / "position.yaml"), {"claims": "position.yaml"}),
    "notebook": Sound(_write_notebook, _read_notebook, {"notebook": "book.ipynb"}),
}
