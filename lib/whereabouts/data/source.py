"""Where a data set's raw files come from: made here, or placed under `data/raw`. One switch, no fallback.

`python -m whereabouts.data.source` indexes what is under `data/raw`.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from whereabouts import files, paths
from whereabouts.data.manifest import Manifest
from whereabouts.errors import InputError
from whereabouts.pipeline import system


@dataclass(frozen=True)
class Dataset:
    """A data set that may lie under `data/raw`.

    Args:
        name: as printed.
        folder: below `data/raw`.
        switch: in `params.yaml`, below `data`.
        licence: of those files.
        state: what tables and figures call them.
    """

    name: str
    folder: str
    switch: str
    licence: str
    state: str = "real"


DATASETS = {
    "acdc": Dataset("ACDC", "acdc", "acdc", "Bernard et al. 2018, CC BY-NC-SA 4.0"),
    "clevr_seg": Dataset("CLEVR-Seg", "clevr-seg", "clevr_seg", "Jacenków et al. 2020", "released"),
    "mmwhs": Dataset("MM-WHS", "mmwhs", "mmwhs", "Zhuang and Shen 2016; research on registration"),
    "jsrt": Dataset("JSRT", "jsrt", "chest", "Shiraishi et al. 2000; masks: van Ginneken et al. 2006"),
    "radiographs": Dataset(
        "Chest radiographs",
        "radiographs",
        "chest",
        "images CC BY-NC-SA, CC BY or CC BY-SA, see sources.csv; masks CC BY 4.0",
    ),
    "decathlon": Dataset("Decathlon", "decathlon", "volumes", "Antonelli et al. 2022, CC BY-SA 4.0"),
    "pancreas_ct": Dataset("Pancreas-CT", "pancreas-ct", "pancreas", "Roth et al. 2016, TCIA, CC BY 3.0"),
    "ultrasound": Dataset("Fetal ultrasound", "ultrasound", "ultrasound", "your own"),
}


def provide(dataset: str, source: str, folder: Path, write: Callable[[Path], None]) -> Manifest:
    """The manifest of the raw data set, also written as `folder/manifest.json`.

    Args:
        dataset: one of `DATASETS`.
        source: "synthetic" makes the files anew below `folder/raw`; any other word takes those that
            `python -m whereabouts.data.source` found under `data/raw`, and makes nothing.
        folder: where to write.
        write: makes the synthetic files below the folder that it is given.

    Raises:
        InputError: the source is not "synthetic" and there are no files; or as `make`.
    """
    folder = paths.at(folder)
    known = DATASETS[dataset]
    if source == "synthetic":
        return make(known.name, folder, write)
    _check_ours(folder)
    found = Manifest.read(f"build/index/{dataset}.json")
    manifest = Manifest(found.dataset, known.state, found.root, found.files, known.licence)
    if not manifest.files:
        tracked = sorted(paths.RAW.glob(f"{known.folder}.dvc")) or sorted(paths.RAW.glob(f"{known.folder}/*.dvc"))
        pull = "".join(f"run `dvc pull {paths.shown(path)}`, " for path in tracked[:1])
        raise InputError(
            f"data/raw/{known.folder}: no files, and params.yaml says data.{known.switch}: *{source}; {pull}place or "
            f"link the data set there (data/README.md says how), or set data.{known.switch}: *synthetic"
        )
    with files.new_folder(folder / "raw"):  # an empty one: DVC asks for all that a stage may leave
        shutil.rmtree(folder / "raw", ignore_errors=True)
    manifest.write(folder / "manifest.json")
    return manifest


def make(name: str, folder: Path, write: Callable[[Path], None]) -> Manifest:
    """The manifest of a synthetic data set called `name`, made anew below `folder/raw`; see `provide`.

    Raises:
        InputError: `folder/raw` or `folder/manifest.json` is not what was left there before; it stays as it is.
    """
    folder = paths.at(folder)
    _check_ours(folder)
    with files.new_folder(folder / "raw") as made:
        write(made)
        manifest = replace(Manifest.of(name, "synthetic", made), root=paths.shown(folder / "raw"))
        shutil.rmtree(folder / "raw", ignore_errors=True)
        manifest.write(folder / "manifest.json")
    return manifest


def _check_ours(folder: Path) -> None:
    """Raise InputError if there is anything at `folder/raw` but files that `folder/manifest.json` names."""
    raw, known, other = folder / "raw", {}, "name another folder for `out`"
    given = [paths.RAW, *(path for path in paths.RAW.glob("*") if path.is_dir())]  # the second may be links
    if any(raw.resolve().is_relative_to(one.resolve()) for one in given):
        raise InputError(f"{paths.shown(raw)}: lies below data/raw, where nothing is written; {other}")
    if os.path.lexists(folder / "manifest.json"):
        try:
            known = Manifest.read(folder / "manifest.json").files
        except InputError:
            there = paths.shown(folder / "manifest.json")
            raise InputError(f"{there}: not written here, and nothing is overwritten; {other}") from None
    found = [raw] if raw.is_symlink() or raw.is_file() else [path for path in raw.rglob("*") if not _is_folder(path)]
    sizes = {path: known.get(path.relative_to(raw).as_posix(), {}).get("size") for path in found}
    strange = [path for path, size in sizes.items() if path.is_symlink() or path.lstat().st_size != size]
    if strange:
        more = f" and {len(strange) - 1} more" if len(strange) > 1 else ""
        raise InputError(f"{paths.shown(min(strange))}{more}: not made here, and nothing is erased; {other}")


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def index() -> None:
    """Write the manifest of everything under `data/raw` to `build/index/<dataset>.json`."""
    for dataset, known in DATASETS.items():
        Manifest.of(known.name, known.state, paths.RAW / known.folder).write(
            paths.at("build/index") / f"{dataset}.json"
        )


if __name__ == "__main__":
    system.command(index)
