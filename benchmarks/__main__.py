"""One line a benchmark: name, ratio measured in this run, target, ok or short."""

import os

from benchmarks import cluster, gates, inside, position, precision, sdnet
from whereabouts.pipeline import progress

if __name__ == "__main__":
    os.environ[progress.CHANNEL] = os.devnull
    for chapter in (inside, position, gates, sdnet, precision, cluster):
        for name, ratio, target, met in chapter.benchmarks():
            print(f"{name:55} {ratio:6.2f}  {target:8} {'ok' if met else 'short'}", flush=True)
