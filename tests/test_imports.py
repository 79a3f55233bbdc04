"""Which code a notebook's result depends on."""

import json
import shutil

import pytest

from lib import files, imports, notebooks, paths


@pytest.fixture
def tree(tmp_path):
    sources = {
        "lib/__init__.py": "",
        "lib/a.py": "import numpy\nfrom lib import b\n",
        "lib/b.py": "X = 1\n",
        "lib/c.py": "def f():\n    import lib.deep.d\n",
        "lib/deep/__init__.py": "from lib.b import X\n",
        "lib/deep/d.py": "from lib.deep import e\nfrom lib import a\n",
        "lib/deep/e.py": "from lib.deep import d\n",
        "lib/unused.py": "",
        "other.py": "",
    }
    for name, source in sources.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source, encoding="utf-8")
    return tmp_path


DEEP = "lib/deep/__init__.py lib/deep/d.py lib/deep/e.py"


@pytest.mark.parametrize(
    ("source", "used"),
    [
        ("import os, other", ""),
        ("from lib.b import X", "lib/__init__.py lib/b.py"),
        ("from lib import b as z", "lib/__init__.py lib/b.py"),
        ("import lib.a", "lib/__init__.py lib/a.py lib/b.py"),
        (
            "from lib.deep.e import d",
            f"lib/__init__.py lib/a.py lib/b.py {DEEP}",
        ),
        (
            "if 0:\n    from lib.c import f",  # what may be imported counts, in functions too
            f"lib/__init__.py lib/a.py lib/b.py lib/c.py {DEEP}",
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
    assert {"lib/inside.py", "lib/tables.py", "lib/execution.py", "lib/files.py"} <= code.keys()
    assert not {"lib/training.py", "lib/phantoms/acdc.py", "lib/run.py", "lib/slurm.py"} & code.keys()
    assert all(digest == files.sha256(paths.at(file)) for file, digest in code.items())
