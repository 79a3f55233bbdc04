"""Do networks learn as much in bfloat16? `python -m benchmarks.parity [scale [seed ..]]`, on data prepared before.

Four training notebooks run in both precisions with the same seeds. For each kind of network: the mean, over the seeds,
of the difference in the best validation score, its 90 % interval by Student's t, and whether that lies within a point
either way, which is two one-sided tests of equivalence at 5 %.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import t

from whereabouts import paths

MARGIN = 1.0  # points of Dice or F1
KINDS = {  # the notebook, and what it trains
    "2D, INSIDE U-Net": ("inside/06_train_acdc", {"arm": "inside-position"}),
    "2D, SDNet": ("sdnet/01_train", {"arm": "sdnet"}),
    "3D, Attention U-Net": ("gates/01_train_volumes", {"arm": "attention"}),
    "planes, AG-Sononet": ("gates/03_train_planes", {"method": "ag_sononet"}),
}


def trained(notebook: str, given: dict, scale: str, seeds: list[int], precision: str) -> pd.Series:
    """Best validation score, in per cent, of each network that the notebook leaves."""
    folder = f"build/parity/{scale}/{precision}/{notebook}"
    values = given | {"run": scale, "seed": seeds, "precision": precision, "out": folder}
    command = [sys.executable, "-m", "whereabouts.run", f"notebooks/{notebook}.ipynb", f"{folder}.ipynb"]
    command += [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in values.items()]
    subprocess.run(command, cwd=paths.ROOT, check=True)
    curves = {path.stem: pd.read_csv(path, sep="\t") for path in sorted(Path(paths.at(folder)).glob("*.tsv"))}
    return pd.Series({name: 100 * curve.filter(["dice", "f1"]).to_numpy().max() for name, curve in curves.items()})


def interval(differences: np.ndarray) -> tuple[float, float]:
    """Of their mean, 90 %; NaN for a single one."""
    n = len(differences)
    half = t.ppf(0.95, n - 1) * differences.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
    return differences.mean() - half, differences.mean() + half


def table(scale: str, seeds: list[int]) -> pd.DataFrame:
    """One row a kind of network."""
    rows = []
    for kind, (notebook, given) in KINDS.items():
        full, half = (trained(notebook, given, scale, seeds, precision) for precision in ("float32", "bfloat16"))
        low, high = interval((half - full).to_numpy())
        same = "yes" if low > -MARGIN and high < MARGIN else "not shown"
        numbers = (
            f"{full.mean():.1f}",
            f"{half.mean():.1f}",
            f"{(half - full).mean():+.2f}",
            f"{low:+.2f} to {high:+.2f}",
        )
        rows.append((kind, str(len(full)), *numbers, same))
    heads = ["network", "n", "float32", "bfloat16", "difference", "90 % interval", f"within ± {MARGIN:g}"]
    return pd.DataFrame(rows, columns=heads)


if __name__ == "__main__":
    scale, *numbers = sys.argv[1:] or ["demo"]
    print(table(scale, [int(number) for number in numbers] or [1, 2, 3, 4, 5]).to_markdown(index=False))
