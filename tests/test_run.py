"""The notebook runner, run as users and DVC run it."""

import re
import signal
import subprocess
import sys
import time

import nbformat
import psutil
import pytest

from lib import execution, notebooks, run
from lib.errors import InputError
from lib.paths import ROOT


def notebook(folder, *cells, parameters="n = 2\nname = 'a'\nrate = 0.5"):
    """A notebook with a parameters cell and `cells` below build/, so that paths are shown from the root."""
    first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    content = nbformat.v4.new_notebook(cells=[first, *map(nbformat.v4.new_code_cell, cells)])
    path = folder / "in.ipynb"
    nbformat.write(content, path)
    return path


def execute(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "lib.run", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )


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
    with pytest.raises(InputError, match=re.escape(word) + r": not valid YAML \(.*\); mend or quote it") as caught:
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


def test_a_notebook_knows_which_run_it_is_by_its_text_and_its_parameters(tmp_path):
    cell = "from pathlib import Path\nfrom lib import identity\nPath(name).write_text(identity.this())"
    path, known = notebook(tmp_path, cell), tmp_path / "known"

    def runs(n):
        assert execute(path, tmp_path / "out.ipynb", f"n={n}", f"name={known}").returncode == 0
        return known.read_text(encoding="utf-8")

    first = runs(3)
    assert len(first) == 64 and runs(3) == first and runs(4) != first
    notebook(tmp_path, f"{cell}\n1")
    assert runs(3) != first


def test_a_run_is_the_same_bytes_twice_and_shows_progress_outside_the_notebook(tmp_path):
    cell = "from lib.progress import bar\nprint(n, name, sum(bar(range(n), desc='counting')))"
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
        ("1 / 0", "ZeroDivisionError: division by zero\n"),
        ("import os; os._exit(3)", "if memory ran out, choose a smaller batch or scale\n"),
        (
            "from lib.errors import InputError\nraise InputError(['a.nii.gz: truncated; get it again', 'b: too'])",
            "error: a.nii.gz: truncated; get it again\nerror: b: too\n",
        ),
    ],
    ids=["exception", "dead kernel", "input error"],
)
def test_a_failure_ends_in_lines_without_traceback(tmp_path, cell, said):
    result = execute(notebook(tmp_path, cell), tmp_path / "out.ipynb")
    assert result.returncode == 1
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert (tmp_path / "out.ipynb").exists()


TRAINS = """
import time
from lib import interruption
print("started", flush=True)
open(name, "w").close()
while not interruption.asked():
    time.sleep(0.05)
raise interruption.Interrupted("halfway")
"""
SLEEPS = "open(name, 'w').close()\nimport time\ntime.sleep(60)"


@pytest.mark.parametrize(
    ("cell", "number", "grace", "said"),
    [
        (TRAINS, signal.SIGTERM, 30, "put away halfway; run it again to go on"),
        (TRAINS, signal.SIGUSR1, 30, "put away halfway; run it again to go on"),
        (SLEEPS, signal.SIGTERM, 0.5, "stopped; run it again to go on"),
    ],
    ids=["training, SIGTERM", "training, SIGUSR1", "what cannot be put away"],
)
def test_a_run_that_is_told_to_end(tmp_path, cell, number, grace, said):
    """Every process is signalled, as Slurm does it; the kernel lives on until its work is put away."""
    path, out, mark = notebook(tmp_path, cell), tmp_path / "out.ipynb", tmp_path / "started"
    words = [str(path), str(out), f"name={mark}"]
    code = f"import sys\nfrom lib import execution, run\nexecution.GRACE = {grace}\nsys.exit(run.main({words}))"
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while not mark.exists():
        time.sleep(0.05)
        assert process.poll() is None
    kernels = psutil.Process(process.pid).children(recursive=True)
    assert kernels
    for one in (*kernels, process):
        one.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == execution.INTERRUPTED
    assert f"{out}: {said}\n" in errors
    assert out.exists() and not list(tmp_path.glob("*.running"))
    assert not psutil.wait_procs(kernels, timeout=30)[1]


def test_an_interrupt_that_is_lost_comes_again(tmp_path):
    """Python loses one that falls into a finaliser."""
    code = """import sys, time
import papermill
from lib import execution, run
def loses(*_, **__):
    open(sys.argv[1], "w").close()
    try:
        time.sleep(30)
    except KeyboardInterrupt:
        time.sleep(30)
papermill.execute_notebook, execution.GRACE = loses, 0.2
sys.exit(run.main(sys.argv[2:]))"""
    mark, words = tmp_path / "started", [str(notebook(tmp_path, "1")), str(tmp_path / "out.ipynb")]
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(mark), *words], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    while not mark.exists():
        time.sleep(0.05)
        assert process.poll() is None
    process.terminate()
    _, errors = process.communicate(timeout=20)
    assert process.returncode == execution.INTERRUPTED and "stopped; run it again to go on" in errors


def test_a_running_kernel_listens_on_no_port(tmp_path):
    """Others may share the node."""
    cell = "import psutil\nheld = psutil.Process().net_connections('inet')\nassert not held, held"
    assert execute(notebook(tmp_path, cell), tmp_path / "out.ipynb").returncode == 0


def test_a_running_kernel_has_no_sockets_in_the_repository(tmp_path):
    """A run that is killed would leave them there."""
    cell = "from pathlib import Path\nassert not list(Path().glob('kernel-*'))"
    assert execute(notebook(tmp_path, cell), tmp_path / "out.ipynb").returncode == 0


def test_a_missing_or_broken_notebook_is_one_line(tmp_path):
    assert "no such notebook" in execute(tmp_path / "no.ipynb", tmp_path / "out.ipynb").stderr
    (tmp_path / "bad.ipynb").write_text("{", encoding="utf-8")
    result = execute(tmp_path / "bad.ipynb", tmp_path / "out.ipynb")
    assert result.returncode == 1 and "not a readable notebook" in result.stderr and "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ([], "0 cells are tagged 'parameters'; tag exactly one"),
        (["a = 1", "b = 2"], "2 cells are tagged"),
        (["a = 1\nb = a + 1"], "line 2: write `name = literal`"),
    ],
)
def test_the_parameters_cell_is_one_of_literals(cells, said):
    tagged = [nbformat.v4.new_code_cell(cell, metadata={"tags": ["parameters"]}) for cell in cells]
    with pytest.raises(InputError, match=said):
        notebooks.parameters(nbformat.v4.new_notebook(cells=tagged), "x.ipynb")


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
