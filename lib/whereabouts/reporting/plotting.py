"""One look for every figure: print-ready, colour-blind safe, the same colour for a method everywhere."""

import io
from itertools import cycle
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from cycler import cycler
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from PIL import Image

from whereabouts import files
from whereabouts.data.cardiac import STRUCTURES
from whereabouts.errors import printable
from whereabouts.methods.inside import METHOD_NAMES
from whereabouts.methods.position import POSITION_ARMS, POSITION_NAMES
from whereabouts.reporting.tables import Origin

# seaborn's "colorblind", "dark" and "flare", written out: to import it takes as long as all else that draws
_BRIGHT = ("0173b2", "de8f05", "029e73", "d55e00", "cc78bc", "ca9161", "fbafe4", "949494", "ece133", "56b4e9")
_PALETTE = [to_rgb(f"#{colour}") for colour in _BRIGHT]
_DARK = [to_rgb(f"#{colour}") for colour in ("591e71", "592f0d", "a23582", "3c3c3c", "b8850a", "006374")]
_OWN = ["black", *_DARK[1:]]  # of methods of one's own
_INK = "0.15"


class _Colours(dict):
    """Colours by method; one that `methods.register` added gets the next of its own when it is first asked for."""

    def __missing__(self, name: str) -> object:
        if name not in METHOD_NAMES:
            raise KeyError(name)
        own = sum(colour in _OWN for colour in self.values())
        return self.setdefault(name, _OWN[own % len(_OWN)])


METHOD_COLOURS = _Colours(
    {
        "baseline": _PALETTE[7],
        "film": _PALETTE[1],
        "guiding_block": _PALETTE[2],
        "single": _PALETTE[8],
        "multiple": _PALETTE[9],
        "inside_single": _PALETTE[4],
        "inside": _PALETTE[0],
        "unet": _PALETTE[7],  # told nothing is grey, as everywhere
        "gan": _PALETTE[6],
        "self_train": _PALETTE[5],
        "sdnet": _PALETTE[3],
        "attention": _DARK[0],
    }
)
SCALE_COLOURS = {  # of lambda: told nothing is grey, as everywhere
    0: METHOD_COLOURS["baseline"],
    1: to_rgb("#ea916e"),
    10: to_rgb("#c14168"),
    256: to_rgb("#672a6b"),
}
STRUCTURE_COLOURS = {
    "right ventricle": _PALETTE[9],
    "myocardium": _PALETTE[8],
    "left ventricle": _PALETTE[3],
    "right lung": _PALETTE[9],
    "left lung": _PALETTE[8],
    "heart": _PALETTE[3],
    "left atrium": _PALETTE[2],
    "right atrium": _PALETTE[0],
    "pulmonary artery": _PALETTE[4],
    "ascending aorta": _PALETTE[6],
    "spleen": _PALETTE[9],
    "pancreas": _PALETTE[3],
    "kidneys": _PALETTE[8],
    "anterior": _PALETTE[9],
    "posterior": _PALETTE[3],
}
ATTENTION = "viridis"  # the colours of attention maps, from 0
VALUE_NAMES = {"alizarin": "red", "nephritis": "green", "orange": "yellow", "triangle": "prism"}  # in the paper


def value_name(value: str) -> str:
    """A value of a CLEVR-Seg factor in the paper's words."""
    return VALUE_NAMES.get(value, value).replace("_", " ")


def style() -> None:
    """Set matplotlib up, whatever the user's own settings and fonts; called once at the top of what draws."""
    matplotlib.rcdefaults()
    plt.rcParams |= {f"{axis}tick.color": _INK for axis in "xy"} | {f"{axis}tick.labelsize": 8 for axis in "xy"}
    plt.rcParams |= {
        "text.color": _INK,
        "axes.edgecolor": _INK,
        "axes.labelcolor": _INK,
        "axes.axisbelow": True,
        "axes.linewidth": 1,
        "axes.prop_cycle": cycler(color=_PALETTE),
        "legend.fontsize": 8,
        "lines.linewidth": 1.2,
        "lines.markersize": 4.8,
        "lines.solid_capstyle": "round",
        "patch.edgecolor": "white",
        "patch.force_edgecolor": True,
        "patch.linewidth": 0.8,
        "figure.dpi": 100,
        "savefig.dpi": 200,
        "figure.constrained_layout.use": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "font.sans-serif": ["DejaVu Sans"],  # matplotlib's own, which is everywhere the same
        "font.size": 8,
        "axes.titlesize": 8,
        "axes.labelsize": 8,
        "image.interpolation": "nearest",
        "svg.hashsalt": "whereabouts",
    }


def literal(text: str, most: int = 60) -> str:
    """`text` as matplotlib is given it to print what is written: whatever comes from data, names above all.

    No mathematics between dollar signs; what cannot be seen, or has no sign in the font, as Python's escapes; of lines
    of more than `most` characters the middle left out.
    """
    font, lines = get_font(findfont(FontProperties())), []
    for line in text.split("\n"):
        seen = printable(line)
        seen = "".join(c if font.get_char_index(ord(c)) else c.encode("unicode_escape").decode() for c in seen)
        if len(seen) > most:
            seen = f"{seen[: most // 2]}…{seen[len(seen) - (most - most // 2 - 1) :]}"
        lines.append(seen.replace("$", r"\$"))
    return "\n".join(lines)


