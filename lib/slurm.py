"""The notebook runner as a Slurm job: submitted here, awaited, and ended with the job's own exit code.

The switch is an environment variable, WHEREABOUTS_RUN_ON=slurm, so that stage commands, `dvc.lock` and the keys of
DVC's cache are the same everywhere. What a job asks for is in params/cluster.yaml.
"""

import hashlib
import os
import secrets
import shlex
import signal
import subprocess
import sys
import time
from fnmatch import fnmatch
from pathlib import Path

from lib import files, params, paths
from lib.errors import InputError

SWITCH, FILE = "WHEREABOUTS_RUN_ON", "WHEREABOUTS_CLUSTER"
EXIT = "WHEREABOUTS_EXIT"  # where a job leaves its exit code
LOGS = "build/slurm"
WARNING_SECONDS = 60  # from SIGUSR1, on which training puts itself away, to the time limit
LATE = 60  # seconds until a file written on another host is surely seen here, over NFS
ENDING = 100  # seconds until a job that is ending has ended: KillWait, 30 by default, and a margin


def wanted() -> bool:
    """Whether the runner is to submit itself: it was asked to, and is not in a job already."""
    place = os.environ.get(SWITCH, "here")
    if place not in ("here", "slurm"):
        raise InputError(f"{SWITCH}={place}: unknown; choose one of here, slurm")
    return place == "slurm" and "SLURM_JOB_ID" not in os.environ


def resources(notebook: str) -> list[str]:
    """sbatch's options for a notebook: those of every pattern in the file that fits it, the later ones winning."""
    file = os.environ.get(FILE, "params/cluster.yaml")
    options: dict[str, object] = {}
    for pattern, asked in params.load(paths.at(file)).items():
        if not isinstance(asked, dict):
            raise InputError(f"{file}: {pattern}: not options of sbatch, as in {{time: '01:00:00', mem: 8G}}")
        if fnmatch(notebook, pattern):
            options |= asked
    return [f"--{name}={value}" for name, value in options.items() if value is not None]


def submit(arguments: list[str], notebook: str) -> int:
    """Run `python -m lib.run` with `arguments` as a job, copy its log to standard error, and return its exit code.

    Two jobs of one name never run at once, so that a job left behind by a killed submitter is awaited, not doubled.

    Raises:
        KeyboardInterrupt: by Ctrl-C or SIGTERM; the job is cancelled.
        InputError: Slurm is not there, or refuses the job.
    """
    name = f"{Path(notebook).stem}-{hashlib.sha256(f'{paths.ROOT} {arguments}'.encode()).hexdigest()[:8]}"
    log = paths.at(LOGS) / f"{name}-{secrets.token_hex(4)}.log"
    left = log.with_suffix(".exit")
    log.parent.mkdir(parents=True, exist_ok=True)
    command = shlex.join([sys.executable, "-m", "lib.run", *arguments])
    sbatch = [
        *("sbatch", "--wait", "--parsable", "--requeue", "--open-mode=append", "--dependency=singleton"),
        *(f"--job-name={name}", f"--chdir={paths.ROOT}", f"--output={log}", f"--signal=B:USR1@{WARNING_SECONDS}"),
        *resources(notebook),
        # the runner is in place of the shell, since signals are for it; until it listens, the warning is ignored
        f"--wrap=trap '' USR1; exec {command}",
    ]
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # until there is a job to cancel: `_wait` takes it
    try:
        waiting = subprocess.Popen(
            sbatch, env=os.environ | {EXIT: str(left)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    except FileNotFoundError:
        raise InputError(f"{SWITCH}=slurm: no sbatch here; run on a host of the cluster, or unset it") from None
    job = waiting.stdout.readline().strip().split(";")[0]
    if not job:
        said = waiting.communicate()[1].strip().replace("\n", "; ")
        raise InputError(f"sbatch refused the job ({said}); mend params/cluster.yaml")
    try:
        code, how = _wait(waiting, job, log, left)
    except BaseException:
        subprocess.run(["scancel", job], check=False)
        raise
    finally:
        waiting.kill()
        waiting.communicate()
    if code:
        print(f"error: {notebook}: job {job} {how}; its log is {paths.shown(log)}", file=sys.stderr)
    left.unlink(missing_ok=True)
    return code


def _wait(waiting: subprocess.Popen, job: str, log: Path, left: Path) -> tuple[int, str]:
    """Until the job has left its exit code, or `sbatch --wait`, which asks at ever longer intervals, says it ended.

    A job that left none did not end by itself, whatever `sbatch` says: after a time limit that says 0. Only if Slurm
    calls it completed is the file late.

    Returns:
        the code, and in words how a job that does not end with 0 ended.
    """
    seen, state, end = 0, "", float("inf")
    while True:
        if not state and waiting.poll() is not None:
            state = _state(job)
            end = time.monotonic() + (LATE if state == "COMPLETED" else 0)
        if state:
            os.listdir(left.parent)  # without it NFS goes on saying that the file is not there
        there, over = left.exists(), time.monotonic() >= end
        code = int(left.read_text(encoding="utf-8")) if there else waiting.returncode or 1 if over else None
        if log.exists():
            with log.open("rb") as file:
                file.seek(seen)
                content = file.read()
            sys.stderr.buffer.write(content)
            sys.stderr.flush()
            seen += len(content)
        if code is not None:
            return code, "failed" if there else f"ended as {state}"
        if signal.sigtimedwait({signal.SIGTERM}, 0.2):
            raise KeyboardInterrupt


def _state(job: str) -> str:
    """What Slurm says of a job that ended: "TIMEOUT", "OUT_OF_MEMORY"; for a while it may still be ending."""
    end = time.monotonic() + ENDING
    while True:
        done = subprocess.run(["scontrol", "show", "job", job], capture_output=True, text=True, check=False)
        words = [word.partition("=")[2] for word in done.stdout.split() if word.startswith("JobState=")]
        state = words[0] if words else "unknown to Slurm"
        if state not in ("COMPLETING", "RUNNING") or time.monotonic() > end:
            return state
        time.sleep(0.5)


def finish(code: int, again: bool) -> int:
    """In a job: put it back into the queue, if `again`, or leave its exit code for whoever submitted it; the code.

    Slurm decides what goes back: one that was cancelled or is over its time limit stays ended, and one that was
    pre-empted is in the queue already.
    """
    left, job = os.environ.get(EXIT), os.environ.get("SLURM_JOB_ID")
    if left and job and again:
        subprocess.run(["scontrol", "requeue", "Incomplete", job], check=False)
    elif left and job:
        try:
            files.write_text(Path(left), str(code))
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            code = code or 1
        subprocess.run(["scancel", "--state=PENDING", job], check=False)  # pre-empted as it ended, it would run again
    return code
