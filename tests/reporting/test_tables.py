"""Tables in three formats: the content, and on each face where it came from."""

import html
import io
import re

import mistune
import pandas as pd
import pytest

from whereabouts.errors import InputError
from whereabouts.metrics.statistics import stars
from whereabouts.reporting import tables

ORIGIN = tables.Origin("demo", "ACDC (synthetic, 0123456789ab)", 3)


@pytest.fixture
def table():
    method = ["film_50%", "inside & more"]
    return pd.DataFrame(
        {"method": method, "Dice_quadrant #1": ["48.7 ± 2.0", tables.bold("85.7 ± 2.5" + stars(0.001))]}
    )


@pytest.fixture
def written(table, tmp_path):
    tables.write(table, tmp_path, "table1", "Dice of 100% of clevr_seg", ORIGIN, notes="Best_of #3 & more.")
    return {path.suffix: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}


def test_origin_is_of_what_was_read():
    """Never a word of one's own: facts of data, and results that say their scale."""
    first, second = ({"scale": "demo", "label": label, "sha256": "1"} for label in ("A (synthetic, 1)", "B (real, 2)"))
    scores = pd.DataFrame({"scale": ["demo", "demo"], "dice": [1, 2]})
    assert tables.Origin.of(first, scores, seeds=2) == tables.Origin("demo", "A (synthetic, 1)", 2)
    assert tables.Origin.of(first, second, first).data == "A (synthetic, 1);\nB (real, 2)"
    assert tables.Origin.of(first, data="no data").data == "no data"
    with pytest.raises(InputError, match="made at demo and smoke scale"):
        tables.Origin.of(first, scores.assign(scale="smoke"))


def test_three_files(written):
    assert set(written) == {".md", ".csv", ".tex"}


def test_markdown(written):
    lines = written[".md"].splitlines()
    assert lines[0] == "**Dice of 100% of clevr_seg**"
    assert lines[2] == f"*{ORIGIN}*"
    assert lines[-1] == "Best_of #3 & more."
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert rows[0] == ["method", "Dice_quadrant #1"]
    assert rows[2:] == [["film_50%", "48.7 ± 2.0"], ["inside & more", r"**85.7 ± 2.5\*\***"]]


def test_csv(written, table):
    read = pd.read_csv(io.StringIO(written[".csv"]))
    assert list(read.columns) == [*table.columns, "scale", "data", "seeds"]
    assert list(read["Dice_quadrant #1"]) == ["48.7 ± 2.0", "85.7 ± 2.5**"]
    assert set(zip(read.scale, read.data, read.seeds, strict=True)) == {("demo", "ACDC (synthetic, 0123456789ab)", 3)}


def test_latex(written):
    text = written[".tex"]
    caption = r"Dice of 100\% of clevr\_seg. demo scale; ACDC (synthetic, 0123456789ab); 3 seeds. Best\_of \#3 \& more."
    assert rf"\caption{{{caption}}}" in text
    assert r"\label{tab:table1}" in text
    assert r"method & Dice\_quadrant \#1 \\" in text
    assert r"film\_50\% & 48.7 $\pm$ 2.0 \\" in text
    assert r"inside \& more & \textbf{85.7 $\pm$ 2.5$^{*}$$^{*}$} \\" in text
    assert text.isascii()
    for begin in ("table", "tabular"):
        assert text.count(rf"\begin{{{begin}}}") == text.count(rf"\end{{{begin}}}") == 1


def test_a_notebook_shows_the_same_cells(written, table):
    shown = tables.Shown(table)
    assert repr(shown) == shown._repr_markdown_() and f"\n\n{shown}\n\n" in written[".md"]


def test_numbers_stay_as_they_are_written(tmp_path):
    """Text cells are no numbers: 84.0 keeps its zero."""
    tables.write(pd.DataFrame({"Dice": ["84.0", "7"]}), tmp_path, "t", "T", ORIGIN)
    assert "| 84.0" in (tmp_path / "t.md").read_text(encoding="utf-8")
    assert "84.0 \\\\" in (tmp_path / "t.tex").read_text(encoding="utf-8")
    assert (tmp_path / "t.csv").read_text(encoding="utf-8").splitlines()[1].startswith("84.0,")


def test_the_same_table_gives_the_same_bytes(written, table, tmp_path):
    again = tmp_path / "again"
    tables.write(table, again, "table1", "Dice of 100% of clevr_seg", ORIGIN, notes="Best_of #3 & more.")
    assert {path.suffix: path.read_text(encoding="utf-8") for path in again.iterdir()} == written


def test_origin():
    assert str(tables.Origin("paper", "X (real, 1)", 1)) == "paper scale; X (real, 1); 1 seed"
    assert str(ORIGIN) == "demo scale; ACDC (synthetic, 0123456789ab); 3 seeds"
    assert str(tables.Origin("smoke", "X", 2)) == "smoke scale; X; 2 seeds; smoke scale: the numbers mean nothing"


