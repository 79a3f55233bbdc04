"""All claims of a run in one picture, a panel a chapter: `python -m whereabouts.reporting.forest OUT CHAPTER ..`.

It is drawn from the results by seed and unit that are kept beside the tables of each chapter.
"""

import sys
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import TICKRIGHT, Line2D
from matplotlib.patches import Patch

from whereabouts import files, paths
from whereabouts.errors import InputError
from whereabouts.pipeline import system
from whereabouts.pipeline.runs import same_scale
from whereabouts.reporting import claims, plotting, units, verdicts
from whereabouts.reporting.judging import WORDS, Verdict, effect
from whereabouts.reporting.tables import Origin
from whereabouts.reporting.units import Units

LINEAR = 5  # points to either side of the margin up to which the axis is linear; beyond, it is logarithmic
MOST = 100  # points
ROW = 0.118  # inches
COLOURS = dict(zip(WORDS, ("#0072b2", "#d55e00", "#767676", "#767676"), strict=True))  # Okabe and Ito's
MARKERS = {
    "reproduced": {"marker": "o", "markerfacecolor": COLOURS["reproduced"]},
    "contradicted": {"marker": "s", "markerfacecolor": "white"},
    "undecided": {"marker": "d", "markerfacecolor": COLOURS["undecided"], "markersize": 3},
    "not run": {"marker": TICKRIGHT, "markersize": 4},
}
CLAIMED = "#e6eff6"
PAPER = {"marker": "D", "markerfacecolor": "none", "markeredgecolor": "black", "markeredgewidth": 0.5, "markersize": 3}


def ranked(judged: list[Verdict]) -> list[Verdict]:
    """From the one furthest on its claim's side downwards; what was not run last, in the order of the file."""
    ran = [verdict for verdict in judged if verdict.word != "not run"]
    return sorted(ran, key=lambda v: -(v.mean - origin(v.claim))) + [v for v in judged if v.word == "not run"]


def origin(claim: dict) -> float:
    """What is 0 in the picture: the margin, or the middle between two."""
    low, high = claims.bounds(claim)
    return low if np.isinf(high) else (low + high) / 2


def panel(ax: plt.Axes, kept: Units, judged: list[Verdict]) -> None:
    """A row a claim: where its interval should lie, where it does, and where the paper's own mean is."""
    rows = ranked(judged)
    page = "/".join(["..", *kept.folder.parts[-2:], "claims.md"])
    links = [f"{page}#:~:text={verdict.claim['id'].replace('-', '%2D')}" for verdict in rows]  # its row there
    for y, verdict in enumerate(rows):
        zero, word = origin(verdict.claim), verdict.word
        low, high = np.clip(np.array(claims.bounds(verdict.claim)) - zero, -MOST, MOST)
        ax.barh(y, high - low, left=low, height=0.8, color=CLAIMED)
        if verdict.interval:
            ends = [verdict.interval.low - zero, verdict.interval.high - zero]
            ax.plot(
                ends, [y, y], color=COLOURS[word], linewidth=1, linestyle=":" if verdict.interval.seeds == 1 else "-"
            )
        x = -MOST if word == "not run" else verdict.mean - zero
        style = {"markersize": 3.5, "markeredgewidth": 0.8} | MARKERS[word]
        (dot,) = ax.plot(
            np.clip(x, -MOST, MOST), y, markeredgecolor=COLOURS[word], linestyle="", clip_on=False, **style
        )
        dot.set_url(links[y])
        if (paper := effect(verdict.claim)) is not None:
            ax.plot(np.clip(paper.mean - zero, -MOST, MOST), y, zorder=1.5, **PAPER)
    ax.axvline(0, color="black", linewidth=0.6)
    ax.set_xscale("symlog", linthresh=LINEAR, linscale=1)
    ax.set(xlim=(-MOST, MOST), ylim=(len(rows) - 0.4, -0.6))
    ax.set_xticks([-50, -10, 0, 10, 50], ["-50", "-10", "0", "10", "50"], fontsize=5)
    ax.set_xticks([-5, 5], minor=True)
    ax.set_yticks(range(len(rows)), [verdict.claim["id"] for verdict in rows], fontsize=5)
    ax.tick_params(length=2, pad=1.5)
    ax.tick_params(axis="y", length=0)
    for label, link, verdict in zip(ax.get_yticklabels(), links, rows, strict=True):
        label.set(url=link, color=COLOURS[verdict.word] if verdict.word != "not run" else "0.6")
        label.set_fontweight("bold" if verdict.claim.get("central") else "normal")
    said = pd.Series([verdict.word for verdict in rows], dtype=object).value_counts()
    counts = ", ".join(f"{said.get(word, 0)} {word}" for word in WORDS)
    ax.set_title(f"{kept.title.split(':')[0]}: {counts}", fontsize=6, loc="right", pad=3)


