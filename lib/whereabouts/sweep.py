"""One notebook with many values: `python -m whereabouts.sweep NOTEBOOK OUT --over KEY=[V,V,...] [key=value ...]`.

Every value of `--over` is a job, every combination where `--over` is said more than once; a parameter that is a list
itself takes a list of lists, as in `--over seed=[[1],[2]]`. Each job is a `python -m whereabouts.run` of its own, some
of them at once, here or, with WHEREABOUTS_RUN_ON=slurm or =cluster, as jobs. In its folder below OUT are what it was
given, its executed notebook, its log, and in `out` what the notebook left. What was finished, of the same notebook,
code and parameters, is not run again; a failure stops no other job. OUT/sweep.csv and OUT/sweep.png show the results
together.
"""

import argparse
import json
import re
import shutil
import signal
import sys
from itertools import product
from pathlib import Path

from rich.console import Console
from rich.live import Live

from whereabouts import files, paths, run
from whereabouts.errors import InputError, raise_all
from whereabouts.pipeline import fan_out, identity, notebooks, plain_yaml, precision, streams, submit, system
from whereabouts.pipeline.interruption import AGAIN
from whereabouts.pipeline.runs import Run

EXECUTED, GIVEN, LOG, LEFT = "executed.ipynb", "parameters.json", "log", "out"  # in a job's folder
# $0 is Python, $1 the notebook's place in a job's folder, $2 OUT, $3 the job
COMMAND = f'exec "$0" -m whereabouts.run "$2/$3/$1" "$2/$3/{EXECUTED}" -f "$2/$3/{GIVEN}"'


class Jobs(fan_out.FanOut):
    """Jobs and how they stand; the log of each is in its folder below `out`."""

    def __init__(self, out: Path, names: list[str], places: list[dict[str, str]], notebook: str):
        super().__init__(dict.fromkeys(names, ()), places, ["sh", "-c", COMMAND, sys.executable, notebook, str(out)])
        self.out = out

    def log(self, stage: str) -> Path:
        return self.out / stage / LOG


def swept(words: list[str]) -> list[dict[str, object]]:
    """Every combination of the values of `KEY=[V,V,...]` words, the last word's value changing fastest.

    Raises:
        InputError: every word that is not of this form, or names a parameter for the second time.
    """
    values: dict[str, list] = {}
    problems = []
    for word in words:
        key, _, text = word.partition("=")
        try:
            given = plain_yaml.parse(text, f"--over {word}")
        except InputError as error:
            problems += error.problems
            continue
        if not isinstance(given, list) or not given:
            problems.append(f"--over {word}: no list of values; write --over {key}=[V,V,...]")
        elif key in values:
            problems.append(f"--over {word}: {key} has values already; write all of them in one list")
        values[key] = given
    raise_all(problems)
    return [dict(zip(values, combination, strict=True)) for combination in product(*values.values())]


def label(point: dict[str, object]) -> str:
    """How a job is called: `steps=100, method=inside`."""
    return ", ".join(f"{key}={one if isinstance(one, str) else json.dumps(one)}" for key, one in point.items())


def place(notebook: Path) -> str:
    """Where a notebook is in a job's folder: below a folder's name, so that patterns of params/cluster.yaml fit it."""
    return f"{notebook.parent.name}/{notebook.name}"


def prepare(notebook: Path, out: Path, points: list[dict], given: dict) -> dict[str, dict]:
    """Make the folder of each job, with its notebook and its parameters.

    Args:
        points: what is swept, as `swept` gives it.
        given: the other parameters; those that are swept win.

    Returns:
        Job, named after its values and the digest of all that makes it -> what is swept in it.

    Raises:
        InputError: parameters that the notebook has not, or has with another type; places where nothing is written.
    """
    title, content = paths.shown(notebook), notebooks.normalise(notebooks.read(notebook))
    used = notebooks.digests(content, notebook)
    defaults, problems = notebooks.parameters(content, title), []
    if LEFT not in defaults:
        problems.append(f"{title}: has no parameter {LEFT}, the folder that gets its results; give it one")
    if LEFT in given or LEFT in points[0]:
        problems.append(f"{LEFT}: each job of a sweep has its own; leave it out")
    if ":" in str(out):
        problems.append(f"{paths.shown(out)}: a sweep's folder has no colon in its name; choose another")
    for point in points:
        try:
            run.check(given | point, defaults, title)
        except InputError as error:
            problems += [problem for problem in error.problems if problem not in problems]
    raise_all(problems)
    jobs = {}
    for point in points:
        values, numbers = _of_the_run(given | point, defaults)
        readable = re.sub(r"[^A-Za-z0-9._]+", "-", label(point))[:80].strip("-.")
        job = f"{readable}-{identity.of(json.dumps(used), values | numbers)[:8]}"
        run.check_output(out / job / EXECUTED, notebook)
        notebooks.write(content, out / job / place(notebook))
        files.write_json((out / job / place(notebook)).with_suffix(notebooks.CODE), used)
        files.write_json(out / job / GIVEN, values | {LEFT: str(out / job / LEFT)})
        jobs[job] = point
    return jobs