def test_comparisons_are_set_in_maths_in_latex(tmp_path):
    table = pd.DataFrame({"Checked": ["a - b > 5"], "Ours": ["1 ± 2"]})
    tables.write(table, tmp_path, "t", "T", tables.Origin("demo", "D"), "p <= 0.01")
    tex = (tmp_path / "t.tex").read_text(encoding="utf-8")
    assert "a - b $>$ 5" in tex and r"1 $\pm$ 2" in tex and r"p $\leq$ 0.01" in tex
    assert "p <= 0.01" in (tmp_path / "t.md").read_text(encoding="utf-8")


# -------------------------------------------------------------------------------------------------- names are only data

NAMES = {  # name -> what a spreadsheet is given, and LaTeX
    "<img src=x onerror=alert(1)>|b": (None, r"$<$img src=x onerror=alert(1)$>$\textbar b"),
    "=HYPERLINK(1)": ("'=HYPERLINK(1)", "=HYPERLINK(1)"),
    "-2+3+cmd|x": ("'-2+3+cmd|x", r"-2+3+cmd\textbar x"),
    "@a": ("'@a", "@a"),
    "＝1": ("'＝1", "＝1"),
    "-0.05": (None, "-0.05"),
    "-3.3 ± 42.6": (None, r"-3.3 $\pm$ 42.6"),
    "-": (None, "-"),
    r"\input{/etc/passwd}": (None, r"\textbackslash input\{/etc/passwd\}"),
    "$x$^2~_a_ *b* `c`": (None, r"\$x\$\textasciicircum 2\textasciitilde \_a\_ *b* `c`"),
    "[mm] <= 5 & more_or_less; a * b": (None, r"{[}mm] $\leq$ 5 \& more\_or\_less; a * b"),
    "&lt;b&gt; &#60;": (None, r"\&lt;b\&gt; \&\#60;"),
    **{
        name: (None, None)
        for name in ("[a](javascript:b) ~~c~~", "![x](y)", "[x]: y", "***", "a~b~", "<!-- x", "<?php")
    },
    **{name: (None, None) for name in ("\\", "a\\|b", "**x**", "http://a.b/_c_d", "# a", "1. a", "a_b_", "`")},
}


@pytest.mark.parametrize("name", NAMES)
def test_names_from_data_are_printed_and_not_obeyed(name, tmp_path):
    """Markdown as a renderer with tables, mathematics and struck words shows it; CSV as pandas reads it."""
    csv, latex = NAMES[name]
    table = pd.DataFrame({"Plane": [name], name: ["1"]})
    tables.write(table, tmp_path, "t", f"T {name}", tables.Origin("demo", f"D {name}"), f"N {name}")
    md, tex = ((tmp_path / f"t.{ending}").read_text(encoding="utf-8") for ending in ("md", "tex"))
    shown = mistune.create_markdown(escape=False, plugins=["table", "math", "strikethrough"])(md)
    title, origin, *cells, notes = re.findall(r"<(?:p|th|td)\b[^>]*>(.*?)</(?:p|th|td)>", shown, re.DOTALL)
    seen = [title, f"<b>{origin}</b>", *cells, notes]
    assert [html.unescape(re.sub("</?(?:strong|em|b)>", "", text)) for text in seen] == [
        f"T {name}", f"demo scale; D {name}", "Plane", name, name, "1", f"N {name}"
    ]  # fmt: skip
    read = pd.read_csv(tmp_path / "t.csv", dtype=str)
    assert read.columns[1] == read.Plane[0] == (csv or name) and read.data[0] == f"D {name}"
    if latex:
        assert f"{latex} & 1 \\\\" in tex and f"Plane & {latex} \\\\" in tex
        assert f"demo scale; D {latex.replace('{[}', '[')}. N " in tex


@pytest.mark.parametrize(
    ("name", "seen"), [("a\n\n# b\r\nc", "a # b c"), ("a\x1b[31m\u202eb\udcff", r"a\x1b[31m\u202eb\udcff")]
)
def test_names_take_one_line_and_are_seen(name, seen, tmp_path):
    tables.write(pd.DataFrame({"Plane": [name]}), tmp_path, "t", "T", tables.Origin("demo", name))
    assert pd.read_csv(tmp_path / "t.csv").Plane[0] == seen
    for ending in ("md", "tex"):
        text = (tmp_path / f"t.{ending}").read_text(encoding="utf-8")
        assert text.isascii() and not set(text) & {"\x1b", "\r"} and "\n#" not in text


def test_a_row_of_latex_does_not_begin_with_an_option(tmp_path):
    tables.write(pd.DataFrame({"A": ["[1cm]", "*"], "B": ["", ""]}), tmp_path, "a b{", "T", ORIGIN)
    tex = (tmp_path / "a b{.tex").read_text(encoding="utf-8")
    assert "\n{[}1cm] & " in tex and "\n{*} & " in tex and r"\label{tab:a-b-}" in tex


@pytest.mark.parametrize("name", ["__x__", "a__b", "_a_b_", "__", "snake_case"])
def test_underscores_are_printed_as_they_are(name, tmp_path):
    tables.write(pd.DataFrame({"name": [name]}), tmp_path, "t", "T", ORIGIN)
    page = mistune.create_markdown(plugins=["table"])((tmp_path / "t.md").read_text(encoding="utf-8"))
    assert f">{name}</td>" in page
