"""`python -m whereabouts.data.push [read]`: `dvc push`, once the licences of the real data in it have been read.

DVC asks nobody, and plain `dvc push` pushes the same.
"""

import os
import sys

from whereabouts import paths
from whereabouts.data.source import DATASETS
from whereabouts.errors import InputError
from whereabouts.pipeline import plain_yaml, system


def licences() -> list[str]:
    """A line with its licence for each data set that DVC tracks, and for each real one that outputs are made of."""
    known = {one.folder: one for one in DATASETS.values()}
    lines = []
    for path in sorted([*paths.RAW.glob("*.dvc"), *paths.RAW.glob("decathlon/*.dvc")]):
        dataset = known.get(path.relative_to(paths.RAW).with_suffix("").parts[0])
        said = f"{dataset.name}: {dataset.licence}" if dataset else "none that data/README.md lists; licence not known"
        lines.append(f"{paths.shown(path)}: {said}")
    for switch, source in plain_yaml.load(paths.at("params.yaml"))["data"].items():
        if source["name"] != "synthetic":
            dataset = DATASETS.get(source["name"]) or next(one for one in DATASETS.values() if one.switch == switch)
            made = "arrays, weights and notebooks made of it"
            lines.append(f"params.yaml: {switch}: {made}: {dataset.name}: {dataset.licence}")
    return lines


def push(said: str) -> None:
    """Print the licences, and push where there are none or `said` is "read".

    Raises:
        InputError: there are, and it is not.
    """
    lines = licences()
    for line in lines:
        print(line, flush=True)
    if lines and said != "read":
        raise InputError(f"LICENCE={said}: not `read`; read these, and where they allow it `make push LICENCE=read`")
    os.execv(sys.executable, [sys.executable, "-m", "dvc", "push"])


if __name__ == "__main__":
    system.command(push, " ".join(sys.argv[1:]))