def _of_the_run(values: dict, defaults: dict) -> tuple[dict, dict]:
    """The parameters, with the run by its name where params.yaml chooses it; what else the notebook takes from it."""
    if "run" not in defaults:
        return values, {}
    one = Run.of(values.get("run") or "")
    if not one.scale:
        return values, {}
    grid = plain_yaml.load(paths.at("params.yaml"))["scales"][one.scale]
    numbers = [plain_yaml.load(paths.at(f"params/{one.scale}.yaml")), grid]
    said = {"numbers of the run": numbers, "its precision": precision.of(one.scale)}
    return values | {"run": "-".join([one.scale, *one.sources.values()])}, said


def finished(folder: Path) -> bool:
    """Whether the job of this folder ran through: its executed notebook, written at the end, has no error in it."""
    if not (folder / EXECUTED).exists() or not (folder / LEFT).exists():
        return False
    cells = [cell for cell in notebooks.read(folder / EXECUTED).cells if cell.cell_type == "code"]
    errors = [output for cell in cells for output in cell.outputs if output.output_type == "error"]
    return not errors and all(cell.execution_count for cell in cells)


def work(notebook: Path, out: Path, names: list[str], at_once: int) -> list[str]:
    """Run these jobs, `at_once` at a time (0: one a device, or 16 on a cluster); returns those that failed."""
    for job in names:
        shutil.rmtree(out / job / LEFT, ignore_errors=True)
    if submit.wanted():
        places = [{}] * min(at_once or 16, len(names))
    else:
        places = fan_out.devices(min(at_once or len(fan_out.devices(0)), len(names)))
    with Live(console=Console(stderr=True), refresh_per_second=2) as shown:
        return Jobs(out, names, places, place(notebook)).run(shown)


def report(notebook: Path, out: Path, jobs: dict[str, dict]) -> None:
    """Write OUT/sweep.csv and, where jobs left curves, OUT/sweep.png; print the table."""
    from whereabouts.reporting import sweeps

    table, curves = sweeps.gather({job: out / job / LEFT for job in jobs}, jobs)
    files.write_text(out / "sweep.csv", table.to_csv(index=False, float_format="%.6g"))
    if len(table):
        print(table.drop(columns="job").to_string(index=False, na_rep=""))
    print(f"{len(table)} rows in {paths.shown(out / 'sweep.csv')}")
    if curves:
        job, point = next(iter(jobs.items()))
        given = json.loads((out / job / GIVEN).read_text(encoding="utf-8"))
        of_all = {key: value for key, value in given.items() if key not in {LEFT, *point}}
        caption = f"{paths.shown(notebook)}: {label(of_all)}\n{sweeps.origins(out / job / LEFT for job in jobs)}"
        labels = {job: label(point) for job, point in jobs.items()}
        files.write_bytes(out / "sweep.png", sweeps.draw(curves, labels, caption))
        print(f"{len(curves)} panels of curves in {paths.shown(out / 'sweep.png')}")


def sweep(options: argparse.Namespace) -> int:
    """Run what is not finished and report on all that is; 1 if a job failed."""
    notebook, out, found, problems = paths.at(options.notebook), paths.at(options.out), [], []
    for read, words in ((swept, [options.over]), (run.collect, [options.pairs, options.sources])):
        try:
            found.append(read(*words))
        except InputError as error:
            problems += error.problems
    raise_all(problems)
    jobs = prepare(notebook, out, *found)
    todo = [job for job in jobs if not finished(out / job)]
    print(f"{len(jobs)} jobs, {len(jobs) - len(todo)} of them finished before", flush=True)
    failed = work(notebook, out, todo, options.jobs) if todo else []
    report(notebook, out, {job: point for job, point in jobs.items() if job not in failed})
    for job in failed:
        left = [path for path in (out / job / LOG, out / job / EXECUTED) if path.exists()]
        print(f"error: {job} failed; see {' and '.join(map(paths.shown, left))}", file=sys.stderr)
    return 1 if failed else 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m whereabouts.sweep", description="Run a notebook with many values.")
    parser.add_argument("notebook", type=Path, help="to run; it has a parameter `out`")
    parser.add_argument("out", type=Path, help="folder of the jobs, of their table and of the picture of their curves")
    over = "values of a parameter, a job each; every combination where it is said more than once"
    parser.add_argument("--over", metavar="KEY=[V,V,...]", action="append", required=True, help=over)
    parser.add_argument("--jobs", type=int, default=0, help="at a time; by default one a GPU or core, 16 on a cluster")
    section = "parameters from a YAML file; as often as needed"
    parser.add_argument("-f", dest="sources", metavar="FILE[:SECTION]", action="append", default=[], help=section)
    parser.add_argument("pairs", nargs="*", metavar="key=value", help="parameters of all jobs; win over those of -f")
    options = parser.parse_intermixed_args(arguments)
    if options.jobs < 0:
        parser.error(f"--jobs {options.jobs}: give how many, or 0 for one a device")
    system.check()
    try:
        return sweep(options)
    except (InputError, OSError) as error:  # of the second, a log cannot be written
        for problem in getattr(error, "problems", [error]):
            print(f"error: {problem}", file=sys.stderr)
    except KeyboardInterrupt:
        print(f"stopped; {AGAIN}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    streams.outlast()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, also where that is ignored
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    sys.exit(main(sys.argv[1:]))