def columns(rows: list[int]) -> list[list[int]]:
    """Chapters by number of rows in two columns of about the same height: the longest first, each to the shorter."""
    found = [[], []]
    for number in sorted(range(len(rows)), key=lambda n: -rows[n]):
        min(found, key=lambda column: sum(rows[n] + 4 for n in column)).append(number)
    return [column for column in found if column]


def draw(chapters: list[tuple[Units, list[Verdict]]]) -> plt.Figure:
    """The picture.

    Args:
        chapters: the results of each with their verdicts, at least one.

    Raises:
        InputError: chapters of different scales.
    """
    plotting.style()
    plt.rcParams["svg.fonttype"] = "none"  # ids that can be searched
    rows = [len(judged) for _, judged in chapters]
    placed = columns(rows)
    tall = max(sum(rows[n] + 4 for n in column) for column in placed)
    figure = plt.figure(figsize=(3.75 * len(placed), ROW * tall + 0.7))
    for half, column in zip(np.atleast_1d(figure.subfigures(1, len(placed))), placed, strict=True):
        spare = tall - sum(rows[n] + 4 for n in column)
        heights = [rows[n] + 4 for n in column] + ([spare] if spare else [])
        axes = half.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
        for ax, n in zip(axes, column, strict=False):
            panel(ax, *chapters[n])
        for ax in axes[len(column) :]:
            ax.set_axis_off()
    handles = [
        Line2D([], [], linestyle="-" if word in WORDS[:3] else "", color=COLOURS[word], label=word, markersize=4)
        for word in WORDS
    ]
    for handle, word in zip(handles, WORDS, strict=True):
        handle.set(**{"markeredgecolor": COLOURS[word]} | MARKERS[word])
    handles += [
        Line2D([], [], color="black", linestyle=":", label="one seed"),
        Line2D([], [], linestyle="", label="the paper's own", **PAPER),
        Patch(color=CLAIMED, label="claimed"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False, fontsize=6)
    figure.supxlabel(_caption([kept for kept, _ in chapters]), fontsize=5, color="0.35")
    return figure


def _caption(all_kept: list[Units]) -> str:
    scale = same_scale(*(kept.origin.scale for kept in all_kept))
    axis = "Estimate less margin, with its 90 % interval; linear up to 5, logarithmic beyond; in the claims' own units."
    labels = dict.fromkeys(
        label for kept in all_kept for said in kept.labels.values() for label in said.replace(";\n", "; ").split("; ")
    )
    said = textwrap.wrap(f"{axis} Bold: central claims. {Origin(scale, '; '.join(labels))}", 150)
    return plotting.literal("\n".join(said), 180)


def write(folder: Path, places: list[Path]) -> None:
    """Draw the chapters whose results are in `places`, such as paper_figures/demo/inside: `folder`/forest.svg and .png.

    Raises:
        InputError: one of them keeps no units, or they are of different scales.
    """
    chapters = [units.read(place) for place in places]
    judged = [verdicts.verdicts(claims.read(paths.at(kept.claims)), kept.tables) for kept in chapters]
    figure = draw(list(zip(chapters, judged, strict=True)))
    files.write_bytes(folder / "forest.svg", plotting.svg(figure))
    files.write_bytes(folder / "forest.png", plotting.png(figure))
    plt.close(figure)


def main(arguments: list[str]) -> None:
    if len(arguments) < 2:
        raise InputError("forest: no chapters; give a folder for the figure, and those of one or more chapters")
    folder, *places = map(paths.at, arguments)
    write(folder, places)


if __name__ == "__main__":
    system.command(main, sys.argv[1:])
