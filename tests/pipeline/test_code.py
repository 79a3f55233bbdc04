"""Which code a notebook's result depends on."""

import json
import shutil

import nbformat
import pytest

from whereabouts import paths
from whereabouts.pipeline import code, notebooks


@pytest.fixture
def tree(tmp_path):
    sources = {
        "lib/whereabouts/__init__.py": "X = 1\n",
        "lib/whereabouts/a.py": "import numpy\nfrom whereabouts import b\n",
        "lib/whereabouts/b.py": "X = 1\n",
        "lib/whereabouts/c.py": "def f():\n    import whereabouts.deep.d\n",
        "lib/whereabouts/deep/__init__.py": "from whereabouts.b import X as Y\n"
        "from whereabouts.deep.e import Z\nOWN = 1\n",
        "lib/whereabouts/deep/d.py": "from whereabouts.deep import e\nfrom whereabouts import a\n",
        "lib/whereabouts/deep/e.py": "from whereabouts.deep import d\n",
        "lib/whereabouts/unused.py": "",
        "other.py": "",
    }
    for name, source in sources.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("source", "used"),
    [
        ("import os, other", ""),
        ("from whereabouts.b import X", "b"),
        ("from whereabouts import b as z", "b"),
        ("import whereabouts.a", "a b"),
        ("from whereabouts.deep.e import d", "a b deep/d deep/e"),
        (
            "if 0:\n    from whereabouts.c import f",
            "a b c deep/d deep/e",
        ),  # what may be imported counts, in functions too
        ("from whereabouts.deep import Y", "b"),  # a name that a package passes on
        ("from whereabouts.deep import Z", "a b deep/d deep/e"),
        ("from whereabouts.deep import OWN", "a b deep/__init__ deep/d deep/e"),  # and one of its own
        ("import whereabouts.deep", "a b deep/__init__ deep/d deep/e"),
        ("from whereabouts.deep import *", "a b deep/__init__ deep/d deep/e"),
        ("from whereabouts import X", "__init__"),
    ],
)
def test_directly_and_through_others(source, used, tree):
    assert code.modules(source, tree) == [f"lib/whereabouts/{name}.py" for name in used.split()]


DIGEST = "c708758b8d4d34460454d115ce1a4819c31185d7738f7e79bd75f189296f7a32"
SOURCE = """\"\"\"What this is.\"\"\"
import os  # for paths


class A:
    \"\"\"Doc.\"\"\"

    def f(self):
        \"\"\"Doc
        of two lines.\"\"\"
        text = \'\'\'one  # no comment

two\'\'\'
        return text, f"{text}  # none"
"""


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("What this is.", "What this was.", True),
        ("# for paths", "# because", True),
        ("import os  # for paths", "import os", True),
        ("Doc\n        of two", "Documented\n\n\n        of two", True),
        ('    """Doc."""\n', "", True),
        ("\n\n\nclass", "\nclass", True),
        ("return", "return  ", False),
        ("# no comment", "# a comment", False),
        ("comment\n\ntwo", "comment\ntwo", False),
        ("\ntwo", "  \ntwo", False),
        ("# none", "# some", False),
        ("import os", "import sys", False),
        ("return text", "return  text", False),
        ("        return", "    return", False),
    ],
)
def test_only_code_changes_a_digest(old, new, same):
    assert old in SOURCE
    assert (code.digest(SOURCE) == code.digest(SOURCE.replace(old, new, 1))) is same
    assert code.digest(SOURCE) == DIGEST  # in every Python


def test_a_stripped_notebook_names_its_code(tmp_path):
    """So that a changed module makes stale what uses it, and nothing else. JupyterLab's copies are no notebooks."""
    notebook = "notebooks/inside/03_table1.ipynb"
    for copy in (notebook, "notebooks/inside/.ipynb_checkpoints/03_table1-checkpoint.ipynb"):
        (tmp_path / copy).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(paths.at(notebook), tmp_path / copy)
    notebooks.strip_all(tmp_path)
    [stripped] = (tmp_path / "build").rglob("*.ipynb")
    assert stripped == tmp_path / "build" / notebook
    used = json.loads(stripped.with_suffix(notebooks.CODE).read_text(encoding="utf-8"))["modules"]
    assert {
        "lib/whereabouts/chapters/inside.py",
        "lib/whereabouts/reporting/tables.py",
        "lib/whereabouts/pipeline/execution.py",
        "lib/whereabouts/files.py",
    } <= used.keys()
    assert (
        not {
            "lib/whereabouts/training/loop.py",
            "lib/whereabouts/phantoms/acdc.py",
            "lib/whereabouts/run.py",
            "lib/whereabouts/pipeline/slurm.py",
        }
        & used.keys()
    )
    assert used == {file: code.digest(paths.at(file).read_text(encoding="utf-8")) for file in used}


@pytest.mark.parametrize(
    ("cell", "change", "same"),
    [
        (0, ("# A title", "# Another title"), True),
        (1, ("  # of the optimiser", "  # of Adam"), True),
        (1, ("steps: int = 3", "steps: int = 4"), False),
        (2, ("steps * 2", "steps * 3"), False),
        (2, ("# why\n", ""), True),
    ],
)
def test_a_notebooks_prose_and_comments_are_no_code(cell, change, same, tmp_path):
    """Its run has the same identity too, so that what is unfinished goes on; what is run has the prose."""
    cells = [
        nbformat.v4.new_markdown_cell("# A title"),
        nbformat.v4.new_code_cell("steps: int = 3  # of the optimiser", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("# why\nsteps * 2"),
    ]
    found = []
    for _ in range(2):
        path = tmp_path / "notebooks/a.ipynb"
        notebooks.write(nbformat.v4.new_notebook(cells=cells), path)
        notebooks.strip_all(tmp_path)
        made = tmp_path / "build/notebooks/a.ipynb"
        assert [one.source for one in notebooks.read(made).cells] == [one.source for one in cells]
        found.append((made.with_suffix(notebooks.CODE).read_bytes(), notebooks.code_text(made)))
        cells[cell].source = cells[cell].source.replace(*change)
    assert (found[0] == found[1]) is same
