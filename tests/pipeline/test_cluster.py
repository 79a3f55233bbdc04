"""When the runner submits itself, and what params/cluster.yaml and a file over it say of a notebook's job."""

import os
import re
import subprocess
import sys

import nbformat
import pytest
import yaml

import stored
from whereabouts import paths
from whereabouts.errors import InputError
from whereabouts.pipeline import cluster, code, job, slurm, submit


@pytest.fixture
def request_(tmp_path, monkeypatch):
    """A function that asks what a private file, over an empty shared one, says of a notebook."""
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "cluster.yaml").write_text('"*": {}\n', encoding="utf-8")
    monkeypatch.setattr(paths, "ROOT", tmp_path)

    def ask(text, notebook="a", where="slurm"):
        (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
        monkeypatch.setenv(cluster.FILE, str(tmp_path / "mine.yaml"))
        return cluster.request(notebook, where)

    return ask


def words(request):
    return slurm.words(request.options)


def test_later_patterns_win(request_):
    text = '"*": {time: "01:00:00", mem: 8G}\n"*train*": {time: "12:00:00", gpus: 1}\n"*/x.ipynb": {gpus: null}\n'
    assert words(request_(text, "notebooks/a/b.ipynb")) == ["--time=01:00:00", "--mem=8G"]
    assert words(request_(text, "notebooks/a/01_train.ipynb")) == ["--time=12:00:00", "--mem=8G", "--gpus=1"]
    assert words(request_(text, "train/x.ipynb")) == ["--time=12:00:00", "--mem=8G"]


def test_a_pattern_fits_from_any_folder_on(request_):
    for pattern in ("a/01*", "notebooks/a/*", "*/a/*", "01_train.ipynb"):
        found = request_(f'"{pattern}": {{mem: 8G}}\n', "build/notebooks/a/01_train.ipynb")
        assert words(found) == ["--mem=8G"], pattern
    assert words(request_('"rain.ipynb": {mem: 8G}\n', "a/train.ipynb")) == []


def test_a_private_file_that_is_missing_or_empty_is_not_in_git(request_, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"mine.yaml: expected .* lines; write it as docs/cluster.md shows, or unset"):
        request_("# later\n")
    monkeypatch.setenv(cluster.FILE, str(tmp_path / "other.yaml"))
    with pytest.raises(InputError, match=r"other.yaml: no such file; write it as docs/cluster.md shows, or unset"):
        cluster.request("a", "slurm")


def test_a_private_file_lies_over_the_shared_one(request_, tmp_path):
    shared = '"*": {mem: 8G, again: {mem: 9G}}\n"*train*": {mem: 32G, again: {time: 5}}\npython: a\n'
    (tmp_path / "params" / "cluster.yaml").write_text(shared, encoding="utf-8")
    found = request_('"*": {account: heart}\npython: b\n', "01_train")
    assert words(found) == ["--mem=32G", "--account=heart"]
    assert (found.again, found.python) == ({"time": 5}, "b")
    assert request_('"*": {again: false}\n', "01_train").again == {}


def uses_networks(path):
    cells = nbformat.read(path, as_version=4).cells
    source = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    return "lib/whereabouts/inference/device.py" in code.modules(source)


def test_every_notebook_that_runs_networks_gets_a_gpu_and_every_one_a_second_try(monkeypatch):
    monkeypatch.delenv(cluster.FILE, raising=False)
    found = {path.relative_to(paths.ROOT).as_posix(): path for path in stored.listed()}
    asked = {name: cluster.request(f"build/{name}", "slurm") for name in found}
    small = {
        "notebooks/data/11_volumes.ipynb",
        "notebooks/data/12_pancreas.ipynb",
        "notebooks/inside/12_diagrams.ipynb",
    }
    with_gpu = {name for name, one in asked.items() if "--gpus=1" in words(one)}
    assert with_gpu == {name for name, path in found.items() if uses_networks(path)} - small
    trains = {name for name, path in found.items() if "Checkpoints()" in path.read_text(encoding="utf-8")}
    assert trains and trains < with_gpu

    def size(options, name):
        digits = re.sub(r"\D", "", str(options[name]))
        return int(digits)

    for name, one in asked.items():
        assert {"time", "mem", "cpus-per-task"} <= one.options.keys() and one.again, name
        assert all(size(one.again, key) > size(one.options, key) for key in one.again), name


def test_every_pattern_of_the_shared_file_fits_a_notebook():
    names = [f"build/{path.relative_to(paths.ROOT).as_posix()}" for path in stored.listed()]
    content = yaml.safe_load(paths.at(cluster.SHARED).read_text(encoding="utf-8"))
    assert all(any(cluster.fnmatch(name, pattern) for name in names) for pattern in content)


def test_resources_that_are_none(request_):
    with pytest.raises(InputError, match=r"mine\.yaml: \*: not options, as in"):
        request_('"*": 8G\n')


@pytest.mark.parametrize(
    ("written", "options"),
    [
        ("exclusive: true", ["--exclusive"]),
        ("exclusive: false", []),
        ("exclusive:", []),
        ("exclusive: user", ["--exclusive=user"]),
        ("time: 12:00:00", ["--time=12:00:00"]),
        ("account: '0123'", ["--account=0123"]),
        ("mem: 1000", ["--mem=1000"]),
        ("partition: [gpu, long]", ["--partition=gpu,long"]),
        ("again: {mem: 3G}", []),
    ],
)
def test_an_option_is_what_was_written(written, options, request_):
    assert words(request_(f'"*":\n  {written}\n')) == options


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("exclusive: yes", "exclusive: 'yes' is a word to YAML; write true or false"),
        ("requeue: Off", "requeue: 'Off' is a word to YAML"),
        ("account: 0123", "0123 would lose the 0 that it begins with; put it between quotes"),
        ("begin: 2026-01-01", "would be read as a date; put it between quotes"),
        ("gres: [[gpu]]", "gres: [['gpu']] is no text as schedulers take it"),
        ("mem: 1.5", "mem: 1.5 is no text as schedulers take it"),
        ("--mem: 8G", "no option; write its long name without dashes"),
        ("1: 8G", "no option; write"),
        ("array: 1-3", "the runner itself sets array; remove it"),
        ("account: 2024_05", "2024_05 would lose its _"),
        ("arr: 1-3", "the runner itself sets array; remove it"),
        ("output: x", "the runner itself sets output; remove it"),
        ("again: 8G", "none*: again: not options, as in"),
        ("again: {mem: 1.5}", "none*: again: mem: 1.5 is no text"),
        ("again: {again: {mem: 8G}}", "again: again: {'mem': '8G'} is no text"),
    ],
)
def test_an_option_that_would_be_another_is_refused(written, said, request_):
    with pytest.raises(InputError) as caught:
        request_(f'"*": {{mem: 8G}}\n"none*":\n  {written}\n')
    assert any(said in problem for problem in caught.value.problems)


