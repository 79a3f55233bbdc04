"""The notebook runner, run as users and DVC run it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import nbformat
import papermill
import psutil
import pytest

from runs import execute, notebook
from whereabouts import paths, run
from whereabouts.errors import InputError
from whereabouts.paths import ROOT
from whereabouts.pipeline import execution, identity, notebooks
from whereabouts.pipeline.kernel_process import KernelProcess


def test_parameters_come_from_files_and_words_and_words_win(tmp_path):
    file = tmp_path / "p.yaml"
    file.write_text("a: {b: {n: 3, rate: 1}}\n", encoding="utf-8")
    assert run.collect(["n=5", "name=x"], [f"{file}:a.b"]) == {"n": 5, "rate": 1, "name": "x"}
    with pytest.raises(InputError, match=r"no section a\.c; at this level it has b"):
        run.collect([], [f"{file}:a.c"])
    with pytest.raises(InputError, match="nonsense: not a parameter; write key=value"):
        run.collect(["nonsense"], [])


@pytest.mark.parametrize("word", ["n=[1", "n=2024-13-45", "n=" + "[" * 2000])
def test_a_value_that_is_no_yaml_is_one_line(word):
    with pytest.raises(InputError, match=re.escape(word) + ": ") as caught:
        run.collect([word], [])
    assert "\n" not in str(caught.value)


def test_unknown_parameters_and_wrong_types_are_all_named_before_anything_runs(tmp_path):
    path = notebook(tmp_path, "open('ran', 'w')")
    result = execute(path, tmp_path / "out.ipynb", "m=1", "n=many", "rate=2")
    assert result.returncode == 1 and not (tmp_path / "out.ipynb").exists()
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 2, lines
    assert lines[0].startswith("error: m: unknown parameter of") and lines[0].endswith("it has n, name, rate")
    assert "n='many'" in lines[1] and "wants a int, such as 2" in lines[1]


@pytest.mark.parametrize(
    "word",
    [
        "d={a: 2024-01-01}",
        "d={1: 2, a: 3}",
        "d={1: 2}",
        "d={a: !!set {b, c}}",
        "d={a: !!binary aGk=}",
        "d=0x" + "f" * 4000,
    ],
)
def test_a_parameter_that_json_has_not_is_one_line(word):
    with pytest.raises(InputError) as caught:
        run.check(run.collect([word], []), {"d": {}}, "x.ipynb")
    (problem,) = caught.value.problems
    assert problem.startswith("d") and "\n" not in problem and ("quote" in problem or "no tags" in problem)
    run.check({"d": {"a": [1, 0.1, None, True, "é", {"b": float("nan")}]}}, {"d": {}}, "x.ipynb")


def test_every_word_and_source_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InputError) as caught:
        run.collect(["a", "b={", "c=2024-01-01", "d=1"], [str(tmp_path / "gone.yaml")])
    assert [problem.partition(":")[0].rpartition("/")[2] for problem in caught.value.problems] == [
        "gone.yaml",
        "a",
        "b={",
        "c=2024-01-01",
    ]


def test_names_of_parameters_of_two_kinds_are_unknown_like_any_other():
    with pytest.raises(InputError, match=r"1: unknown parameter of x\.ipynb; it has n\na: unknown"):
        run.check({"a": 1, 1: 2}, {"n": 1}, "x.ipynb")


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("README.md", "give it a name that ends in .ipynb"),
        ("build/.ipynb", "give it a name that ends in .ipynb"),
        ("data/raw/acdc/o.ipynb", "what is below data/raw is read, not written"),
        ("build/../data/raw/o.ipynb", "what is below data/raw is read, not written"),
        ("notebooks/inside/03_table1.ipynb", "what is below notebooks is read, not written"),
        ("build/notebooks/inside/o.ipynb", "what is below build/notebooks is read, not written"),
        ("in.ipynb", "is the notebook itself"),
        ("same.ipynb", "is the notebook itself"),
        ("raw/o.ipynb", "raw is read, not written"),
        ("study/1/o.ipynb", "raw/acdc is read, not written"),
        ("to_raw/o.ipynb", "raw is read, not written"),
        ("folder.ipynb", "there is something that is no file"),
        ("nothing.ipynb", "there is something that is no file"),
        ("in.ipynb/o.ipynb", r"cannot be written \((Not a directory|File exists)\)"),
    ],
)
def test_what_an_executed_notebook_is_not_written_over(output, said, tmp_path, monkeypatch):
    own = notebook(tmp_path, "1")
    for name in ("raw", "study", "folder.ipynb"):
        (tmp_path / name).mkdir()
    for name, target in (("same", own), ("nothing", "/nowhere"), ("to_raw", "raw"), ("raw/acdc", tmp_path / "study")):
        (tmp_path / f"{name}{'' if 'raw' in name else '.ipynb'}").symlink_to(target)
    path = paths.at(output)
    if output.split("/")[0] not in ("README.md", "build", "data", "notebooks"):
        path = tmp_path / output
        monkeypatch.setattr(paths, "RAW", tmp_path / "raw")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=said):
        run.check_output(path, own)
    assert sorted(tmp_path.rglob("*")) == before and not (ROOT / "data/raw/acdc").exists()


def test_the_folder_of_the_output_is_made_before_anything_runs(tmp_path):
    run.check_output(tmp_path / "a/b/out.ipynb", notebook(tmp_path, "1"))
    assert (tmp_path / "a/b").is_dir() and not list((tmp_path / "a/b").iterdir())


def test_a_run_is_known_by_the_text_of_its_notebook_and_by_its_parameters():
    one = identity.of("text", {"n": 3, "m": 1})
    assert len(one) == 64 and identity.of("text", {"m": 1, "n": 3}) == one
    assert len({one, identity.of("text", {"n": 4, "m": 1}), identity.of("other", {"n": 3, "m": 1})}) == 3


def test_a_notebook_knows_which_run_it_is(tmp_path):
    known = tmp_path / "known"
    path = notebook(tmp_path, "from whereabouts.pipeline import identity\nopen(name, 'w').write(identity.this())")
    assert execute(path, tmp_path / "out.ipynb", f"name={known}").returncode == 0
    expected = identity.of(path.read_text(encoding="utf-8"), {"name": str(known)})
    assert known.read_text(encoding="utf-8") == expected


def test_a_run_is_the_same_bytes_twice_and_shows_progress_outside_the_notebook(tmp_path):
    cell = "from whereabouts.pipeline.progress import bar\nprint(n, name, sum(bar(range(n), desc='counting')))"
    path = notebook(tmp_path, cell)
    outputs = []
    for attempt in ("a", "b"):
        out = tmp_path / attempt / "out.ipynb"
        result = execute(path, out, "n=3")
        assert result.returncode == 0, result.stderr
        assert "counting" in result.stderr
        outputs.append(out.read_bytes())
    assert outputs[0] == outputs[1]
    assert b"3 a 3" in outputs[0] and b"counting:" not in outputs[0]
    assert "papermill" not in outputs[0].decode().replace("injected-parameters", "")


def test_what_is_printed_is_one_output_however_slowly_it_comes(tmp_path):
    cell = "import time\nfor k in range(4):\n    print(k, end=' ', flush=True)\n    time.sleep(0.4)"
    assert execute(notebook(tmp_path, cell), tmp_path / "out.ipynb").returncode == 0
    (output,) = notebooks.read(tmp_path / "out.ipynb").cells[-1].outputs
    assert output.text == "0 1 2 3 "


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("import os; os._exit(3)", "out.ipynb: the kernel ended with exit status 3; look at the cell that ran last\n"),
        ("raise ValueError('a\\n  b')", "out.ipynb: cell 2: ValueError: a b\n"),
        (
            "from whereabouts import errors\nraise errors.InputError(['a.nii.gz: truncated; get it again', 'b: too'])",
            "error: a.nii.gz: truncated; get it again\nerror: b: too\n",
        ),
    ],
    ids=["dead kernel", "exception of many lines", "input error"],
)
def test_a_failure_ends_in_lines_without_traceback(tmp_path, cell, said):
    result = execute(notebook(tmp_path, cell), tmp_path / "out.ipynb")
    assert result.returncode == 1
    assert result.stderr.startswith("error: ") and result.stderr.endswith(said)
    assert result.stderr.count("\n") == max(1, said.count("error: "))
    assert (tmp_path / "out.ipynb").exists()


@pytest.mark.parametrize(
    ("status", "errors", "said"),
    [
        (None, "", "the kernel does not answer"),
        (-9, "x", "the kernel was killed (SIGKILL); if memory ran out, choose a smaller batch or scale"),
        (-11, "", "the kernel ended by SIGSEGV; look at the cell that ran last"),
        (-40, "", "the kernel ended by signal 40; look at the cell that ran last"),
        (1, "Traceback\n  x\nImportError: no torch\n", "the kernel ended with exit status 1: ImportError: no torch"),
    ],
)
def test_how_a_kernel_ended_is_said_as_it_was_seen(status, errors, said, tmp_path):
    kernel = KernelProcess(tmp_path)
    kernel.errors.write_text(errors, encoding="utf-8")
    kernel._process = SimpleNamespace(poll=lambda: status)
    assert kernel.ended() == said


def test_a_kernel_that_cannot_start_says_why(tmp_path):
    (tmp_path / "ipykernel.py").write_text("raise ImportError('of another Python')", encoding="utf-8")
    result = execute(notebook(tmp_path, "1"), tmp_path / "out.ipynb", PYTHONPATH=str(tmp_path))
    assert result.returncode == 1
    assert result.stderr.endswith("the kernel ended with exit status 1: ImportError: of another Python\n")
    assert result.stderr.count("\n") == 1


TRAINS = """
import time
from whereabouts.pipeline import interruption
print("started", flush=True)
open(name, "w").close()
while not interruption.asked():
    time.sleep(0.05)
