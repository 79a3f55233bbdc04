"""What only the figures of Attention Gated Networks' chapter draw: boxes, and what a network finds and misses."""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from whereabouts.reporting import plotting

_PALETTE = sns.color_palette("colorblind", 10)
TRUTH, FOUND = _PALETTE[0], _PALETTE[3]  # blue and red, as in the paper's Figure 7
ANSWERS = {"found": _PALETTE[2], "missed": _PALETTE[3], "wrongly found": _PALETTE[0]}


def box(ax: plt.Axes, place: tuple[float, float, float, float], colour: tuple) -> None:
    """A box (top, left, bottom, right) in pixels, the last two exclusive."""
    top, left, bottom, right = place
    edges = {"edgecolor": colour, "facecolor": "none", "linewidth": 1.2}
    seen = [withStroke(linewidth=2.4, foreground="white")]  # on dark and on light
    ax.add_patch(Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, path_effects=seen, **edges))


def answer(ax: plt.Axes, image: np.ndarray, found: np.ndarray, there: np.ndarray, title: str = "") -> None:
    """A grey image (H, W) in [0, 1], with what is found, missed and wrongly found of a structure in three colours."""
    plotting.show(ax, image, title)
    kinds = 1 * (found & there) + 2 * (~found & there) + 3 * (found & ~there)
    shown = np.ma.masked_equal(kinds, 0)
    ax.imshow(shown, cmap=ListedColormap(list(ANSWERS.values())), vmin=1, vmax=3, alpha=0.7)


def attention_bar(figure: plt.Figure, shown: ScalarMappable, axes: np.ndarray, label: str) -> None:
    """The scale of attention maps, right of all `axes`."""
    bar = figure.colorbar(shown, ax=axes, fraction=0.03, pad=0.02)
    bar.set_label(label, fontsize=7)
    bar.ax.tick_params(labelsize=6)


def legend(figure: plt.Figure, colours: dict[str, tuple]) -> None:
    """Name colours, above a figure."""
    plotting.colour_legend(figure, colours, loc="outside upper center", ncols=len(colours), fontsize=7)
