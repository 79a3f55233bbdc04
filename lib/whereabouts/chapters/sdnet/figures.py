"""How the networks of the SDNet chapter came to be what they are, drawn."""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns

from whereabouts.methods.sdnet import SDNET_ARMS, SDNET_METHODS, SDNET_NAMES
from whereabouts.reporting.plotting import METHOD_COLOURS, literal

COLUMNS = 4  # panels in a row


def looks(arms: list[str]) -> dict[str, dict]:
    """arm -> how its line is drawn: in its method's colour, dashed where masks are withheld; variants in their own.

    SDNet, trained for as long as its variants, is dotted.
    """
    variants = [arm for arm in arms if SDNET_ARMS[arm].masks == "all" and arm not in (*SDNET_METHODS, "sdnet-base")]
    own = dict(zip(variants, sns.color_palette("husl", len(variants)), strict=True))
    return {
        arm: {
            "color": own.get(arm, METHOD_COLOURS[SDNET_ARMS[arm].method]),
            "linestyle": ":" if arm == "sdnet-base" else "--" if SDNET_ARMS[arm].masks == "labelled" else "-",
            "label": SDNET_NAMES[arm],
        }
        for arm in arms
    }


def validation(panels: dict[str, pd.DataFrame], key: str, looks: dict[str, dict]) -> plt.Figure:
    """Validation Dice against optimiser steps, a line a network.

    Args:
        panels: title -> the rows of `curves` that are drawn together.
        key: the column by which lines are told apart, "arm" or "mixture".
        looks: its values -> options of `plot`, with a label, which is printed as it is.
    """
    rows, columns = -(-len(panels) // COLUMNS), min(len(panels), COLUMNS)
    figure, axes = plt.subplots(
        rows, columns, figsize=(2.4 * columns + 0.4, 2 * rows + 0.6), sharey=True, squeeze=False
    )
    named = {}
    for ax, title in zip(axes.flat, panels, strict=False):
        networks = [name for name in panels[title] if name not in ("step", "loss", "dice")]
        for _, curve in panels[title].groupby(networks, sort=False):
            look = looks[curve[key].iloc[0]]
            (line,) = ax.plot(curve.step, 100 * curve.dice, marker=".", **(look | {"label": literal(look["label"])}))
            named.setdefault(line.get_label(), line)
        ax.set(xlabel="step", title=literal(title))
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    for ax in axes[:, 0]:
        ax.set_ylabel("validation Dice [%]")
    figure.legend(handles=list(named.values()), loc="outside lower center", ncols=4, fontsize=6, frameon=False)
    return figure
