"""Run what is stale side by side: `python -m whereabouts.pipeline.fan_out [--jobs N] [--on PLACE] [--then COMMAND]`.

Every stale stage is one `dvc repro --single-item`, started once all that it depends on is done, N at a time, and
recorded by DVC as it ends. A failure stops only what depends on it; Ctrl-C and SIGTERM stop all, once training has put
itself away; a terminal that is closed stops nothing. With `--on here` (the default) each job is bound to
a device of its own: a GPU, or a share of the cores. With `--on slurm` each notebook is a Slurm job, with `--on cluster`
a job of whatever params/cluster.yaml says (`whereabouts.pipeline.submit`), and this process only waits. At the end
`dvc repro` finds nothing left to do, or the failures are listed and the exit code is 1. How every stage stands is in
build/fan_out/summary.tsv as they end; a command that is to run after all, to send it to somebody, finds that file in
WHEREABOUTS_SUMMARY and the exit code in WHEREABOUTS_CODE.
"""

import argparse
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from graphlib import TopologicalSorter
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from whereabouts import files, paths
from whereabouts.errors import InputError
from whereabouts.pipeline import cluster, streams, system
from whereabouts.pipeline.interruption import AGAIN

LOGS = "build/fan_out"
SUMMARY, HEADER = f"{LOGS}/summary.tsv", "state\tseconds\tstage\tlog\n"
CORES = "WHEREABOUTS_CORES"  # the cores that a job here is bound to
ENDING = 60  # seconds until whatever was told to end surely has
COLOURS = {"waits": "dim", "runs": "cyan", "done": "green", "failed": "red", "not run": "yellow"}


def stale() -> dict[str, list[str]]:
    """Every stage that DVC would run, with those of them that it depends on, under the names that `dvc repro` takes.

    What comes after a stage that changed counts too, although its dependencies may turn out the same. What DVC runs
    every time is left to it.
    """
    from dvc.repo import Repo

    with Repo(str(paths.ROOT), _wait_for_lock=True) as repo:
        stages = {stage.addressing: stage for stage in repo.index.stages if stage.cmd}
        always = {stage.name for stage in stages.values() if stage.always_changed}
        changed = {stages[name].name for name in repo.status() if name in stages} - always
        needs = {
            stage.name: [need.name for need in repo.index.graph.successors(stage) if need.cmd]
            for stage in stages.values()
        }
    order = list(TopologicalSorter(needs).static_order())
    for name in order:
        if changed & set(needs[name]) and name not in always:
            changed.add(name)
    return {name: [need for need in needs[name] if need in changed] for name in order if name in changed}


def executed(stage: str) -> list[str]:
    """The executed notebook of a stage, if it has one and it is there: with the traceback, if it failed."""
    from dvc.repo import Repo

    with Repo(str(paths.ROOT)) as repo:
        (found,) = (one for one in repo.index.stages if getattr(one, "name", None) == stage)
        names = [paths.shown(out.fs_path) for out in found.outs if out.fs_path.endswith(".ipynb")]
    return [name for name in names if paths.at(name).exists()]


def devices(jobs: int) -> list[dict[str, str]]:
    """What each of the jobs that run here at once finds in its environment: a GPU in turn, or its share of the cores.

    Where CUDA_VISIBLE_DEVICES is set, the GPUs are those that it names.

    Args:
        jobs: how many; 0 for one a device.
    """
    system.check()
    import torch

    if count := torch.cuda.device_count():
        names = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count)))).split(",")
        return [{"CUDA_VISIBLE_DEVICES": names[job % count]} for job in range(jobs or count)]
    cores = sorted(os.sched_getaffinity(0))
    shares = [cores[job % len(cores) :: jobs or len(cores)] for job in range(jobs or len(cores))]
    return [{CORES: ",".join(map(str, share)), "OMP_NUM_THREADS": str(len(share))} for share in shares]


