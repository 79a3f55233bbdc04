"""A notebook with many values: which jobs there are, which are run, and what they leave together."""

import json

import pandas as pd
import pytest

from runs import notebook
from whereabouts import sweep
from whereabouts.errors import InputError
from whereabouts.paths import ROOT
from whereabouts.pipeline import fan_out

PARAMETERS = (
    "n: int = 2\nname: str = 'a'\nseed: list = [1]\nrate: float = 0.5\nmust: str = ''\nout: str = 'build/scratch/x'"
)
CELL = """
from pathlib import Path
folder = Path(out)
folder.mkdir()  # an earlier one is gone
assert n != 3 or Path(must).exists(), "no such file"
_ = (folder / f"{name}.tsv").write_text(f"step\\tloss\\tdice\\n{n}\\t1\\t{rate}\\n", encoding="utf-8")
"""


@pytest.fixture
def book(tmp_path, monkeypatch):
    monkeypatch.setattr(fan_out, "devices", lambda jobs: [{}] * (jobs or 2))
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "lib"))
    monkeypatch.delenv("WHEREABOUTS_RUN_ON", raising=False)
    (tmp_path / "chapter").mkdir()
    return notebook(tmp_path / "chapter", CELL, parameters=PARAMETERS)


def test_every_combination_is_a_job_and_lists_are_values_of_lists():
    assert sweep.swept(["n=[1, 2]", "name=[a, b]"]) == [
        {"n": 1, "name": "a"},
        {"n": 1, "name": "b"},
        {"n": 2, "name": "a"},
        {"n": 2, "name": "b"},
    ]
    assert sweep.swept(["seed=[[1],[2,3]]"]) == [{"seed": [1]}, {"seed": [2, 3]}]


def test_what_is_no_list_of_values_is_said_all_at_once():
    with pytest.raises(InputError) as caught:
        sweep.swept(["n=1", "n", "n=[]", "a=[1", "b=[1]", "b=[2]"])
    said = caught.value.problems
    assert len(said) == 5 and said[0] == "--over n=1: no list of values; write --over n=[V,V,...]"
    assert "not valid YAML" in said[3] and "b has values already" in said[4]


def test_parameters_are_checked_before_anything_runs(book, tmp_path, capfd):
    out = tmp_path / "out"
    assert sweep.main([str(book), str(out), "--over", "seed=[1,2]", "nope=1", "--over", "out=[a]"]) == 1
    said = capfd.readouterr().err.splitlines()
    assert [line.split(":")[0] + ":" for line in said] == ["error:"] * 4 and not out.exists()
    assert any("seed=1" in line and "wants a list, such as [1]" in line for line in said)
    assert any("nope: unknown parameter" in line for line in said) and "each job of a sweep has its own" in said[0]
    assert sweep.main([str(book), str(tmp_path / "a:b"), "--over", "n=[1]"]) == 1
    assert "no colon" in capfd.readouterr().err
    assert sweep.main([str(book), str(ROOT / "notebooks/x"), "--over", "n=[1]"]) == 1
    assert "is read, not written" in capfd.readouterr().err
    assert sweep.main([str(book), str(out), "--over", "n=1", "broken"]) == 1
    assert len(capfd.readouterr().err.splitlines()) == 2
    bare = notebook(tmp_path, "1")
    assert sweep.main([str(bare), str(out), "--over", "n=[1]"]) == 1
    assert "has no parameter out" in capfd.readouterr().err


def test_a_job_has_a_folder_of_its_own_named_after_what_makes_it(book, tmp_path):
    points = [{"name": name, "rate": rate} for name in ("a/b c", "a b/c", "x" * 300) for rate in (1, 1.0)]
    jobs = sweep.prepare(book, tmp_path / "my out", points, {"n": 5})
    assert list(jobs.values()) == points
    first = next(iter(jobs))
    assert first.startswith("name-a-b-c-rate-1-") and max(map(len, jobs)) < 100
    given = json.loads((tmp_path / "my out" / first / "parameters.json").read_text(encoding="utf-8"))
    assert given == {"n": 5, "name": "a/b c", "rate": 1, "out": str(tmp_path / "my out" / first / "out")}
    assert (tmp_path / "my out" / first / "chapter/in.ipynb").exists()
    assert list(sweep.prepare(book, tmp_path / "my out", points, {"n": 5})) == list(jobs)
    assert not set(sweep.prepare(book, tmp_path / "my out", points, {"n": 6})) & set(jobs)
    notebook(book.parent, CELL + "1", parameters=PARAMETERS)
    assert not set(sweep.prepare(book, tmp_path / "my out", points, {"n": 5})) & set(jobs)