raise interruption.Interrupted("halfway")
"""
SLEEPS = "open(name, 'w').close()\nimport time\ntime.sleep(60)"


AWAY, STOPPED = "put away halfway; run it again to go on", "stopped; run it again to go on"
NONE, BACKGROUND = (), (signal.SIGINT, signal.SIGHUP)  # what is ignored: in a shell; under `nohup .. &`


def started(tmp_path, cell, ignored=NONE, grace=30, patch=""):
    """A runner that has come so far that its notebook made a file, and the processes that it started."""
    path, mark = notebook(tmp_path, cell), tmp_path / "started"
    words = [str(path), str(tmp_path / "out.ipynb"), f"name={mark}"]
    code = f"""import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a shell, wherever the tests run
for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, signal.SIG_DFL)
for number in {[int(number) for number in ignored]}:
    signal.signal(number, signal.SIG_IGN)
from whereabouts.pipeline import execution; from whereabouts import run
execution.GRACE, mark = {grace}, {str(mark)!r}
{patch}
sys.exit(run.main({words}))"""
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not mark.exists():
        time.sleep(0.05)
        assert process.poll() is None
    return process, psutil.Process(process.pid).children(recursive=True)


@pytest.mark.parametrize(
    ("cell", "number", "grace", "said", "ignored"),
    [
        (TRAINS, signal.SIGTERM, 30, AWAY, NONE),
        (TRAINS, signal.SIGUSR1, 30, AWAY, BACKGROUND),
        (SLEEPS, signal.SIGTERM, 0.5, STOPPED, NONE),
        (SLEEPS, signal.SIGTERM, 0.5, STOPPED, BACKGROUND),
    ],
    ids=["training", "training, before a time limit", "what cannot be put away", "that, in the background"],
)
def test_a_run_that_is_told_to_end(tmp_path, cell, number, grace, said, ignored):
    """Every process is signalled, as Slurm does it; the kernel lives on until its work is put away."""
    process, kernels = started(tmp_path, cell, ignored, grace)
    assert kernels
    for one in (*kernels, process):
        one.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == execution.INTERRUPTED
    assert errors == f"{tmp_path / 'out.ipynb'}: {said}\n"
    assert (tmp_path / "out.ipynb").exists()
    assert not psutil.wait_procs(kernels, timeout=30)[1]


@pytest.mark.parametrize(
    ("ignored", "numbers", "said"),
    [
        (NONE, [signal.SIGINT], STOPPED),
        (NONE, [signal.SIGHUP], AWAY),
        (BACKGROUND, [signal.SIGINT, signal.SIGHUP, signal.SIGTERM], AWAY),
    ],
    ids=["Ctrl-C", "the terminal is closed", "Ctrl-C and a closed terminal are ignored, SIGTERM is not"],
)
def test_what_a_terminal_says_ends_a_run_unless_that_is_ignored(tmp_path, ignored, numbers, said):
    process, kernels = started(tmp_path, TRAINS, ignored)
    for number in numbers:
        process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == execution.INTERRUPTED and errors == f"{tmp_path / 'out.ipynb'}: {said}\n"
    assert not psutil.wait_procs(kernels, timeout=30)[1]


def test_a_stage_ends_with_the_dvc_that_would_record_it(tmp_path):
    with subprocess.Popen(["sleep", "60"]) as dvc:
        process, kernels = started(tmp_path, TRAINS, BACKGROUND, patch=f"run.os.environ[run.DVC] = '{dvc.pid}'")
        dvc.kill()
        _, errors = process.communicate(timeout=30)
    assert process.returncode == execution.INTERRUPTED and errors == f"{tmp_path / 'out.ipynb'}: {AWAY}\n"
    assert not psutil.wait_procs(kernels, timeout=30)[1]


def test_a_kernel_that_starts_after_its_run_was_stopped_is_stopped_too(tmp_path):
    late = """from whereabouts.pipeline.kernel_process import KernelProcess