class FanOut:
    """Stages and how they stand.

    Args:
        needs: stage -> the stages before it, as `stale` gives them.
        places: the environment of each of the jobs that run at once; as many as there are places.
        command: what runs a stage, its name appended.
    """

    def __init__(self, needs: dict[str, list[str]], places: list[dict[str, str]], command: list[str]):
        self.needs, self.command = needs, command
        self.state = dict.fromkeys(needs, "waits")
        self.seconds: dict[str, float] = {}
        self.running: dict[str, subprocess.Popen] = {}
        self.beginning, self.stopped = threading.Lock(), False
        self.places: queue.Queue = queue.Queue()
        for place in places:
            self.places.put(place)

    def log(self, stage: str) -> Path:
        return paths.at(LOGS) / f"{stage}.log"

    def run(self, shown: Live) -> list[str]:
        """Run all; returns the stages that failed."""
        sorter = TopologicalSorter(self.needs)
        sorter.prepare()
        futures: dict[Future, str] = {}
        with ThreadPoolExecutor(self.places.qsize()) as pool:
            try:
                while sorter.is_active():
                    for stage in sorter.get_ready():
                        if any(self.state[need] != "done" for need in self.needs[stage]):
                            self.state[stage] = "not run"
                            sorter.done(stage)
                        else:
                            futures[pool.submit(self._run, stage)] = stage
                    ended, _ = wait(futures, timeout=0.5, return_when=FIRST_COMPLETED)
                    for future in ended:
                        stage = futures.pop(future)
                        self.state[stage] = "done" if future.result() == 0 else "failed"
                        sorter.done(stage)
                        shown.console.print(f"{self.state[stage]:7} {stage} ({self.seconds[stage]:.0f} s)")
                    if ended:
                        self.summarise()
                    shown.update(Group(self.table(), ""))  # in a log, what follows begins a line of its own
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self._stop()
                self.state |= {stage: "stopped" for stage, state in self.state.items() if state == "runs"}
                self.summarise()
                raise
        self.summarise()
        return [stage for stage, state in self.state.items() if state == "failed"]

    def _stop(self) -> None:
        """End what runs, and wait for it: a run that begins while training puts itself away would be in its way."""
        with self.beginning:
            self.stopped, groups = True, {process.pid for process in self.running.values()}
        number, end = signal.SIGTERM, time.monotonic() + ENDING
        while groups and time.monotonic() < end:
            for group in list(groups):
                try:
                    os.killpg(group, number)
                except ProcessLookupError:
                    groups.remove(group)
            number = 0  # no signal: only whether anyone is left in the group
            time.sleep(0.1)

    def _run(self, stage: str) -> int:
        place, start = self.places.get(), time.monotonic()
        cores = {int(core) for core in place[CORES].split(",")} if CORES in place else None
        self.state[stage] = "runs"
        try:
            self.log(stage).parent.mkdir(parents=True, exist_ok=True)
            with self.log(stage).open("wb") as log:
                with self.beginning:
                    if self.stopped:
                        return 1
                    self.running[stage] = process = subprocess.Popen(
                        [*self.command, stage],
                        cwd=paths.ROOT,
                        env=os.environ | place,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                if cores:
                    os.sched_setaffinity(process.pid, cores)
                return process.wait()
        finally:
            self.running.pop(stage, None)
            self.places.put(place)
            self.seconds[stage] = time.monotonic() - start

    def summarise(self) -> None:
        """Write how every stage stands, a line each, those that failed first; where no file can be, the logs say so."""
        order = ["failed", "stopped", "runs", "waits", "not run", "done"]
        lines = []
        for stage, state in sorted(self.state.items(), key=lambda one: order.index(one[1])):
            took = f"{self.seconds[stage]:.0f}" if stage in self.seconds else ""
            log = paths.relative(self.log(stage)) if stage in self.seconds else ""
            lines.append(f"{state}\t{took}\t{stage}\t{log}\n")
        with suppress(InputError):
            files.write_text(paths.at(SUMMARY), HEADER + "".join(lines))

    def table(self) -> Table:
        """How many stages stand how, and which run."""
        table = Table(box=None, show_header=False, padding=(0, 1))
        for state, colour in COLOURS.items():
            stages = [stage for stage, its in self.state.items() if its == state]
            named = ", ".join(stages) if state in ("runs", "failed") else ""
            table.add_row(state, str(len(stages)), named, style=colour)
        return table


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m whereabouts.pipeline.fan_out", description="Run what is stale side by side."
    )
    parser.add_argument("--jobs", type=int, default=0, help="at a time; by default one a GPU or core, 16 on a cluster")
    words = "as jobs of this machine, of Slurm, or of what `submit:` in params/cluster.yaml says"
    parser.add_argument("--on", choices=cluster.PLACES, default="here", help=words)
    words = "a shell's line to run after all; it finds WHEREABOUTS_SUMMARY, a file, and WHEREABOUTS_CODE, 0 or not"
    parser.add_argument("--then", metavar="COMMAND", default="", help=words)
    options = parser.parse_args(arguments)
    if options.jobs < 0:
        parser.error(f"--jobs {options.jobs}: give how many, or 0 for one a device")
    system.check()
    with suppress(InputError):
        files.write_text(paths.at(SUMMARY), HEADER)  # in place of another time's
    code = 1
    try:
        code = _fan_out(options.jobs, options.on)
    except KeyboardInterrupt:
        print(f"stopped; {AGAIN}", file=sys.stderr)
    except InputError as error:
        print("\n".join(f"error: {problem}" for problem in error.problems), file=sys.stderr)
    except OSError as error:  # a log cannot be written
        print(f"error: {files.unwritable(paths.at(error.filename or LOGS), error)}", file=sys.stderr)
    if options.then:
        told = {"WHEREABOUTS_SUMMARY": str(paths.at(SUMMARY)), "WHEREABOUTS_CODE": str(code)}
        done = subprocess.run(["sh", "-c", options.then], cwd=paths.ROOT, env=os.environ | told)
        if done.returncode:
            print(f"error: {options.then}: ended with {done.returncode}; mend it and run it again", file=sys.stderr)
    return code


def _fan_out(jobs: int, on: str) -> int:
    """Run what is stale, `jobs` at a time (0: as many as there are places), and at the end what DVC runs every time."""
    dvc = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro"]
    if on != "here":
        cluster.request("", on)  # what is wrong there is said once, and before anything runs
    first = [*dvc, "--single-item", "index", "strip"]
    if subprocess.run([*first, "--quiet"], cwd=paths.ROOT).returncode:
        return subprocess.run(first, cwd=paths.ROOT).returncode  # once more, for DVC keeps its reason quiet too
    places = devices(jobs) if on == "here" else [{}] * (jobs or 16)
    places = [place | {cluster.SWITCH: on} for place in places]
    work = FanOut(stale(), places, [*dvc, "--single-item"])
    work.summarise()
    if not work.needs:
        print("nothing is stale")
        return 0
    with Live(console=Console(stderr=True), refresh_per_second=2) as shown:
        failed = work.run(shown)
    if not failed:
        return subprocess.run(dvc, cwd=paths.ROOT, env=os.environ | {cluster.SWITCH: on}).returncode
    for stage in failed:
        left = " and ".join([paths.shown(work.log(stage)), *executed(stage)])
        print(f"error: {stage} failed; see {left}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    streams.outlast()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, also where that is ignored
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.chdir(paths.ROOT)  # where DVC's own folder is looked for
    sys.exit(main(sys.argv[1:]))