def test_the_run_that_params_yaml_chooses_is_named_and_its_numbers_make_another_job(book, tmp_path, monkeypatch):
    notebook(book.parent, CELL, parameters=PARAMETERS + '\nrun: str = ""')

    def job(**given):
        (name,) = sweep.prepare(book, tmp_path / "out", [{"n": 1}], given)
        return name, json.loads((tmp_path / "out" / name / "parameters.json").read_text(encoding="utf-8"))["run"]

    assert job(run="smoke-real")[1] == "smoke-real" and job(run="a/folder")[1] == "a/folder"
    chosen = job()
    assert chosen[1] and job(run=chosen[1]) == chosen and job(run="smoke-real")[0] != chosen[0]
    load = sweep.plain_yaml.load
    monkeypatch.setattr(sweep.plain_yaml, "load", lambda path: load(path) | {"another": 1})
    assert job()[0] != chosen[0]


def test_a_failure_is_named_and_stops_no_other_and_what_is_finished_is_not_run_again(book, tmp_path, capfd):
    out, must = tmp_path / "my out", tmp_path / "must"
    words = [str(book), str(out), "--over", "n=[3,1]", f"must={must}", "rate=0.25"]
    assert sweep.main(words) == 1
    said = capfd.readouterr()
    assert "2 jobs, 0 of them finished before" in said.out
    (line,) = [line for line in said.err.splitlines() if line.startswith("error:")]
    assert line.startswith("error: n-3-") and line.endswith("executed.ipynb") and "/log and " in line
    (failed,) = out.glob("n-3-*")
    assert "no such file" in (failed / "log").read_text(encoding="utf-8")
    table = pd.read_csv(out / "sweep.csv")
    assert table[["n", "network", "value", "step"]].to_numpy().tolist() == [[1, "a", 0.25, 1]]
    assert (out / "sweep.png").read_bytes().startswith(b"\x89PNG")

    (done,) = out.glob("n-1-*/executed.ipynb")
    before = done.stat().st_mtime_ns
    must.touch()
    assert sweep.main(words) == 0
    assert "2 jobs, 1 of them finished before" in capfd.readouterr().out
    assert done.stat().st_mtime_ns == before
    assert pd.read_csv(out / "sweep.csv").n.tolist() == [3, 1]
    assert sweep.main(words) == 0 and "2 of them finished before" in capfd.readouterr().out


@pytest.mark.parametrize(("jobs", "most"), [([], 3), (["--jobs", "2"], 2)])
def test_on_a_cluster_jobs_submit_themselves_and_no_device_here_is_asked_for(jobs, most, book, tmp_path, monkeypatch):
    monkeypatch.setenv("WHEREABOUTS_RUN_ON", "slurm")
    monkeypatch.setattr(fan_out, "devices", None)
    monkeypatch.setattr(sweep, "COMMAND", 'echo "$WHEREABOUTS_RUN_ON" > "$2/$3/place"; exit 1')
    made, run = [], sweep.Jobs.run
    monkeypatch.setattr(sweep.Jobs, "run", lambda self, shown: made.append(self) or run(self, shown))
    assert sweep.main([str(book), str(tmp_path / "out"), "--over", "n=[1,2,3]", *jobs]) == 1
    assert made[0].places.qsize() == most
    assert [path.read_text(encoding="utf-8") for path in (tmp_path / "out").glob("*/place")] == ["slurm\n"] * 3


def test_told_to_stop_it_says_so_in_a_line(book, tmp_path, monkeypatch, capfd):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep.Jobs, "run", stop)
    assert sweep.main([str(book), str(tmp_path / "out"), "--over", "n=[1]"]) == 1
    assert capfd.readouterr().err.strip().splitlines()[-1].startswith("stopped; ")