start = KernelProcess.start
def late(self, environment):
    open(mark, "w").close()
    while not self.stopped:
        time.sleep(0.01)
    start(self, environment)
KernelProcess.start = late"""
    process, _ = started(tmp_path, SLEEPS, grace=0, patch=late)
    process.terminate()
    _, errors = process.communicate(timeout=30)
    assert process.returncode == execution.INTERRUPTED and STOPPED in errors


def test_the_kernel_of_a_run_that_is_killed_ends(tmp_path):
    process, (kernel,) = started(tmp_path, SLEEPS)
    left = kernel.environ()["TMPDIR"]
    process.kill()
    process.communicate()
    assert not psutil.wait_procs([kernel], timeout=30)[1]
    shutil.rmtree(left)


def test_progress_is_read_on_where_nobody_sees_it(tmp_path):
    """More of it than a pipe holds: the kernel would wait for ever."""
    reader, writer = os.pipe()
    os.close(reader)
    error = os.dup(2)
    os.dup2(writer, 2)
    try:
        with execution.progress_shown(tmp_path / "progress"), open(tmp_path / "progress", "wb") as bar:
            bar.write(b"x" * 300_000)
    finally:
        os.dup2(error, 2)
        os.close(error)
        os.close(writer)


def test_a_running_kernel_listens_on_no_port_and_has_no_sockets_in_the_repository(tmp_path):
    """Others may share the node; and a run that is killed would leave them there."""
    cell = """import psutil
