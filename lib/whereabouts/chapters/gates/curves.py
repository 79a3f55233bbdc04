"""How the networks of the attention gates' chapter learnt: their scores on the validation set, step by step."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from whereabouts import paths
from whereabouts.chapters.gates.plane_tables import SIZES, sized
from whereabouts.formats.csv_tables import read_table
from whereabouts.methods.gates import GATES_NAMES, PANCREAS_ARMS, PLANE_METHODS, STARTS, TABLED
from whereabouts.reporting import curves as plots
from whereabouts.reporting import plotting

# the columns of the tables for `dvc plots`, which are the same at every scale
VOLUMES = tuple(TABLED)
PANCREAS = tuple(name for name, one in PANCREAS_ARMS.items() if one.start != "before")  # those that are trained
PLANES = tuple(f"{method}-{size}" for size in SIZES for method in PLANE_METHODS)

_DASHES = {"quarter": "--", "matched": "-.", "huge": ":", "scratch": "--"}


def read(trained: str, seeds: list[int]) -> pd.DataFrame:
    """Every learning curve of trainings with these seeds.

    Returns:
        Columns network, seed, step, loss and what was measured, "dice" or "f1"; of classifiers also part.
    """
    curves = []
    for seed in seeds:
        for path in paths.made(trained, f"*-{seed}/*-{seed}.tsv"):
            curves.append(read_table(path).assign(network=path.stem.removesuffix(f"-{seed}"), seed=seed))
    return pd.concat(curves, ignore_index=True)


def by_size(curves: pd.DataFrame, planes: pd.DataFrame) -> pd.DataFrame:
    """Curves of classifiers called by size, as in `PLANES`: sononet-2 becomes sononet-small where 2 is the narrowest.

    Args:
        planes: predictions, see `whereabouts.chapters.gates.plane_tables`.
    """
    method, width = (curves.network.str.rsplit("-", n=1).str[k] for k in (0, 1))
    rows = sized(curves.assign(method=method, width=width.astype(int)), planes)
    return rows.assign(network=rows["method"] + "-" + rows["size"])


def write(path: Path, curves: pd.DataFrame, measure: str, networks: tuple[str, ...]) -> None:
    """Write the table for `dvc plots`: step, and a column for each of `networks`, empty where it was not run."""
    found = {name: [one for _, one in curves[curves.network == name].groupby("seed")] for name in networks}
    plots.write(path, found, measure)


def draw(curves: pd.DataFrame, measure: str, panels: dict[str, tuple[str, ...]]) -> plt.Figure:
    """A panel for each of `panels`, title -> networks, with a line a network and seed; grey where a part ends.

    Args:
        measure: the column that is drawn, in [0, 1].
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(7.2, 3.2), sharey=True)
    for ax, (title, networks) in zip(axes, panels.items(), strict=True):
        for (name, _), one in curves[curves.network.isin(networks)].groupby(["network", "seed"]):
            ax.plot(one.step, one[measure], marker="o", markersize=2, **line(name))
            for end in one.groupby("part", sort=False).step.max()[:-1] if "part" in one else []:
                ax.axvline(end, color="0.85", linewidth=0.8, zorder=0)
        ax.set(title=title, xlabel="step")
        ax.xaxis.get_major_locator().set_params(integer=True)
        if named := {of.get_label(): of for of in ax.lines if not of.get_label().startswith("_")}:
            below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.25)}
            ax.legend(handles=list(named.values()), frameon=False, fontsize=6, **below)
    axes[0].set_ylabel(f"validation {measure.capitalize()}")
    return figure


def line(network: str) -> dict[str, object]:
    """Name, colour and dashes of a network: grey without gates, as everywhere; no dashes for the paper's main ones."""
    first, _, last = network.partition("-")
    name = GATES_NAMES.get(network, GATES_NAMES[first]) + (", quarter of the scans" if last == "quarter" else "")
    name += f", {STARTS[last]}" if last in STARTS else ", a fold each" if last.startswith("fold") else ""
    method = "inside" if "inside" in first else "attention" if first not in ("unet", "sononet") else "unet"
    dashes = "--" if first.startswith("asked") else _DASHES.get(last, "-")
    return {"label": name, "color": plotting.METHOD_COLOURS[method], "linestyle": dashes}
