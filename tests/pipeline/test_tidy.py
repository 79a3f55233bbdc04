"""Notebooks as git keeps them: by the command, and by git itself."""

import io
import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import nbformat
import pytest

from runs import notebook
from whereabouts import paths
from whereabouts.errors import InputError
from whereabouts.paths import ROOT
from whereabouts.pipeline import tidy

LOCKS = ("requirements.lock", "requirements-cpu.lock")
DAMAGED = [
    (b"", "not a readable notebook"),
    (b"\xff", "not a readable notebook"),
    (b"<<<<<<< HEAD\n{}", "not a readable notebook"),
    (b"[" * 100_000, "not a readable notebook"),
    (b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [1]}', "not a readable notebook"),
    (b'{"nbformat": 4, "metadata": {}, "cells": [{"cell_type": "raw", "metadata": {}, "source": "\\ud800"}]}', "utf-8"),
    (b'{"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": []}', "open it in JupyterLab"),
]


def used(path):
    """What JupyterLab leaves of a notebook that was run: the same cells, outputs, counts, metadata, an empty cell."""
    content = nbformat.read(path, 4)
    for number, cell in enumerate(content.cells):
        cell.metadata |= {"execution": {"iopub.execute_input": "now"}, "collapsed": True}
        cell.execution_count = number + 1
        cell.outputs = [nbformat.v4.new_output("stream", text="1\n")]
    content.cells.append(nbformat.v4.new_code_cell(""))
    content.metadata["language_info"] = {"name": "python", "version": "3.99"}
    nbformat.write(content, path)


def cells(content):
    return [(cell.get("id"), "".join(cell["source"])) for cell in json.loads(content)["cells"]]


def test_what_a_run_by_hand_leaves_goes_and_all_else_stays(tmp_path):
    path = notebook(tmp_path, "print(1)")
    clean = tidy.tidied(path.read_bytes(), "x")
    used(path)
    assert tidy.tidied(path.read_bytes(), "x") == clean == tidy.tidied(clean, "x")
    assert cells(clean) == [(cell.id, cell.source) for cell in nbformat.read(path, 4).cells[:2]]
    assert json.loads(clean)["cells"][0]["metadata"] == {"tags": ["parameters"]}


def test_a_picture_pasted_into_a_text_stays(tmp_path):
    cell = nbformat.v4.new_markdown_cell("![](attachment:a.png)", attachments={"a.png": {"image/png": "iVBORw0KGgo="}})
    content = nbformat.writes(nbformat.v4.new_notebook(cells=[cell])).encode()
    assert json.loads(tidy.tidied(content, "x"))["cells"][0]["attachments"] == cell.attachments


def test_ids_that_lack_are_twice_or_are_none_are_made_of_the_content(tmp_path):
    sources = ["a", "a", "b", "c", "d"]
    given = [{"id": "kept"}, {}, {"id": "kept"}, {"id": "no id!"}, {"id": "f" * 65}]
    one = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    raw = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}}
    raw["cells"] = [one | {"source": source} | ident for source, ident in zip(sources, given, strict=True)]
    content = json.dumps(raw).encode()
    ids, found = zip(*cells(after := tidy.tidied(content, "x")), strict=True)
    assert list(found) == sources and ids[0] == "kept" and len(set(ids)) == 5
    assert tidy.tidied(content, "x") == after
    raw["cells"].insert(0, one | {"source": "before all others"})
    assert cells(tidy.tidied(json.dumps(raw).encode(), "x"))[1:] == cells(after)
    raw["nbformat_minor"] = 4
    raw["cells"] = [one | {"source": "a"}, one | {"source": "a"}]  # an older format, and twins
    first, second = (ident for ident, _ in cells(tidy.tidied(json.dumps(raw).encode(), "x")))
    assert first == ids[1] != second


@pytest.mark.parametrize(("content", "said"), DAMAGED)
def test_what_is_no_notebook_is_one_line_and_goes_through_gits_filter_unchanged(content, said, capfd):
    with pytest.raises(InputError, match=said) as caught:
        tidy.tidied(content, "x.ipynb")
    assert len(caught.value.problems) == 1
    assert tidy.filtered(content, "x.ipynb") == content
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("x.ipynb: ") and line.endswith("; kept as it is")


