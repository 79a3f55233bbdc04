"""Which code a notebook's result depends on."""

import json
import shutil

import pytest

from whereabouts import files, paths
from whereabouts.pipeline import imports, notebooks


@pytest.fixture
def tree(tmp_path):
    sources = {
        "lib/whereabouts/__init__.py": "",
        "lib/whereabouts/a.py": "import numpy\nfrom whereabouts import b\n",
        "lib/whereabouts/b.py": "X = 1\n",
        "lib/whereabouts/c.py": "def f():\n    import whereabouts.deep.d\n",
        "lib/whereabouts/deep/__init__.py": "from whereabouts.b import X\n",
        "lib/whereabouts/deep/d.py": "from whereabouts.deep import e\nfrom whereabouts import a\n",
        "lib/whereabouts/deep/e.py": "from whereabouts.deep import d\n",
        "lib/whereabouts/unused.py": "",
        "other.py": "",
    }
    for name, source in sources.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source, encoding="utf-8")
    return tmp_path


DEEP = "lib/whereabouts/deep/__init__.py lib/whereabouts/deep/d.py lib/whereabouts/deep/e.py"


@pytest.mark.parametrize(
    ("source", "used"),
    [
        ("import os, other", ""),
        ("from whereabouts.b import X", "lib/whereabouts/__init__.py lib/whereabouts/b.py"),
        ("from whereabouts import b as z", "lib/whereabouts/__init__.py lib/whereabouts/b.py"),
        ("import whereabouts.a", "lib/whereabouts/__init__.py lib/whereabouts/a.py lib/whereabouts/b.py"),
        (
            "from whereabouts.deep.e import d",
            f"lib/whereabouts/__init__.py lib/whereabouts/a.py lib/whereabouts/b.py {DEEP}",
        ),
        (
            "if 0:\n    from whereabouts.c import f",  # what may be imported counts, in functions too
            f"lib/whereabouts/__init__.py lib/whereabouts/a.py lib/whereabouts/b.py lib/whereabouts/c.py {DEEP}",
        ),
    ],
)
def test_directly_and_through_others(source, used, tree):
    assert imports.modules(source, tree) == used.split()


def test_a_stripped_notebook_names_its_code(tmp_path):
    """So that a changed module makes stale what uses it, and nothing else. JupyterLab's copies are no notebooks."""
    notebook = "notebooks/inside/03_table1.ipynb"
    for copy in (notebook, "notebooks/inside/.ipynb_checkpoints/03_table1-checkpoint.ipynb"):
        (tmp_path / copy).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(paths.at(notebook), tmp_path / copy)
    notebooks.strip_all(tmp_path)
    [stripped] = (tmp_path / "build").rglob("*.ipynb")
    assert stripped == tmp_path / "build" / notebook
    code = json.loads(stripped.read_text(encoding="utf-8"))["metadata"]["code"]
    assert {
        "lib/whereabouts/chapters/inside.py",
        "lib/whereabouts/reporting/tables.py",
        "lib/whereabouts/pipeline/execution.py",
        "lib/whereabouts/files.py",
    } <= code.keys()
    assert (
        not {
            "lib/whereabouts/training/loop.py",
            "lib/whereabouts/phantoms/acdc.py",
            "lib/whereabouts/run.py",
            "lib/whereabouts/pipeline/slurm.py",
        }
        & code.keys()
    )
    assert all(digest == files.sha256(paths.at(file)) for file, digest in code.items())
