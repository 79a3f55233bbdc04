"""What the paper's scale would take: `docs/rehearsal.md`, from what a rehearsal measured.

`python -m whereabouts.pipeline.forecast` writes and prints it; `make rehearse` ends with it. Every number but the
measured ones is a prediction, and on the high side: no training stops before its last step; of the networks of one kind
the slowest counts for all; what is done once for each image, slice or network grows with their number as a whole.
"""

import json
import math
import platform
import re
import textwrap
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

from whereabouts import files, paths
from whereabouts.errors import InputError
from whereabouts.pipeline import plain_yaml, system
from whereabouts.pipeline.rehearse import CHECKOUT, DATA, EACH, MEASURED, rehearsed

GPU = 20e12  # FLOP/s of an H100, a fiftieth of its dense bfloat16 peak (989e12): few channels fill it badly
START = 10.0  # s, of a kernel and its imports, however much data there are
CALL = 1e-5  # s, of starting one operator there: what small networks wait for
PAGE = "docs/rehearsal.md"
GIB = 2**30


@dataclass(frozen=True)
class Forecast:
    """One stage of dvc.yaml, over all its jobs at the paper's scale.

    Args:
        stage: its name.
        jobs: how many.
        steps: of one training, at most; 0 where nothing is trained.
        second: a step's seconds, on one core of this processor.
        flops: a step's floating-point operations.
        peak: bytes of memory of its largest process, measured.
        memory: the same with all of the paper's data, predicted.
        cpu, gpu: seconds of one job, on one core of this processor and on an H100; the slowest job's.
    """

    stage: str
    jobs: int
    steps: int
    second: float
    flops: float
    peak: float
    memory: float
    cpu: float
    gpu: float


