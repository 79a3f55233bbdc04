"""What figures print of names: what is written, whatever is in them."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from whereabouts.chapters.gates import figures
from whereabouts.errors import InputError, printable
from whereabouts.reporting import plotting
from whereabouts.reporting.tables import Origin

DRAWN = {  # name -> what is to be seen of it
    "plain_name (1)": "plain_name (1)",
    "scan$_$1": "scan$_$1",
    r"$\frac{$": r"$\frac{$",
    r"a\$b$": r"a\$b$",
    r"\a_b^c{d}%#&~<e>|": r"\a_b^c{d}%#&~<e>|",
    "Jacenków, λ ± 1": "Jacenków, λ ± 1",
    "two\nlines": "two\nlines",
    "a\x1b[31m\u202eb\udcff": r"a\x1b[31m\u202eb\udcff",
    "肝": r"\u809d",
    "🫀": r"\U0001fac0",
    "_hidden": "_hidden",
    "x" * 30 + "y" * 300: "x" * 20 + "…" + "y" * 19,
}


@pytest.fixture
def figure():
    yield plt.figure()
    plt.close("all")


@pytest.mark.parametrize("name", DRAWN, ids=lambda name: name[:12])
def test_names_are_drawn_as_they_are(name, figure):
    """matplotlib's own judgement of what is mathematics, and no warning of a missing sign, which is an error here."""
    axes = figure.subplots(1, 2)
    plotting.overlay(axes[0], np.zeros((4, 4)), np.eye(4), name, (name,))
    plotting.row_labels(axes[:1], [name])
    plotting.structure_legend(figure, (name,))
    figures.legend(figure, {name: (0, 0, 0)})
    texts = [axes[0].yaxis.label, *(text for legend in figure.legends for text in legend.get_texts())]
    for text, most in zip(texts, (40, 60, 60), strict=True):
        assert text._preprocess_math(text.get_text()) == (DRAWN[name], False) or most == 60 < len(name)
    assert plotting.png(figure)


def test_a_picture_says_where_it_came_from(figure, tmp_path):
    plotting.save(figure, tmp_path, "a", Origin("demo", "$\\frac{ 肝 " + "x" * 999))
    assert len(figure.get_supxlabel()) < 320
    assert (tmp_path / "a.png").exists()


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Jacenków: 5 mm ± 1; <b>", "Jacenków: 5 mm ± 1; <b>"),
        ("a\nb\r\t", r"a\nb\r\t"),
        ("\x1b]0;title\x07\x9b31m", r"\x1b]0;title\x07\x9b31m"),
        ("\u202e\u2066\u200b\u2028\ufeff", r"\u202e\u2066\u200b\u2028\ufeff"),
        ("\udcff", r"\udcff"),
    ],
)
def test_what_is_said_of_an_input_is_one_line_that_a_terminal_only_prints(text, seen):
    assert printable(text) == seen == printable(seen)
    assert InputError(text).problems == InputError([text]).problems == [seen] and str(InputError(text)) == seen