def test_all_that_is_wrong_is_said_at_once(request_):
    text = 'submitt: qsub\nsetup: {a: b}\npython: [a]\n"*": {mem: 1.5, 2: x}\n'
    with pytest.raises(InputError) as caught:
        request_(text)
    unknown, setup, python, mem, number = caught.value.problems
    assert unknown.endswith(
        ": submitt: no setting and no pattern; known: submit, cancel, python, setup, and patterns of notebooks such as "
        "'*/*_train*'"
    )
    assert setup.endswith(": setup: {'a': 'b'} is not lines of a shell, as in [module load cuda]; write text")
    assert python.endswith(": python: ['a'] is not a command line; write text")
    assert "mem: 1.5" in mem and "2: 'x'" in number


@pytest.mark.parametrize(
    ("where", "text", "said"),
    [
        ("cluster", "{}", r"WHEREABOUTS_RUN_ON=cluster: \S+mine.yaml has no submit: line; add one"),
        ("cluster", "submit: qsub", r"mine.yaml: submit: has no \{script\}"),
        ("cluster", "submit: qsub {script} {mem}\n'b*': {meme: 1}", r"submit: \{mem\}: nothing .* log, meme,"),
        ("cluster", "submit: qsub {script}\ncancel: qdel {job}", r"mine.yaml: cancel: \{job\}: nothing is asked for"),
        ("slurm", "submit: qsub {script}", r"WHEREABOUTS_RUN_ON=slurm: \S+mine.yaml has a submit: line"),
        ("cluster", '"*": {log: x}', r"the runner itself sets log"),
    ],
)
def test_a_submitter_and_the_switch_belong_together(where, text, said, request_):
    with pytest.raises(InputError, match=said):
        request_(f"{text}\n", where=where)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"WHEREABOUTS_RUN_ON": "here"}, False),
        ({"WHEREABOUTS_RUN_ON": "slurm"}, True),
        ({"WHEREABOUTS_RUN_ON": "cluster"}, True),
        ({"WHEREABOUTS_RUN_ON": "slurm", "SLURM_JOB_ID": "7"}, True),  # an allocation that somebody works in
        ({"WHEREABOUTS_RUN_ON": "slurm", "SLURM_JOB_ID": "7", "WHEREABOUTS_EXIT": "x"}, False),
    ],
)
def test_in_a_job_of_its_own_it_runs_in_place(environment, expected, monkeypatch):
    for name in (cluster.SWITCH, "SLURM_JOB_ID", job.EXIT):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert submit.wanted() is expected


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("sulrm", "error: WHEREABOUTS_RUN_ON=sulrm: unknown; choose one of here, slurm, cluster"),
        ("slurm", "error: WHEREABOUTS_RUN_ON=slurm: no sbatch here; run on a host of the cluster, or unset it"),
    ],
)
def test_a_wrong_switch_and_no_slurm_are_one_line(place, said, tmp_path):
    cell = nbformat.v4.new_code_cell("n = 1", metadata={"tags": ["parameters"]})
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "in.ipynb")
    done = subprocess.run(
        [sys.executable, "-m", "whereabouts.run", str(tmp_path / "in.ipynb"), str(tmp_path / "out.ipynb")],
        cwd=paths.ROOT,
        env=os.environ | {"WHEREABOUTS_RUN_ON": place, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and done.stderr.splitlines() == [said]
    assert not (tmp_path / "out.ipynb").exists()


@pytest.mark.parametrize(
    ("first", "again", "asked"),
    [
        ("64G", "32G", "64G"),
        ("64G", "0.5T", "0.5T"),  # not as Slurm writes it: as it is said
        ("900M", "1G", "1G"),
        ("2T", "512G", "2T"),
        ("'48:00:00'", "'24:00:00'", "48:00:00"),
        ("'1-12'", "'24:00:00'", "1-12"),
        ("'1-00:00:00'", "'36:00:00'", "36:00:00"),
        ("'90:00'", 60, "90:00"),
        (90, "'2:00:00'", "2:00:00"),
    ],
)
def test_a_second_try_asks_for_no_less(first, again, asked, request_):
    """What a private file asks for first may be more than what the shared one asks for again."""
    found = request_(f'"*": {{again: {{what: {again}, other: 1}}}}\n"a*": {{what: {first}}}\n', "a.ipynb")
    assert found.again == {"what": asked, "other": 1}