class Paper:
    """The paper's scale and the rehearsal's, side by side.

    Args:
        root: of the checkout whose dvc.yaml and parameters count.
    """

    def __init__(self, root: Path):
        self.stages = plain_yaml.load(root / "dvc.yaml")["stages"]
        self.numbers, switches = plain_yaml.load(root / "params/paper.yaml"), plain_yaml.load(root / "params.yaml")
        self.fewer, turned = deepcopy(self.numbers), deepcopy(switches)
        rehearsed(self.fewer, turned)
        self.grid, self.fewer_grid = (one["scales"]["paper"] for one in (switches, turned))

    def jobs(self, stage: str, grid: dict) -> int:
        """Of a stage, at a scale that has these axes."""
        axes = self.stages[stage].get("matrix", {}).values()
        found = [re.fullmatch(r"\$\{scale\.(\w+)\.(\w+)\}", axis).groups() for axis in axes]
        return math.prod(len(grid[name][key]) for name, key in found)

    def files(self, stage: str, *kinds: str) -> list[str]:
        """What it reads ("deps") or makes ("outs"), from its run's folder: "acdc/prepared"."""
        lines = [line for kind in kinds for line in self.stages[stage].get(kind, [])]
        names = [next(iter(line)) if isinstance(line, dict) else line for line in lines]
        return [found[1] for name in names if (found := re.match(r"build/\$\{scale[^/]*/(.+)", name))]

    def sections(self, stage: str) -> list[str]:
        """Of params/paper.yaml, those that it is given."""
        given = [line for line in self.stages[stage].get("params", []) if isinstance(line, dict)]
        return [section for line in given for sections in line.values() for section in sections]

    def data(self, stage: str) -> float:
        """How many times as many images or the like it makes or reads at the paper's scale; 1 where it has no data."""
        made, read = self.files(stage, "outs"), self.files(stage, "deps")
        ratios = [1.0]
        for name, (section, key) in DATA.items():
            if any(one.startswith(f"{name}/") for one in (*made, *read)):
                ratio = self._ratio(section, key)
                if any(one.startswith(f"{name}/") for one in made) or EACH.get(section) == "every":
                    ratio *= self._ratio(section, EACH.get(section, ""))
                ratios.append(ratio)
        return max(ratios)

    def _ratio(self, section: str, key: str) -> float:
        """Of the paper's number, or of its sum over parts, to the rehearsal's; of a distance the other way round."""
        if not key:
            return 1.0
        more, fewer = (numbers[section][key] for numbers in (self.numbers, self.fewer))
        if isinstance(more, dict):
            more, fewer = sum(more.values()), sum(fewer.values())
        return fewer / more if key == "every" else more / fewer

    def networks(self, stage: str) -> float:
        """How many times as many networks it reads, or trains in one job."""
        ratios = [1.0]
        for section in self.sections(stage):
            if "mixtures" in self.numbers[section]:
                ratios.append(len(self.numbers[section]["mixtures"]) / len(self.fewer[section]["mixtures"]))
        for other in self.stages if "matrix" not in self.stages[stage] else ():
            folders = [out.partition("/${item")[0] for out in self.files(other, "outs") if "/${item" in out]
            if set(folders) & set(self.files(stage, "deps")):
                ratios.append(self.jobs(other, self.grid) / self.jobs(other, self.fewer_grid))
        return max(ratios)

    def steps(self, stage: str, steps: int) -> tuple[int, int]:
        """Steps and validations at the paper's scale of a training that the rehearsal gave `steps`."""
        sections = [section for section in self.sections(stage) if "validate_every" in self.numbers[section]]
        counts = [
            (self.numbers[section][key], self.fewer[section][key])
            for section in sections
            for key in self.numbers[section]
            if key.endswith("steps") and self.fewer[section][key]
        ]
        most = max((more for more, fewer in counts if fewer == steps), default=0)
        most = most or round(steps * max(more / fewer for more, fewer in counts))  # a part, or several in one
        every = min(self.numbers[section]["validate_every"] for section in sections)
        return most, -(-most // every)

    def forecast(self, stage: str, measured: list[dict[str, dict]], read: float) -> Forecast:
        """From what each of its rehearsed jobs left.

        Args:
            read: bytes of prepared data that it reads in the rehearsal.
        """
        data, networks = self.data(stage), self.networks(stage)
        most, jobs = {"steps": 0, "second": 0.0, "flops": 0.0}, []
        for lines in measured:
            own, trainings = lines["stage"], [line for of, line in lines.items() if of != "stage"]
            cpu = gpu = 0.0
            rest = own["seconds"] - START
            for line in trainings:
                steps, validations = self.steps(stage, line["steps"])
                step, score = line["step"], line["score"]
                rest -= line["steps"] * step["seconds"] + score["seconds"]
                cpu += steps * step["seconds"] + validations * score["seconds"] * data
                gpu += steps * _gpu(step) + validations * _gpu(score) * data
                this = {"steps": steps, "second": step["seconds"], "flops": step["flops"]}
                most = {key: max(most[key], this[key]) for key in most}
            rest = max(rest, 0.0) * data
            jobs.append([START + (seconds + rest) * networks for seconds in (cpu, gpu)])
        peak = max(lines["stage"]["peak"] for lines in measured)
        cpu, gpu = (max(one) for one in zip(*jobs, strict=True))
        memory = peak + (data - 1) * read
        return Forecast(stage, self.jobs(stage, self.grid), **most, peak=peak, memory=memory, cpu=cpu, gpu=gpu)


def _gpu(part: dict) -> float:
    """Seconds of a step or a validation on an H100."""
    return part["flops"] / GPU + part["calls"] * CALL


def measured(folder: Path) -> dict[str, dict[str, dict]]:
    """Stage -> what -> the last line on it that `whereabouts.pipeline.measure` left; of stages that ended."""
    found = {}
    for path in sorted(folder.glob("*.jsonl")):
        lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        found[path.stem] = {line["of"]: line for line in lines}
    return {stage: lines for stage, lines in found.items() if "stage" in lines}


def forecasts(root: Path) -> list[Forecast]:
    """Of every stage that a rehearsal below `root` has measured, in the order of dvc.yaml.

    Raises:
        InputError: it has measured none.
    """
    there = root / CHECKOUT
    if not (found := measured(there / MEASURED)):
        raise InputError(f"{paths.shown(there / MEASURED)}: nothing measured; run `make rehearse`")
    paper, rows = Paper(root), []
    for stage in paper.stages:
        if its := [lines for name, lines in found.items() if name.partition("@")[0] == stage]:
            folders = [there / "build/paper" / name for name in paper.files(stage, "deps") if "trained" not in name]
            arrays = [path for folder in folders for path in folder.rglob("*.npy")]
            rows.append(paper.forecast(stage, its, sum(path.stat().st_size for path in arrays)))
    return rows


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"


def page(rows: list[Forecast], missing: list[str], processor: str) -> str:
    """`docs/rehearsal.md`."""
    lines = [
        "# The paper's scale, rehearsed",
        "",
        "Written by `make rehearse`, which runs every stage of `SCALE=paper` with the paper's shapes for two steps,",
        "on few images and networks ([what is fewer](../lib/whereabouts/pipeline/rehearse.py)). Nobody has run that",
        "scale. **Memory and seconds a step are measured, all hours are predictions**, on the high side: no training",
        "stops before its last step, of one stage's networks the slowest counts for all, and what is done for each",
        "image or network is taken to grow with their number as a whole.",
        "",
        f"Measured on one core of {processor}.",
        f"For an H100: the operations counted in a step, at {GPU / 1e12:.0f} TFLOP/s (its bfloat16 peak is 989), and",
        f"{CALL * 1e6:.0f} µs for each operator's start; what is not training, as on the core.",
        "",
        "| stage | jobs | steps | TFLOP a step | s a step, core | GiB, measured | GiB, all data | h a job, core "
        "| h a job, H100 | h in all, core | h in all, H100 |",
        "|---|" + "---:|" * 10,
    ]
    for row in rows:
        step = (f"{row.steps:,}", f"{row.flops / 1e12:.3g}", f"{row.second:.3g}") if row.steps else ("", "", "")
        memory = (f"{one / GIB:.1f}" for one in (row.peak, row.memory))
        hours = map(_hours, (row.cpu, row.gpu, row.jobs * row.cpu, row.jobs * row.gpu))
        lines.append("| " + " | ".join((f"`{row.stage}`", str(row.jobs), *step, *memory, *hours)) + " |")
    for chapter in sorted({row.stage.partition("-")[0] for row in rows if row.steps}):
        its = [row for row in rows if row.stage.startswith(f"{chapter}-")]
        total = (_hours(sum(row.jobs * seconds for row, seconds in pairs)) for pairs in _both(its))
        lines.append(f"| **{chapter}** | {sum(row.jobs for row in its)} |" + " |" * 7 + " " + " | ".join(total) + " |")
    if missing:
        named = textwrap.fill(", ".join(f"`{stage}`" for stage in missing), 120, break_on_hyphens=False)
        lines += ["", "Not rehearsed yet:", "", f"{named}."]
    return "\n".join(lines) + "\n"


def _both(rows: list[Forecast]) -> tuple[list, list]:
    return [(row, row.cpu) for row in rows], [(row, row.gpu) for row in rows]


def processor() -> str:
    """Its name and instruction set, and PyTorch's version."""
    import torch

    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    name = re.search(r"model name\s*: (.+)", text)
    amx = " with AMX" if "amx_bf16" in text else ""
    return f"{name[1] if name else platform.machine()}{amx}, PyTorch {torch.__version__.partition('+')[0]}"


def main(arguments: list[str]) -> None:
    rows, paper = forecasts(paths.ROOT), Paper(paths.ROOT)
    notebooks = [
        name for name, its in paper.stages.items() if "whereabouts.run" in its["cmd"] and paper.jobs(name, paper.grid)
    ]
    text = page(rows, [name for name in notebooks if name not in {row.stage for row in rows}], processor())
    files.write_text(paths.at(PAGE), text)
    print(text, end="")


if __name__ == "__main__":
    system.command(main, [])
