"""Where a data set's raw files come from: made here, or placed under `data/raw`. One switch, no fallback.

`python -m lib.data.source` indexes what is under `data/raw`.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

from lib import paths
from lib.data.manifest import Manifest
from lib.errors import InputError

# name in params.yaml -> name as printed, folder under data/raw, licence of what is found there
DATASETS = {
    "acdc": ("ACDC", "acdc", "Bernard et al. 2018, CC BY-NC-SA 4.0"),
    "clevr_seg": ("CLEVR-Seg", "clevr-seg", "Jacenków et al. 2020"),
}


def provide(dataset: str, source: str, folder: Path, write: Callable[[Path], None]) -> Manifest:
    """The manifest of the raw data set, also written as `folder/manifest.json`.

    Args:
        dataset: one of `DATASETS`.
        source: "synthetic" makes the files anew below `folder/raw`; any other word takes those that
            `python -m lib.data.source` found under `data/raw`, and makes nothing.
        folder: where to write.
        write: makes the synthetic files below the folder that it is given.

    Raises:
        InputError: the source is not "synthetic" and there are no files.
    """
    folder = paths.at(folder)
    raw = folder / "raw"
    shutil.rmtree(raw, ignore_errors=True)
    raw.mkdir(parents=True)
    name, below, licence = DATASETS[dataset]
    if source == "synthetic":
        write(raw)
        manifest = Manifest.of(name, source, raw)
    else:
        found = Manifest.read(f"build/index/{dataset}.json")
        manifest = Manifest(found.dataset, source, found.root, found.files, licence)
        if not manifest.files:
            raise InputError(
                f"data/raw/{below}: no files, and params.yaml says data.{dataset}: *{source}; place or link the data "
                f"set there (data/README.md says how), or set data.{dataset}: *synthetic"
            )
    manifest.write(folder / "manifest.json")
    return manifest


def index() -> None:
    """Write the manifest of everything under `data/raw` to `build/index/<dataset>.json`."""
    for dataset, (name, below, _) in DATASETS.items():
        Manifest.of(name, "real", paths.RAW / below).write(paths.at("build/index") / f"{dataset}.json")


if __name__ == "__main__":
    index()
