"""Tables as Markdown, CSV and LaTeX, each with where it came from on its face.

Names of structures, planes and data sets come from data: each format prints them as they are and obeys none of them.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from whereabouts import files
from whereabouts.errors import printable
from whereabouts.pipeline.runs import same_scale

LATEX = {character: f"\\{character}" for character in "&%$#_{}"}
LATEX |= {"\\": r"\textbackslash ", "~": r"\textasciitilde ", "^": r"\textasciicircum ", "|": r"\textbar "}
LATEX |= {"±": r"$\pm$", "<=": r"$\leq$", "<": "$<$", ">": "$>$"}  # what LaTeX's text fonts lack

# What Markdown obeys: marks, but not within words; tags, entities, links, mathematics. Not "<= 0.05", "a * b", "[mm]".
_MARKS = re.compile(r"[\\`|$]|(?<![^\W_])_|_(?![^\W_])|[*~](?=\S)|(?<=\S)[*~]|(?<=\])(?=\()")
_TAG = re.compile(r"<(?=[A-Za-z/!?])|&(?=#?\w+;)")
# What a spreadsheet calculates: also in the wide characters of East Asia; but "-0.05" and "-3.3 ± 42.6" are numbers.
_FORMULA = re.compile(r"[=+\-@＝＋－＠]")
_A_NUMBER = re.compile(r"[+-]([\d.]+( ?%)?( ± [\d.]+)?( ?[*∗]+)?)?")  # or none at all: "-"


@dataclass(frozen=True)
class Origin:
    """Which scale, data and seeds a result came from.

    Args:
        scale: "smoke", "demo" or "paper".
        data: the data's label, as in `Manifest.label`: name, source and digest.
        seeds: how many trainings are behind each number; 0 where nothing was trained.
        trained: in what precision and by which instructions, of `whereabouts.inference.device.arithmetic`.
    """

    scale: str
    data: str
    seeds: int = 0
    trained: str = ""

    @classmethod
    def of(cls, *read: dict | pd.DataFrame, seeds: int = 0, data: str = "") -> "Origin":
        """Of what was read: facts of prepared data, whose labels are named, and results, with columns `scale` and, of
        trained networks, `trained`.

        Args:
            read: at least one.
            seeds: see above.
            data: in place of the labels.

        Raises:
            InputError: not all were made at the same scale.
        """
        scales = [scale for one in read for scale in ([one["scale"]] if isinstance(one, dict) else one.scale.unique())]
        labels = dict.fromkeys(one["label"] for one in read if isinstance(one, dict))
        tables = [one for one in read if isinstance(one, pd.DataFrame) and "trained" in one]
        how = {word for table in tables for word in table.trained.dropna()}
        return cls(same_scale(*scales), data or ";\n".join(labels), seeds, ", ".join(sorted(how)))

    def __str__(self) -> str:
        warning = "; smoke scale: the numbers mean nothing" if self.scale == "smoke" else ""
        seeds = f"; {self.seeds} seed{'s' * (self.seeds != 1)}" if self.seeds else ""
        trained = f"; trained in {self.trained}" if self.trained else ""
        return f"{self.scale} scale; {self.data}{seeds}{trained}{warning}"


def write(table: pd.DataFrame, folder: Path, name: str, title: str, origin: Origin, notes: str = "") -> None:
    """Write `table` as `folder/name.md`, `.csv` and `.tex`.

    Args:
        table: text cells, ready to print; its index is not written.
        folder, name: where, and the name as in the paper ("table1").
        title: what the table shows.
        origin: printed below the title, and as columns in the CSV.
        notes: how to read the marks.
    """
    table = table.map(_line).rename(columns=_line)
    title, data, said, notes = map(_line, (title, origin.data, str(origin), notes))
    parts = [f"**{_markdown(title)}**", f"*{_markdown(said)}*", _cells(table), *([_markdown(notes)] if notes else [])]
    files.write_text(folder / f"{name}.md", "\n\n".join(parts) + "\n")

    facts = {"scale": origin.scale, "data": data, "seeds": origin.seeds}
    files.write_text(folder / f"{name}.csv", csv(table.map(lambda cell: _as(cell, "{}", "*")).assign(**facts)))

    style = table.style.hide(axis="index").format(_latex).format_index(_latex, axis="columns")
    caption, label = _latex(f"{title}. {said}. {notes}"), f"tab:{re.sub(r'[^A-Za-z0-9.:-]', '-', name)}"
    latex = style.to_latex(hrules=True, caption=caption, label=label, position_float="centering")
    files.write_text(folder / f"{name}.tex", latex)


@dataclass(frozen=True)
class Shown:
    """A table as a notebook shows it, with its bold cells in bold."""

    table: pd.DataFrame

    def _repr_markdown_(self) -> str:
        return _cells(self.table.map(_line).rename(columns=_line))

    __repr__ = _repr_markdown_  # where there is text alone


def csv(table: pd.DataFrame, **options) -> str:
    """`table` as CSV whose text is printable and calculates nothing: `'` goes before what a spreadsheet would evaluate.

    Args:
        options: of `DataFrame.to_csv`.
    """

    def safe(cell: object) -> object:
        if not isinstance(cell, str):
            return cell
        cell = printable(cell)
        return f"'{cell}" if _FORMULA.match(cell) and not _A_NUMBER.fullmatch(cell) else cell

    return table.map(safe).rename(columns=safe).to_csv(index=False, **options)


def _cells(table: pd.DataFrame) -> str:
    return table.map(_markdown).rename(columns=_markdown).to_markdown(index=False, disable_numparse=True)


def _line(text: str) -> str:
    """`text` on one line, all of it seen."""
    return printable(re.sub(r"\s*[\n\r]\s*", " ", text))


def _markdown(text: str) -> str:
    text = _MARKS.sub(lambda match: f"\\{match[0]}", text)
    return _as(_TAG.sub(lambda match: {"<": "&lt;", "&": "&amp;"}[match[0]], text), "**{}**", "\\*")


def _latex(text: str) -> str:
    escaped = re.sub(
        "|".join(map(re.escape, sorted(LATEX, key=len, reverse=True))), lambda match: LATEX[match[0]], text
    )
    escaped = re.sub(r"^[\[*]", lambda match: f"{{{match[0]}}}", escaped)  # at the start of a row it is \\'s own
    return _as(escaped, r"\textbf{{{}}}", "$^{*}$")


def bold(cell: str) -> str:
    """`cell`, to be printed bold where the format can."""
    return f"⟦{cell}⟧"


def _as(text: str, bold: str, star: str) -> str:
    """`text` with its bold cells and its stars (U+2217) as one format writes them."""
    return re.sub(r"⟦(.*?)⟧", lambda match: bold.format(match[1]), text).replace("∗", star)
