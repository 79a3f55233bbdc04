"""The notebook runner as a Slurm job: submitted here, awaited, and ended with the job's own exit code.

The switch is an environment variable, WHEREABOUTS_RUN_ON=slurm, so that stage commands, `dvc.lock` and the keys of
DVC's cache are the same everywhere. What a job asks for is in params/cluster.yaml.
"""

import hashlib
import os
import secrets
import shlex
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
        code = _wait(waiting, log, left)
    except BaseException:
        subprocess.run(["scancel", job], check=False)
        raise
    finally:
        waiting.kill()
        waiting.communicate()
    if code:
        how = "failed" if left.exists() else f"ended as {_state(job)}"
        print(f"error: {notebook}: job {job} {how}; its log is {paths.shown(log)}", file=sys.stderr)
    left.unlink(missing_ok=True)
    return code


def _wait(waiting: subprocess.Popen, log: Path, left: Path) -> int:
    """Until the job has left its exit code, or `sbatch --wait`, which asks at ever longer intervals, says it ended.

    A job that left none did not end by itself, whatever `sbatch` says: after a time limit that says 0.
    """
    seen = 0
    while True:
        ended = waiting.poll() is not None
        code = int(left.read_text()) if left.exists() else waiting.returncode or 1 if ended else None
        if log.exists():
            with log.open("rb") as file:
                file.seek(seen)
                content = file.read()
            sys.stderr.buffer.write(content)
            sys.stderr.flush()
            seen += len(content)
        if code is not None:
            return code
        time.sleep(0.2)


def _state(job: str) -> str:
    """What Slurm says of a job that ended: "TIMEOUT", "OUT_OF_MEMORY"; for a while it may still be ending."""
    state, tries = "COMPLETING", 0
    while state in ("COMPLETING", "RUNNING") and tries < 50:
        time.sleep(0.2 if tries else 0)
        done = subprocess.run(["scontrol", "show", "job", job], capture_output=True, text=True, check=False)
        words = [word.partition("=")[2] for word in done.stdout.split() if word.startswith("JobState=")]
        state, tries = words[0] if words else "unknown to Slurm", tries + 1
    return state


def finish(code: int, again: bool) -> int:
    """In a job: put it back into the queue, if `again`, or leave its exit code for whoever submitted it; the code."""
    left, job = os.environ.get(EXIT), os.environ.get("SLURM_JOB_ID")
    if left and job and not (again and subprocess.run(["scontrol", "requeue", job], check=False).returncode == 0):
        files.write_text(Path(left), str(code))
    return code
