"""The kernel that the runner starts: ipykernel's, which listens on no TCP port.

ipykernel would open one, on the loopback address, for what forked processes print. Nothing here forks, and others may
share the node.
"""

from ipykernel import kernelapp
from ipykernel.iostream import IOPubThread


def _no_pipe(thread: IOPubThread) -> None:
    thread._pipe_flag = False  # as ipykernel itself does where no port is to be had


if __name__ == "__main__":
    IOPubThread._setup_pipe_in = _no_pipe
    kernelapp.launch_new_instance()
