"""Tables as Markdown, CSV and LaTeX, each with where it came from on its face."""

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lib import files

MATHS = {"±": r"\pm", "<=": r"\leq", ">": ">"}  # what LaTeX's text fonts lack


@dataclass(frozen=True)
class Origin:
    """Which scale, data and seeds a result came from.

    Args:
        scale: "smoke", "demo" or "paper".
        data: the data's label, as in `Manifest.label`: name, source and digest.
        seeds: how many trainings are behind each number; 0 where nothing was trained.
    """

    scale: str
    data: str
    seeds: int = 0

    def __str__(self) -> str:
        warning = "; smoke scale: the numbers mean nothing" if self.scale == "smoke" else ""
        seeds = f"; {self.seeds} seed{'s' * (self.seeds != 1)}" if self.seeds else ""
        return f"{self.scale} scale; {self.data}{seeds}{warning}"


def write(table: pd.DataFrame, folder: Path, name: str, title: str, origin: Origin, notes: str = "") -> None:
    """Write `table` as `folder/name.md`, `.csv` and `.tex`.

    Args:
        table: text cells, ready to print; its index is not written.
        folder, name: where, and the name as in the paper ("table1").
        title: what the table shows.
        origin: printed below the title, and as columns in the CSV.
        notes: how to read the marks.
    """
    cells = table.map(lambda cell: _as(cell, "**{}**", "\\*")).to_markdown(index=False, disable_numparse=True)
    text = f"**{title}**\n\n*{origin}*\n\n{cells}\n" + (f"\n{notes}\n" if notes else "")
    files.write_text(folder / f"{name}.md", _as(text, "**{}**", "\\*"))

    facts = {"scale": origin.scale, "data": origin.data, "seeds": origin.seeds}
    files.write_text(folder / f"{name}.csv", _as(table.assign(**facts).to_csv(index=False), "{}", "*"))

    style = table.style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis="columns")
    caption = f"{title}. {origin}. {notes}"
    for character in "_%&#":
        caption = caption.replace(character, "\\" + character)
    latex = style.to_latex(hrules=True, caption=caption, label=f"tab:{name}", position_float="centering")
    for character, command in MATHS.items():
        latex = latex.replace(character, f"${command}$")
    files.write_text(folder / f"{name}.tex", _as(latex, r"\textbf{{{}}}", "$^{*}$"))


def bold(cell: str) -> str:
    """`cell`, to be printed bold where the format can."""
    return f"⟦{cell}⟧"


def _as(text: str, bold: str, star: str) -> str:
    """`text` with its bold cells and its stars (U+2217) as one format writes them."""
    return re.sub(r"⟦(.*?)⟧", lambda match: bold.format(match[1]), text).replace("∗", star)
