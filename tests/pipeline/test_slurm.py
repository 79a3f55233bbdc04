"""The runner on a real Slurm of one node; without root or without Slurm these tests say why they are skipped."""

import shlex
import subprocess
import sys
import time

import nbformat
import psutil
import pytest

import real_slurm
from whereabouts.paths import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(real_slurm.missing()), reason=f"no Slurm: {real_slurm.missing()}"),
]

RESOURCES = """
"*": {cpus-per-task: 1, time: "00:10:00", again: false}
"*/limited.ipynb": {time: "00:01:00"}
"*/twice.ipynb": {time: "00:01:00", again: {time: "00:09:00"}}
setup: ["export SET_UP=1"]
"""
TRAINS = """
import os, time
from whereabouts.pipeline import interruption
done = int(open(state).read()) if os.path.exists(state) else 0
print("begins at", done)
while done < steps:
    if interruption.asked():
        open(state, "w").write(str(done))
        raise interruption.Interrupted("halfway")
    time.sleep(0.1)
    done += 1
    if done == 5:
        open(state + ".begun", "w").close()
open(state + ".result", "w").write(str(done))
"""
SLEEPS = "import time\nopen(state + '.begun', 'w').close()\ntime.sleep(steps)"


@pytest.fixture(scope="module")
def slurm():
    with real_slurm.Slurm() as one:
        yield one


class Job:
    """A notebook on its way through Slurm, as `python -m whereabouts.run` with the switch set."""

    def __init__(self, slurm, folder, cell, name="job", submit=True, **values):
        self.slurm, self.folder, self.out = slurm, folder, folder / f"{name}-out.ipynb"
        first = nbformat.v4.new_code_cell(
            f"state = {str(folder / 'state')!r}\nsteps = 20", metadata={"tags": ["parameters"]}
        )
        nbformat.write(
            nbformat.v4.new_notebook(cells=[first, nbformat.v4.new_code_cell(cell)]), folder / f"{name}.ipynb"
        )
        (folder / "cluster.yaml").write_text(RESOURCES, encoding="utf-8")
        if not submit:
            return
        environment = slurm.environment | {
            "WHEREABOUTS_RUN_ON": "slurm",
            "WHEREABOUTS_CLUSTER": str(folder / "cluster.yaml"),
        }
        words = [f"{key}={value}" for key, value in values.items()]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "whereabouts.run", str(folder / f"{name}.ipynb"), str(self.out), *words],
            cwd=ROOT,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )

    def id(self):
        """Its number, once it runs."""
        while True:
            if running := self.slurm.say("squeue", "--noheader", "--states=R", "--format=%i").split():
                return running[0]
            assert self.process.poll() is None
            time.sleep(0.1)

    def end(self):
        """Its submitter's exit code; nothing runs then, so that `id` of the next one does not find this one."""
        _, self.errors = self.process.communicate(timeout=150)
        until(lambda: not self.slurm.say("squeue", "--noheader", "--states=R"))
        return self.process.returncode


def until(there, seconds=30):
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_success_is_the_same_notebook_as_here(slurm, tmp_path):
    cell = "import os\nassert 'SLURM_JOB_ID' in os.environ or state == 'here'\nprint(steps)"
    job = Job(slurm, tmp_path, cell)
    assert job.end() == 0, job.errors
    here = tmp_path / "here.ipynb"
    job = Job(slurm, tmp_path, cell.replace("state == 'here'", "True"), name="both")
    assert job.end() == 0, job.errors
    subprocess.run(
        [sys.executable, "-m", "whereabouts.run", str(tmp_path / "both.ipynb"), str(here)], cwd=ROOT, check=True
    )
    assert here.read_bytes() == job.out.read_bytes()


def test_a_failing_cell(slurm, tmp_path):
    job = Job(
        slurm,
        tmp_path,
        "from whereabouts.errors import InputError\nraise InputError('scan.nii: truncated; get it again')",
    )
    assert job.end() == 1
    assert "error: scan.nii: truncated; get it again\n" in job.errors
    assert " failed; its log is build/jobs/" in job.errors
    assert "Traceback" not in job.errors


