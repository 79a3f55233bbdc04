"""The notebooks as git has them: one that somebody opened and ran has in its file, not in git, what it showed."""

import subprocess
from pathlib import Path

import nbformat

from whereabouts.paths import ROOT
from whereabouts.pipeline import notebooks


def _git(*words: str) -> str | None:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, encoding="utf-8")
    return None if done.returncode else done.stdout


def listed() -> list[Path]:
    """Those that git has; where there is no git, those that are there."""
    names = _git("ls-files", "-z", "notebooks")
    found = [ROOT / name for name in names.split("\0") if name.endswith(".ipynb")] if names else []
    return sorted(path for path in found if path.exists()) or notebooks.listed(ROOT / "notebooks")


def read(path: Path) -> nbformat.NotebookNode:
    """As it was added or committed last."""
    text = _git("show", f":{path.relative_to(ROOT).as_posix()}")
    return notebooks.read(path) if text is None else nbformat.reads(text, 4)
