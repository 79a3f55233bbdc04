"""Which code a notebook's result depends on."""

import json

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


def test_a_stripped_notebook_names_its_code():
    """So that a changed module makes stale what uses it, and nothing else."""
    notebooks.strip_all()
    code = json.loads(paths.at("build/notebooks/inside/03_table1.ipynb").read_text(encoding="utf-8"))["metadata"][
        "code"
    ]
    assert {"lib/inside.py", "lib/tables.py", "lib/execution.py", "lib/files.py"} <= code.keys()
    assert not {"lib/training.py", "lib/phantoms/acdc.py", "lib/run.py", "lib/slurm.py"} & code.keys()
    assert all(digest == files.sha256(paths.at(file)) for file, digest in code.items())