def test_a_kernel_killed_for_its_memory(slurm, tmp_path):
    job = Job(slurm, tmp_path, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    assert job.end() == 1
    assert "if memory ran out, choose a smaller batch or scale\n" in job.errors


def test_a_job_killed_with_its_runner(slurm, tmp_path):
    """As the kernel of the system does it to a job that takes too much: nobody is left to say why."""
    job = Job(
        slurm,
        tmp_path,
        "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nos.kill(os.getpid(), signal.SIGKILL)",
    )
    assert job.end() not in (0, None)
    assert "ended as FAILED" in job.errors


def test_the_time_limit(slurm, tmp_path):
    """What cannot be put away is ended at its limit, and not run again."""
    job = Job(slurm, tmp_path, SLEEPS, steps=600, name="limited")
    assert job.end() not in (0, None)
    assert "stopped; run it again to go on" in job.errors
    assert "ended as TIMEOUT; " in job.errors


def test_a_second_try_has_more_time(slurm, tmp_path):
    cell = "import os\nif not os.path.exists(state + '.begun'):\n    " + SLEEPS.replace("\n", "\n    ")
    job = Job(slurm, tmp_path, cell, steps=600, name="twice")
    assert job.end() == 0, job.errors
    assert (
        " ended as TIMEOUT; its log is build/jobs/" in job.errors and "; once more, with --time=00:09:00" in job.errors
    )


def test_set_up_lines_come_first(slurm, tmp_path, monkeypatch):
    job = Job(slurm, tmp_path, "import os\nassert os.environ['SET_UP'] == '1'")
    assert job.end() == 0, job.errors
    monkeypatch.setattr(sys.modules[__name__], "RESOURCES", RESOURCES.replace("export SET_UP=1", "exit 5"))
    job = Job(slurm, tmp_path, "1")
    assert job.end() == 5
    assert " failed; its log is build/jobs/" in job.errors


def test_within_an_allocation_it_submits(slurm, tmp_path):
    """A driver job: what Slurm has set there makes no part of it of the job."""
    cell = "import os\nassert os.environ['SLURM_JOB_ID'] != os.environ['DRIVER'], os.environ['DRIVER']"
    driver = slurm.environment | {"WHEREABOUTS_RUN_ON": "slurm", "WHEREABOUTS_CLUSTER": str(tmp_path / "cluster.yaml")}
    job = Job(slurm, tmp_path, cell, submit=False)
    run = shlex.join([sys.executable, "-m", "whereabouts.run", str(tmp_path / "job.ipynb"), str(job.out)])
    words = ["sbatch", "--wait", f"--output={tmp_path}/driver.log", "--cpus-per-task=1", "--export=ALL"]
    wrap = f"--wrap=DRIVER=$SLURM_JOB_ID exec {run}"
    done = subprocess.run([*words, wrap], cwd=ROOT, env=driver, capture_output=True, text=True)
    said = (tmp_path / "driver.log").read_text(encoding="utf-8")
    assert (done.returncode, said) == (0, "")
    assert job.out.exists()


@pytest.mark.parametrize("cell", [SLEEPS, TRAINS], ids=["stopped", "put away"])
def test_cancelled(cell, slurm, tmp_path):
    """The job has time to end by itself, and is not run again for all that."""
    job = Job(slurm, tmp_path, cell, steps=600)
    name = job.id()
    until((tmp_path / "state.begun").exists)
    slurm.say("scancel", name)
    assert job.end() not in (0, None)
    assert "; run it again to go on\n" in job.errors
    assert "ended as CANCELLED; " in job.errors


def test_cancelled_by_its_submitter_that_is_told_to_end(slurm, tmp_path):
    """As `whereabouts.pipeline.fan_out` does it on Ctrl-C: training is put away."""
    job = Job(slurm, tmp_path, TRAINS, steps=600)
    name = job.id()
    until((tmp_path / "state.begun").exists)
    job.process.terminate()
    assert job.end() == 75
    until(lambda: "JobState=CANCELLED " in slurm.say("scontrol", "show", "job", name))
    assert 0 < int((tmp_path / "state").read_text(encoding="utf-8")) < 600


def test_requeued_from_outside_as_it_ends(slurm, tmp_path):
    """What ends all the same does not run again."""
    job = Job(slurm, tmp_path, SLEEPS, steps=4)
    name = job.id()
    until((tmp_path / "state.begun").exists)
    slurm.say("scontrol", "requeue", name)
    assert job.end() == 0, job.errors
    until(lambda: "JobState=CANCELLED " in slurm.say("scontrol", "show", "job", name))


@pytest.mark.parametrize(
    "command", ["scancel --signal=TERM --full", "scancel --signal=USR1 --full", "scontrol requeue"]
)
def test_put_away_requeued_and_resumed(command, slurm, tmp_path):
    """By itself, on a signal; or by an administrator, or to make room for another job."""
    job = Job(slurm, tmp_path, TRAINS, steps=60)
    name = job.id()
    until((tmp_path / "state.begun").exists)
    slurm.say(*command.split(), name)
    assert job.end() == 0, job.errors
    assert (tmp_path / "state.result").read_text(encoding="utf-8") == "60"
    assert "begins at 0" not in job.out.read_text(encoding="utf-8") and "begins at" in job.out.read_text(
        encoding="utf-8"
    )


def test_put_away_before_the_time_limit(slurm, tmp_path):
    """The limit is a minute and so is the warning before it, which Slurm thinks of every half a minute."""
    job = Job(slurm, tmp_path, TRAINS, name="limited", steps=400)
    assert job.end() == 0, job.errors
    assert (tmp_path / "state.result").read_text(encoding="utf-8") == "400"
    assert "begins at 0" not in job.out.read_text(encoding="utf-8") and "begins at" in job.out.read_text(
        encoding="utf-8"
    )


def test_the_controller_is_restarted_in_the_middle(slurm, tmp_path):
    job = Job(slurm, tmp_path, TRAINS, steps=80)
    job.id()
    slurm.stop("slurmctld")
    time.sleep(2)
    slurm.start_controller()
    assert job.end() == 0, job.errors
    assert (tmp_path / "state.result").read_text(encoding="utf-8") == "80"


def test_eight_at_once(slurm, tmp_path):
    jobs = []
    for number in range(8):
        (tmp_path / str(number)).mkdir()
        jobs.append(Job(slurm, tmp_path / str(number), TRAINS, steps=number))
    assert [job.end() for job in jobs] == [0] * 8
    assert [(tmp_path / str(n) / "state.result").read_text(encoding="utf-8") for n in range(8)] == [
        str(n) for n in range(8)
    ]


def test_a_job_whose_submitter_was_killed_is_not_doubled(slurm, tmp_path):
    """The second waits until the first has ended, and finds what that did."""
    first = Job(slurm, tmp_path, TRAINS, steps=150)
    name = first.id()
    for process in (*psutil.Process(first.process.pid).children(), first.process):  # its sbatch would outlive Slurm
        process.kill()
    first.process.communicate()
    second = Job(slurm, tmp_path, TRAINS, steps=150)
    until(lambda: "Dependency" in slurm.say("squeue", "--noheader", "--format=%r"))
    assert slurm.say("squeue", "--noheader", "--states=R", "--format=%i").split() == [name]
    assert second.end() == 0, second.errors


def test_what_slurm_refuses_is_one_line(slurm, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "RESOURCES", '"*": {partition: nowhere}\n')
    job = Job(slurm, tmp_path, "1")
    assert job.end() == 1
    (line,) = job.errors.strip().splitlines()
    assert line.startswith("error: sbatch refused the job (") and "partition" in line
