"""Notebooks made for a test, and the runner as users and DVC call it."""

import os
import subprocess
import sys

import nbformat

from whereabouts.paths import ROOT


def notebook(folder, *cells, parameters="n = 2\nname = 'a'\nrate = 0.5"):
    """A notebook with a parameters cell and `cells` below build/, so that paths are shown from the root."""
    first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    content = nbformat.v4.new_notebook(cells=[first, *map(nbformat.v4.new_code_cell, cells)])
    path = folder / "in.ipynb"
    nbformat.write(content, path)
    return path


def execute(*arguments, **environment):
    """The runner of this checkout, whichever the environment was made for."""
    command = [sys.executable, "-m", "whereabouts.run", *map(str, arguments)]
    env = os.environ | environment
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT / "lib"), env.get("PYTHONPATH")]))
    return subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=120, env=env)
