"""What it costs to send work away and to be able to take it up again: fan-out, Slurm's launcher, checkpoints."""

import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import numpy as np
import yaml
from tests import real_slurm

from whereabouts import paths
from whereabouts.data.scan import Scan
from whereabouts.evaluation.timing import seconds
from whereabouts.methods.networks.gates import volume_network
from whereabouts.pipeline import fan_out
from whereabouts.training.checkpoints import Checkpoint
from whereabouts.training.loop import Schedule, build, run
from whereabouts.training.scans import Segmenting

SHAPE = (48, 36, 36)  # voxels
STAGES, EACH = 8, 10  # seconds of one core's work
WORK = f"import time; end = time.process_time() + {EACH}\nwhile time.process_time() < end: pass"


def took(*command: str, **options) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
    return time.perf_counter() - start


def fan_out_over_serial() -> float:
    """Eight equal stages of one core each: time side by side over the time of `dvc repro`."""
    times = []
    for module in ("dvc", "fan_out"):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            (root / "work.py").write_text(WORK, encoding="utf-8")
            stages = {
                f"s{k}": {"cmd": f"{sys.executable} work.py && echo > {k}", "deps": ["work.py"], "outs": [str(k)]}
                for k in range(STAGES)
            }
            first = {"index": {"cmd": "true", "always_changed": True}, "strip": {"cmd": "true", "deps": ["work.py"]}}
            (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": first | stages}), encoding="utf-8")
            subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=root, check=True)
            start = time.perf_counter()
            if module == "dvc":
                took(sys.executable, "-m", "dvc", "repro", cwd=root)
            else:
                paths.ROOT, before = root, paths.ROOT
                try:
                    fan_out.main([])
                finally:
                    paths.ROOT = before
            times.append(time.perf_counter() - start)
    return times[1] / times[0]


def launcher_seconds() -> float:
    """How much longer a notebook takes as a Slurm job, median of five."""
    with real_slurm.Slurm() as slurm, tempfile.TemporaryDirectory() as folder:
        cells = [nbformat.v4.new_code_cell("n = 1", metadata={"tags": ["parameters"]}), nbformat.v4.new_code_cell("n")]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), f"{folder}/in.ipynb")
        Path(folder, "cluster.yaml").write_text('"*": {cpus-per-task: 1}\n', encoding="utf-8")
        away = slurm.environment | {"WHEREABOUTS_RUN_ON": "slurm", "WHEREABOUTS_CLUSTER": f"{folder}/cluster.yaml"}
        command = (sys.executable, "-m", "whereabouts.run", f"{folder}/in.ipynb", f"{folder}/out.ipynb")
        differences = [
            took(*command, cwd=paths.ROOT, env=away) - took(*command, cwd=paths.ROOT, env=dict(os.environ))
            for _ in range(5)
        ]
    return float(np.median(differences))


def checkpoints_over_none() -> float:
    """Training with a checkpoint every epoch over training without: of the demo's gates, on 28 scans."""
    rng = np.random.default_rng(0)
    scans = [
        Scan(str(k), rng.normal(size=SHAPE).astype(np.float32), rng.integers(0, 4, SHAPE, np.uint8), (6.0, 6.0, 6.0))
        for k in range(28)
    ]
    gates = {"gates": 2, "gating": "decoder", "subsample": 2}
    schedule = Schedule(steps=28, batch=2, learning_rate=1e-3, validate_every=14, patience=9)

    def train(checkpoint: Checkpoint | None) -> None:
        learner = Segmenting(
            build(lambda: volume_network("attention", 3, 8.0, **gates), 0),
            scans,
            scans[:2],
            3,
            schedule,
            0,
            (48, 32, 32),
        )
        run(learner, schedule, checkpoint, checkpoint_share=math.inf)

    with tempfile.TemporaryDirectory(dir=paths.at("build")) as folder:

        def kept() -> None:
            checkpoint = Checkpoint(Path(folder) / "run.pt")
            train(checkpoint)
            checkpoint.discard()

        with_them, without = seconds(kept, lambda: train(None))
    return with_them / without


def benchmarks() -> list[tuple[str, float, str, bool]]:
    """Name, ratio or seconds, target, whether it is met."""
    rows = []
    ratio = checkpoints_over_none()
    rows.append(("a checkpoint every epoch, time over none", ratio, "<= 1.03", ratio <= 1.03))
    ratio = fan_out_over_serial()
    rows.append(("8 one-core stages side by side, time over serial", ratio, "<= 0.6", ratio <= 0.6))
    if not real_slurm.missing():
        more = launcher_seconds()
        rows.append(("a notebook through Slurm, seconds more than here", more, "<= 2", more <= 2))
    return rows
