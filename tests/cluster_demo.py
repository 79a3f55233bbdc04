"""The smoke pipeline in two fresh clones, once in place and once as jobs of a real Slurm: every file must be the same.

`make cluster-demo` runs it. Where there is no Slurm or no root it says so, and the second run is in place too.
"""

import os
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

from equality import hashes
from real_slurm import Slurm, missing

ROOT = Path(__file__).resolve().parents[1]


def run(clone: Path, *command: str, **environment: str) -> None:
    """A command in a clone, of its own code whichever the environment was made for; what it says only if it fails."""
    start = time.monotonic()
    own = os.environ | environment | {"PYTHONPATH": str(clone / "lib")}  # last: make's names the tree it was called in
    done = subprocess.run(command, cwd=clone, env=own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(f"{clone.name}: {' '.join(command[-4:])}: {time.monotonic() - start:.0f} s", flush=True)
    if done.returncode:
        sys.exit(done.stdout[-6000:])


def digests(clone: Path) -> dict[str, str]:
    """sha256 of every result: weights, metrics, executed notebooks, tables and figures."""
    folders = ("build/smoke", "paper_figures/smoke")
    found = {f"{folder}/{name}": digest for folder in folders for name, digest in hashes(clone / folder).items()}
    return {name: digest for name, digest in found.items() if "raw" not in name.split("/")}


def as_committed(clone: Path) -> str:
    """Whether its tables are those of tests/smoke.sha256, of another machine perhaps: smoke scale is `portable`."""
    check = ["sha256sum", "--check", "--quiet", "tests/smoke.sha256"]
    done = subprocess.run(check, cwd=clone, capture_output=True, text=True)
    return f"tables as committed in tests/smoke.sha256: {'all' if not done.returncode else 'not ' + done.stdout}"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, nullcontext() if missing() else Slurm() as slurm:
        here, there = Path(folder, "here"), Path(folder, "there")
        for clone in (here, there):
            subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        venv = Path(folder, "venv")
        run(here, "make", "repro", "SCALE=smoke", f"VENV={venv}")
        python, path = str(venv / "bin" / "python"), f"{venv / 'bin'}:{os.environ['PATH']}"
        run(there, python, "-m", "whereabouts.pipeline.params", "scale=smoke")
        if slurm:
            print("through Slurm:", slurm.say("sinfo", "--noheader", "--format=%D node of %c cores").strip())
            resources = Path(folder, "cluster.yaml")
            resources.write_text('"*": {cpus-per-task: 1, gpus: false}\n', encoding="utf-8")
            environment = slurm.environment | {"PATH": path, "WHEREABOUTS_CLUSTER": str(resources)}
            run(there, python, "-m", "whereabouts.pipeline.fan_out", "--on", "slurm", "--jobs", "4", **environment)
        else:
            print(f"no Slurm here ({missing()}): in place once more")
            run(there, python, "-m", "dvc", "repro", PATH=path)
        ours, theirs = digests(here), digests(there)
        different = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
        for name in sorted(name for name in ours if name.endswith((".csv", ".md"))):
            print("same" if ours[name] == theirs.get(name) else "DIFFERENT", ours[name][:12], name)
        print(as_committed(here))
        if different:
            sys.exit("the two runs differ in " + ", ".join(different))
        print(f"the two runs agree in all {len(ours)} files")
        run(there, python, "-m", "dvc", "repro", PATH=path)  # nothing changed: seconds


if __name__ == "__main__":
    main()