from pathlib import Path
held = psutil.Process().net_connections('inet')
assert not held, held
assert not list(Path().glob('kernel-*'))"""
    assert execute(notebook(tmp_path, cell), tmp_path / "out.ipynb").returncode == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such notebook; see notebooks/"),
        ("folder", "a folder, not a notebook"),
        ("pipe", "no file, not a notebook"),
        (b"", "not a readable notebook"),
        (b"{", "not a readable notebook"),
        (b"[]", "not a readable notebook"),
        (b"\xff\xfe", "not a readable notebook"),
        (b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}', "missing an expected key: cells"),
        (b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [1]}', "not a readable notebook"),
    ],
)
def test_what_is_no_notebook_is_one_line(content, said, tmp_path):
    path = tmp_path / "x.ipynb"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        (os.mkfifo if content == "pipe" else os.mkdir)(path)
    with pytest.raises(InputError, match=said) as caught:
        notebooks.read(path)
    assert "\n" not in str(caught.value)


def test_a_notebook_with_a_byte_order_mark_is_one(tmp_path):
    path = notebook(tmp_path, "1")
    path.write_text(path.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert len(notebooks.read(path).cells) == 2


def test_stripping_goes_on_past_what_is_no_notebook_and_names_it(tmp_path):
    (tmp_path / "notebooks/.virtual_documents").mkdir(parents=True)
    for name in ("a.ipynb", "z.ipynb"):
        notebook(tmp_path, "from whereabouts import paths").rename(tmp_path / "notebooks" / name)
    notebook(tmp_path, "%matplotlib inline").rename(tmp_path / "notebooks/magic.ipynb")
    for name in ("empty.ipynb", ".virtual_documents/a.ipynb"):
        (tmp_path / "notebooks" / name).touch()
    with pytest.raises(InputError) as caught:
        notebooks.strip_all(tmp_path)
    empty, magic = caught.value.problems
    assert "empty.ipynb: not a readable notebook" in empty and "magic.ipynb: its code is not Python" in magic
    assert sorted(path.name for path in (tmp_path / "build/notebooks").iterdir()) == [
        *("a.code.json", "a.ipynb", "z.code.json", "z.ipynb")
    ]


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ([], "0 cells are tagged 'parameters'; tag exactly one"),
        (["a = 1", "b = 2"], "2 cells are tagged"),
        (["a = 1\nb = a + 1"], "line 2: write `name = literal`"),
        (["a = {[]: 1}"], "line 1: write `name = literal`"),
        (["a = '\0'"], "parameters cell is not Python"),
        (["a: int = 1.5"], "line 1: a is a float, not a int; correct one of them"),
        (["a: int"], "line 1: write `name = literal`"),
    ],
)
def test_the_parameters_cell_is_one_of_literals(cells, said):
    tagged = [nbformat.v4.new_code_cell(cell, metadata={"tags": ["parameters"]}) for cell in cells]
    with pytest.raises(InputError, match=said):
        notebooks.parameters(nbformat.v4.new_notebook(cells=tagged), "x.ipynb")


def test_parameters_are_typed_described_and_listed(tmp_path, capsys):
    cell = "steps: int = 3  # optimiser steps\nrate: float = 1e-3  # of Adam\nwindow: list = [16, 32]  # voxels"
    path = notebook(tmp_path, "1", parameters=cell)
    known = notebooks.parameters(notebooks.read(path), "in.ipynb")
    assert known == {"steps": 3, "rate": 0.001, "window": [16, 32]}
    assert run.main([str(path)]) == 0 and capsys.readouterr().out == f"{cell}\n"
    notebooks.write(notebooks.normalise(notebooks.read(path)), path)  # papermill wants to know the language
    asked = papermill.inspect_notebook(path)
    assert {name: (one["inferred_type_name"], one["help"]) for name, one in asked.items()} == {
        "steps": ("int", "optimiser steps"),
        "rate": ("float", "of Adam"),
        "window": ("list", "voxels"),
    }


def test_the_normal_form_forgets_what_a_run_by_hand_leaves(tmp_path):
    clean = notebooks.read(notebook(tmp_path, "print(1)"))
    used = nbformat.from_dict(clean)
    used.metadata["language_info"] = {"version": "3.99"}
    used.cells[1]["id"] = "another"
    used.cells[1]["execution_count"] = 7
    used.cells[1]["metadata"] = {"execution": {"start": "now"}, "collapsed": True}
    used.cells[1]["outputs"] = [nbformat.v4.new_output("stream", text="1\n")]
    used.cells.append(nbformat.v4.new_code_cell(""))
    assert notebooks.normalise(used) == notebooks.normalise(clean)
    assert notebooks.normalise(notebooks.normalise(used)) == notebooks.normalise(used)