def test_in_place_it_says_what_it_changed_and_goes_on_past_what_is_none(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    (tmp_path / "notebooks/a").mkdir(parents=True)
    for name in ("notebooks/a/used.ipynb", "notebooks/tidy.ipynb", "elsewhere.ipynb"):
        notebook(tmp_path, "1").rename(tmp_path / name)
        used(tmp_path / name)
    tidy.main(["notebooks/tidy.ipynb"])
    assert capsys.readouterr().out == "changed notebooks/tidy.ipynb\n1 of 1 notebooks changed\n"
    (tmp_path / "notebooks/none.ipynb").write_text("x", encoding="utf-8")
    with pytest.raises(InputError, match="not a readable") as caught:
        tidy.main([])
    assert len(caught.value.problems) == 1
    assert capsys.readouterr().out == "changed notebooks/a/used.ipynb\n1 of 3 notebooks changed\n"
    assert (tmp_path / "notebooks/none.ipynb").read_text(encoding="utf-8") == "x"
    with pytest.raises(InputError, match="no such notebook"):
        tidy.main(["missing.ipynb"])


def test_as_a_filter_it_reads_and_writes_bytes(tmp_path, monkeypatch):
    content, written = notebook(tmp_path, "print('ä')").read_bytes(), io.BytesIO()
    monkeypatch.setattr(tidy.sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    monkeypatch.setattr(tidy.sys, "stdout", SimpleNamespace(buffer=written))
    tidy.main(["--filter", "x.ipynb"])
    assert written.getvalue() == tidy.tidied(content, "x.ipynb") and "ä".encode() in written.getvalue()


@pytest.fixture
def checkout(tmp_path):
    """A repository below a folder with a space and a quote, as git and `make ready` are called in it."""
    root, venv = tmp_path / "it's mine" / "main", tmp_path / "it's an environment"
    (root / "notebooks/inside").mkdir(parents=True)
    (venv / "bin").mkdir(parents=True)
    for name in ("Makefile", ".gitattributes", *LOCKS, "pyproject.toml", "dvc.yaml"):
        shutil.copyfile(ROOT / name, root / name)
    given = b"".join((root / name).read_bytes() for name in (*LOCKS, "pyproject.toml"))
    checksum = subprocess.run(["cksum"], input=given, capture_output=True, check=True).stdout.decode()
    (venv / "ready").write_text(f"cpu {checksum}", encoding="utf-8")
    python = f'#!/bin/sh\nPYTHONPATH="{ROOT / "lib"}" exec "{sys.executable}" "$@"\n'
    (venv / "bin/python").write_text(python, encoding="utf-8")
    (venv / "bin/python").chmod(0o755)
    notebook(root, "print(1)").rename(root / "notebooks/inside/x.ipynb")
    tidy.in_place([root / "notebooks/inside/x.ipynb"])
    given = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "MAKE", "MFLAGS"))}
    given |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(tmp_path)}

    def call(*command):
        done = subprocess.run(command, cwd=root, env=given, capture_output=True, encoding="utf-8")
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def git(*words):
        return call("git", "-c", "user.name=a", "-c", "user.email=b", *words)

    return SimpleNamespace(
        root=root, path=root / "notebooks/inside/x.ipynb", git=git, ready=lambda: call("make", "ready", f"VENV={venv}")
    )


def test_git_does_not_see_that_a_notebook_was_run_but_sees_what_was_written(checkout):
    checkout.git("init", "-q")
    checkout.git("add", ".")
    checkout.git("commit", "-qm", "as it is without a filter")
    assert checkout.git("status", "--porcelain") == ""
    checkout.ready()
    checkout.ready()  # more than once is as once
    used(checkout.path)
    shown = checkout.path.read_bytes()
    assert checkout.git("diff") == "" == checkout.git("add", "-u") == checkout.git("status", "--porcelain")
    assert b"3.99" in shown == checkout.path.read_bytes(), "the file keeps what it shows"

    content = nbformat.read(checkout.path, 4)
    content.cells.insert(1, nbformat.v4.new_code_cell("x = 2", id="another"))
    nbformat.write(content, checkout.path)
    added = [line[1:] for line in checkout.git("diff").splitlines() if line.startswith("+ ")]
    removed = [line for line in checkout.git("diff").splitlines() if line.startswith("- ")]
    assert any("x = 2" in line for line in added) and not removed and not any("3.99" in line for line in added)
    checkout.git("commit", "-qam", "a cell")
    assert [ident for ident, _ in cells(checkout.git("show", "HEAD:./notebooks/inside/x.ipynb"))][1] == "another"


def test_git_keeps_what_is_no_notebook_as_it_is_and_says_so(checkout):
    checkout.git("init", "-q")
    checkout.git("add", "dvc.yaml")
    checkout.git("commit", "-qm", "first")
    checkout.ready()
    checkout.path.write_text("<<<<<<< no notebook\n", encoding="utf-8")
    assert "notebooks/inside/x.ipynb: not a readable notebook" in checkout.git("add", ".")
    assert checkout.git("show", ":./notebooks/inside/x.ipynb") == "<<<<<<< no notebook\n"


def test_another_repository_around_is_left_alone(checkout):
    """As of a download without a repository of its own, in somebody's home folder that has one."""
    checkout.git("init", "-q", "..")
    before = (checkout.root.parent / ".git/config").read_bytes()
    checkout.ready()
    assert (checkout.root.parent / ".git/config").read_bytes() == before
