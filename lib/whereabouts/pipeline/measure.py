"""What a run costs: seconds, memory and arithmetic of each stage, left in a folder for whoever asks for it.

`whereabouts.pipeline.rehearse` asks, by naming the folder in WHEREABOUTS_MEASURE; without it nothing is measured and
nothing is written. A stage has one file there, to which it and each of its trainings add a line of JSON; of two lines
on the same thing the later counts, so that a stage that was put away and taken up again is measured by its last try.
"""

import json
import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

CHANNEL = "WHEREABOUTS_MEASURE"
STAGE = "DVC_STAGE"  # DVC names the stage here that it runs


def _add(line: dict) -> None:
    folder = Path(os.environ[CHANNEL])
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{os.environ.get(STAGE, 'by hand')}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


@contextmanager
def stage() -> Iterator[None]:
    """Around a notebook: its seconds, and the most memory that any one of the processes that ran it held at once."""
    start = time.monotonic()
    yield
    if CHANNEL in os.environ:
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024  # Linux counts in KiB
        _add({"of": "stage", "seconds": time.monotonic() - start, "peak": peak})


def training(learner: object, steps: int, title: str) -> None:
    """Have `learner`, a `whereabouts.training.loop.Learner`, measured: its last step, and its last validation.

    The first step chooses kernels and fills caches, and is slower than those that follow.
    """
    if CHANNEL not in os.environ:
        return
    line = {"of": title, "steps": steps}

    def measured(part: str, call: Callable) -> Callable:
        def watched(*arguments):
            counted, start = _counter(), time.perf_counter()
            with counted:
                result = call(*arguments)
            line[part] = {"seconds": time.perf_counter() - start, "flops": counted.flops, "calls": counted.calls}
            if part == "score":
                _add(line)
            return result

        return watched

    for part in ("step", "score"):
        setattr(learner, part, measured(part, getattr(learner, part)))


def _counter():
    """A context that counts the calls of PyTorch's operators and the floating-point operations of those that it knows.

    Matrix products and convolutions, forward and backward, by PyTorch's own formulas, a multiplication and an addition
    being two; whatever else a network does is counted as calls only.
    """
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import flop_registry

    class Counter(TorchDispatchMode):
        flops = calls = 0

        def __torch_dispatch__(self, operator, types, arguments=(), options=None):
            result = operator(*arguments, **(options or {}))
            self.calls += 1
            if formula := flop_registry.get(operator._overloadpacket):
                self.flops += formula(*arguments, **(options or {}), out_val=result)
            return result

    return Counter()
