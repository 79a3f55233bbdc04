"""What the jobs of a sweep left, side by side: one table, and one picture of their training curves."""

import json
from collections.abc import Iterable
from pathlib import Path
from textwrap import fill

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from safetensors import safe_open

from whereabouts.formats.csv_tables import read_table
from whereabouts.reporting import plotting
from whereabouts.reporting.tables import Origin

SCORES = ("dice", "soft_dice", "precision", "recall", "surface", "contour")  # of tables
GROUPS = ("factor", "unit", "when", "kind", "level", "method", "arm", "mixture")  # each has a mean of its own
COLUMNS = ["network", "measure", "value", "step", "rows"]


def gather(left: dict[str, Path], points: dict[str, dict]) -> tuple[pd.DataFrame, dict[str, dict[str, pd.DataFrame]]]:
    """Every training curve (.tsv) and every table of scores (scores.csv, dice.csv), at any depth.

    Args:
        left: job -> the folder of what it left.
        points: job -> the values that are swept in it.

    Returns:
        A table: a column for each swept parameter, then job and `COLUMNS`. A curve is a row, with its best validation
        score and the step of it; a table of scores is one for each of its means.
        Network -> job -> its curve: columns step, loss and the validation score.
    """
    rows, curves = [], {}
    for job, folder in left.items():
        said = {key: value if isinstance(value, str) else json.dumps(value) for key, value in points[job].items()}
        for path in sorted(folder.rglob("*.tsv")):
            network = path.relative_to(folder).with_suffix("").as_posix()
            curve = curves.setdefault(network, {})[job] = read_table(path)
            score = curve.columns[2]
            best = curve.loc[curve[score].fillna(float("-inf")).idxmax()]
            of = {"network": network, "measure": f"best validation {score}", "value": best[score], "step": best.step}
            rows.append({**said, "job": job, **of, "rows": len(curve)})
        for path in sorted([*folder.rglob("scores.csv"), *folder.rglob("dice.csv")]):
            place = path.parent.relative_to(folder)
            rows += [{**said, "job": job, **row} for row in _means(read_table(path), place.parts)]
    table = pd.DataFrame(rows, columns=[*next(iter(points.values()), {}), "job", *COLUMNS])
    return table.astype({"step": "Int64"}), curves


def origins(left: Iterable[Path]) -> str:
    """Scale and data, a line for each, of the weights below these folders, as the weights themselves have it."""
    found = {}
    for path in (path for folder in left for path in sorted(folder.rglob("*.safetensors"))):
        with safe_open(path, framework="np") as file:
            data = json.loads((file.metadata() or {}).get("about", "{}")).get("data")
        if data:
            found[str(Origin(data["scale"], data["label"]))] = None
    return "\n".join(found)


def _means(table: pd.DataFrame, place: tuple[str, ...]) -> list[dict]:
    """The mean of every score in a table, for each network and unit in it."""
    groups = [column for column in GROUPS if column in table]
    rows = []
    for key, part in table.groupby(groups, sort=False, dropna=False) if groups else [((), table)]:
        of = " ".join(map(str, (*place, *key)))
        for score in (column for column in SCORES if column in table):
            rows.append({"network": of, "measure": f"mean {score}", "value": part[score].mean(), "rows": len(part)})
    return rows


def draw(curves: dict[str, dict[str, pd.DataFrame]], labels: dict[str, str], caption: str) -> bytes:
    """The validation curves of `gather` as a PNG: a panel a network, a colour a job.

    Args:
        labels: job -> how it is called, in the order of the colours.
        caption: printed below: where they came from.
    """
    plotting.style()
    colours = dict(zip(labels, sns.color_palette("viridis", len(labels)), strict=True))
    columns = min(len(curves), 4)
    lines = -(-len(curves) // columns)
    size = (
        1.9 * columns + 0.8 + 0.06 * max(map(len, labels.values())),
        1.7 * lines + 0.6,
    )  # in inches; the legend beside
    figure, axes = plt.subplots(lines, columns, figsize=size, sharex=True, sharey=True, squeeze=False)
    for ax in axes.flat[len(curves) :]:
        ax.remove()
    for ax, (network, of) in zip(axes.flat, curves.items(), strict=False):
        for job, curve in of.items():
            ax.plot(curve.step, curve.iloc[:, 2], color=colours[job], marker="o", markersize=2, linewidth=1)
        ax.set(title=plotting.literal(network, 30), xlabel="step", ylabel=f"validation {curve.columns[2]}")
        ax.label_outer()
    named = {label: colours[job] for job, label in labels.items()}
    plotting.colour_legend(figure, named, loc="outside right upper", fontsize=7)
    said = "\n".join(fill(line, int(20 * size[0])) for line in caption.splitlines())
    figure.supxlabel(plotting.literal(said, 400), fontsize=6, color="0.35")
    picture = plotting.png(figure)
    plt.close(figure)
    return picture
