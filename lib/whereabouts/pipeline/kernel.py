"""The kernel that the runner starts: ipykernel's, without anybody's settings, which listens on no TCP port.

ipykernel would open one, on the loopback address, for what forked processes print. What those of
`whereabouts.training.processes` print comes another way, and others may share the node.
"""

import os

from ipykernel.iostream import IOPubThread
from ipykernel.kernelapp import IPKernelApp

from whereabouts.pipeline import interruption


class KernelApp(IPKernelApp):
    """Reads no configuration, of the user or of the machine, runs no start-up files and keeps no history.

    A notebook keeps what Python prints. What compiled libraries print by themselves, such as OpenMP's and MKL's reports
    that the environment asks for, is the machine's.
    """

    def load_config_file(self, *_, **__) -> None:
        self.capture_fd_output = False
        self.config.HistoryManager.enabled = False

    def init_code(self) -> None:
        pass


def _no_pipe(thread: IOPubThread) -> None:
    thread._pipe_flag = False  # as ipykernel itself does where no port is to be had


if __name__ == "__main__":
    interruption.end_with(int(os.environ["JPY_PARENT_PID"]))  # the runner
    IOPubThread._setup_pipe_in = _no_pipe
    KernelApp.launch_instance()
