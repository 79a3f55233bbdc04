"""A real Slurm of one node, this host: `python tests/real_slurm.py COMMAND ...` runs a command beside it.

It starts munged, slurmctld and slurmd (Debian's packages slurm-wlm and munge) with a configuration of its own, in a
folder of its own, and stops them at the end. It needs root, as slurmd does; `missing` says what is not there.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

CONFIGURATION = """\
ClusterName=whereabouts
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
MailProg=/bin/true
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
KillWait=30
SchedulerParameters=batch_sched_delay=0,sched_min_interval=100000
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=1000000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Why there can be no Slurm here; "" if there can."""
    if os.geteuid() != 0:
        return "Slurm's daemons need root"
    lacking = [name for name in ("munged", "slurmctld", "slurmd", "sbatch") if not shutil.which(name)]
    return f"not installed: {', '.join(lacking)} (Debian: slurm-wlm, munge)" if lacking else ""


class Slurm:
    """The three daemons, between `with` and its end; `environment` is what a client needs."""

    def __enter__(self) -> "Slurm":
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-"))
        self.folder.chmod(0o755)
        (self.folder / "state").mkdir()
        (self.folder / "spool").mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        host = socket.gethostname().split(".")[0]
        names = {"host": host, "ports": _free_ports(2), "folder": self.folder, "cpus": os.cpu_count()}
        (self.folder / "slurm.conf").write_text(CONFIGURATION.format(**names), encoding="utf-8")
        self.environment = os.environ | {"SLURM_CONF": str(self.folder / "slurm.conf")}
        self.daemons: dict[str, subprocess.Popen] = {}
        try:
            paths = {"socket": "munge.socket", "pid-file": "munge.pid", "log-file": "munge.log", "seed-file": "seed"}
            files = [f"--{option}={self.folder / name}" for option, name in (paths | {"key-file": "munge.key"}).items()]
            self._start("munged", "--foreground", "--force", *files)
            self._until(lambda: (self.folder / "munge.socket").exists(), "munged")
            self.start_controller()
            self._start("slurmd", "-D")
            self._until(lambda: "idle" in self.say("sinfo", "--noheader", "--format=%t"), "the node")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        for name in reversed(self.daemons):
            self.stop(name)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start_controller(self) -> None:
        self._start("slurmctld", "-D")
        self._until(lambda: "UP" in self.say("scontrol", "ping"), "slurmctld")

    def stop(self, name: str, number: int = signal.SIGTERM) -> None:
        """End a daemon."""
        process = self.daemons[name]
        with suppress(ProcessLookupError):
            process.send_signal(number)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def say(self, *command: str) -> str:
        """What a client command prints."""
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False).stdout

    def _start(self, name: str, *options: str) -> None:
        with open(self.folder / f"{name}.out", "ab") as out:
            self.daemons[name] = subprocess.Popen([name, *options], env=self.environment, stdout=out, stderr=out)

    def _until(self, there, name: str, seconds: float = 300) -> None:
        end = time.monotonic() + seconds
        while not there():
            if time.monotonic() > end:
                logs = [*self.folder.glob("*.log"), *self.folder.glob("*.out")]
                raise RuntimeError(
                    f"{name} does not come up:\n" + "\n".join(log.read_text(encoding="utf-8")[-1500:] for log in logs)
                )
            time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


if __name__ == "__main__":
    if reason := missing():
        sys.exit(f"error: no Slurm here: {reason}")
    with Slurm() as slurm:
        sys.exit(subprocess.run(sys.argv[1:], env=slurm.environment, check=False).returncode)