def png(figure: plt.Figure) -> bytes:
    """`figure` as a picture, the same bytes each time."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def svg(figure: plt.Figure) -> bytes:
    """`figure` as SVG, the same bytes each time."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def save(figure: plt.Figure, folder: Path, name: str, origin: Origin) -> None:
    """Write `figure` as `folder/name.png` with where it came from printed below it."""
    figure.supxlabel(literal(str(origin), 300), fontsize=6, color="0.35")
    files.write_bytes(Path(folder) / f"{name}.png", png(figure))


def save_gif(frames: list[plt.Figure], folder: Path, name: str, seconds: float) -> None:
    """Write figures of the same size as the animation `folder/name.gif`, each shown for `seconds`; closes them."""
    images = []
    for figure in frames:
        figure.canvas.draw()
        images.append(Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3]).quantize(128))
        plt.close(figure)
    buffer = io.BytesIO()
    images[0].save(buffer, format="GIF", save_all=True, append_images=images[1:], duration=int(1000 * seconds), loop=0)
    files.write_bytes(Path(folder) / f"{name}.gif", buffer.getvalue())


def show(ax: plt.Axes, image: np.ndarray, title: str = "", **options) -> AxesImage:
    """An image without ticks; grey from 0 to 1 unless told otherwise; its title as `literal`."""
    shown = ax.imshow(image, **({"cmap": "gray", "vmin": 0, "vmax": 1} | options))
    ax.set(xticks=[], yticks=[], title=literal(title))
    ax.spines[:].set_visible(False)
    return shown


def show_attention(axes: np.ndarray, maps: np.ndarray, titles: list[str], top: float | None = None) -> None:
    """Attention maps (M, H, W) in a row, on one scale from 0 to `top` or to their maximum, with its bar."""
    for ax, attention, title in zip(axes, maps, titles, strict=True):
        shown = show(ax, attention, title, cmap=ATTENTION, vmax=top or maps.max())
    axes[0].figure.colorbar(shown, ax=list(axes), label="attention", fraction=0.05, pad=0.02)


def structure_colours(structures: tuple[str, ...]) -> dict[str, tuple[float, float, float]]:
    """The colour of each structure: its own or, of structures that no chapter has, those that are left, in turn."""
    own = [STRUCTURE_COLOURS[name] for name in structures if name in STRUCTURE_COLOURS]
    left = cycle([colour for colour in _PALETTE if colour not in own])
    return {name: STRUCTURE_COLOURS.get(name) or next(left) for name in structures}


def overlay(
    ax: plt.Axes, image: np.ndarray, labels: np.ndarray, title: str = "", structures: tuple[str, ...] = STRUCTURES
) -> None:
    """A grey image (H, W) with labels (H, W), from 1 in the order of `structures`, laid over it in their colours."""
    show(ax, image, title)
    shown = np.ma.masked_equal(labels, 0)
    colours = ListedColormap(list(structure_colours(structures).values()))
    ax.imshow(shown, cmap=colours, vmin=1, vmax=len(structures), alpha=0.55)


def colour_legend(figure, colours: dict[str, tuple], **place) -> None:
    """Name colours, outside a figure or subfigure; `place`: of the legend."""
    patches = [Patch(color=colour, label=literal(name)) for name, colour in colours.items()]
    figure.legend(handles=patches, frameon=False, **place)


def structure_legend(figure, structures: tuple[str, ...] = STRUCTURES) -> None:
    """Name the colours of the structures, below a figure or subfigure."""
    colour_legend(figure, structure_colours(structures), loc="outside lower center", ncols=min(len(structures), 4))


def row_labels(axes: np.ndarray, names: list[str]) -> None:
    """Name the rows of a grid of images, left of the first column; as `literal`."""
    for ax, name in zip(axes, names, strict=True):
        ax.set_ylabel(literal(name, 40), rotation=0, ha="right", va="center")


def line(arm: str) -> dict:
    """Colour and dashes of a network, the same in every figure: dashed the four-layer CNN, dash-dotted reflection."""
    if arm in METHOD_COLOURS or arm in METHOD_NAMES:
        return {"color": METHOD_COLOURS[arm], "linestyle": "-"}
    one = POSITION_ARMS[arm]
    dashes = "--" if one.network == "cnn" else "-." if one.padding == "reflect" else "-"
    return {"color": SCALE_COLOURS[one.scale], "linestyle": dashes}


def bands(ax: plt.Axes, curves: pd.DataFrame, arms: list[str]) -> None:
    """A line a network with a band of one standard deviation to either side.

    Args:
        curves: columns arm, step, mean, sd; in percent.
        arms: which to draw; those that were not run are left out.
    """
    for arm in arms:
        rows = curves[curves.arm == arm]
        ax.plot(rows.step, rows["mean"], marker="o", markersize=2.5, **line(arm))
        lower, upper = rows["mean"] - rows.sd, rows["mean"] + rows.sd
        ax.fill_between(rows.step, lower, upper, color=line(arm)["color"], alpha=0.2, linewidth=0)
    ax.set_ylim(0, 102)  # so that 100 is seen


def arm_legend(figure: plt.Figure, arms: list[str]) -> None:
    """Name the lines of `bands`, above the figure."""
    names = METHOD_NAMES | POSITION_NAMES
    handles = [Line2D([], [], label=names[arm], **line(arm)) for arm in arms]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(arms), frameon=False, fontsize=7)
