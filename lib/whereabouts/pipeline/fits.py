"""Whether the committed results are those of the committed code: `python -m whereabouts.pipeline.fits`.

In a fresh clone of HEAD, which has nothing of what DVC keeps, `dvc.lock` has to vouch for every stage. What `auto` was
on the machine that made the results is not known here: one of the two words has to fit.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from whereabouts import files, paths
from whereabouts.errors import InputError
from whereabouts.pipeline import precision, system

ALWAYS = {"index", "results"}  # they look around at every run


def stale(clone: Path, word: str) -> str:
    """What does not fit in a clone where `auto` is `word`: stages, or what DVC says; empty if all does."""
    files.write_json(clone / precision.FILE, {"auto": word})
    environment = os.environ | {"PYTHONPATH": str(clone / "lib")}
    for command in (["repro", "--quiet", "index"], ["repro", "--allow-missing", "--dry"]):
        command = [sys.executable, "-m", "dvc", *command]
        done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True)
        if done.returncode:
            return done.stderr.strip().splitlines()[-1]
    return ", ".join(
        dict.fromkeys(one for one in re.findall(r"Running stage '(.+)'", done.stdout) if one not in ALWAYS)
    )


def main(_: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder, "clone")
        subprocess.run(["git", "clone", "--quiet", paths.ROOT, clone], check=True)
        found = {word: stale(clone, word) for word in ("bfloat16", "float32")}
    if all(found.values()):
        least = min(found.values(), key=len)
        raise InputError(f"dvc.lock: does not fit the code; run `make repro` and commit it: {least}")
    print("dvc.lock fits the code: nothing is stale")


if __name__ == "__main__":
    system.command(main, sys.argv[1:])
