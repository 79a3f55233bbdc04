"""A kernel as its runner sees it: a process, in surroundings of its own, that never outlives the run."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from jupyter_client import AsyncKernelClient, AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_core.utils import run_sync

from whereabouts import paths


class _Specification(KernelSpecManager):
    """One kernel, `whereabouts.pipeline.kernel` in this Python; what Jupyter's settings know of kernels is ignored."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(
            argv=[sys.executable, "-m", "whereabouts.pipeline.kernel", "-f", "{connection_file}"],
            display_name="Whereabouts",
            language="python",
            metadata={"kernel_provisioner": {"provisioner_name": "local-provisioner"}},
        )


class _Manager(AsyncKernelManager):
    seen: AsyncKernelClient | None = None

    def client(self, **options) -> AsyncKernelClient:
        self.seen = super().client(**options)
        return self.seen


class KernelProcess:
    """A kernel that is not started yet.

    Args:
        folder: for its sockets, which are files, not TCP ports: others may share the node.
    """

    name = "whereabouts"

    def __init__(self, folder: Path):
        self.manager = _Manager(
            kernel_name=self.name,
            kernel_spec_manager=_Specification(),
            transport="ipc",
            ip=str(folder / "kernel"),
            connection_file=str(folder / "connection.json"),
        )
        self.errors = folder / "errors"
        self.stopped = False
        self._process: subprocess.Popen | None = None

    @property
    def process(self) -> subprocess.Popen | None:
        """The process, once there is one; Jupyter forgets it when it has ended."""
        provisioner = self.manager.provisioner
        self._process = (provisioner and provisioner.process) or self._process
        return self._process

    def start(self, environment: dict[str, str]) -> None:
        """Start it; what it says before it listens, of why it cannot, is kept for `ended`."""
        with self.errors.open("wb") as errors:
            run_sync(self.manager.start_kernel)(
                env=environment, cwd=str(paths.ROOT), stdout=subprocess.DEVNULL, stderr=errors
            )

    def stop(self) -> None:
        """End it at once because the run was asked to end; from any thread, also before it starts, and again."""
        self.stopped = True
        self._kill()

    def close(self) -> None:
        """End it, if it runs, with every process that it started, and close the sockets to it."""
        self._kill()
        if self.process:
            self.process.wait()
        if self.manager.seen:
            self.manager.seen.stop_channels()
        run_sync(self.manager.cleanup_resources)()

    def _kill(self) -> None:
        if self.process and self.process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)  # it leads a group of its own

    def ended(self) -> str:
        """How it ended, and the last it said."""
        status = self.process.poll()
        if status is None:
            return "the kernel does not answer"
        if status == -signal.SIGKILL:
            return "the kernel was killed (SIGKILL); if memory ran out, choose a smaller batch or scale"
        known = {one.value: one.name for one in signal.Signals}
        how = f"by {known.get(-status, f'signal {-status}')}" if status < 0 else f"with exit status {status}"
        said = self.errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f"the kernel ended {how}" + (f": {said[-1].strip()}" if said else "; look at the cell that ran last")
