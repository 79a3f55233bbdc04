"""Rehearse the paper's scale: every stage, with the paper's shapes, for two steps, and what all of it would take.

`make rehearse` copies the code to build/rehearsal, a checkout of its own, and runs the pipeline there by
`whereabouts.pipeline.fan_out` at a scale that is the paper's but for `FEWER` and `AXES`: fewer images, steps and
networks, none of them smaller. So memory, a step's time and whatever would fail are the paper's. What is here stays
as it is. Killed, or after a change of code, it goes on with what is stale.

`whereabouts.pipeline.measure` says what each stage took; `whereabouts.pipeline.forecast` writes docs/rehearsal.md, what
follows from it for the whole of the paper's scale.
"""

import os
import shlex
import shutil
import sys
from pathlib import Path

from ruamel.yaml import YAML

from whereabouts import paths
from whereabouts.errors import InputError
from whereabouts.pipeline import measure, params, system

CHECKOUT = "build/rehearsal"
MEASURED = "build/measured"  # below it
COPIED = ("lib", "notebooks", "claims", "params", "params.yaml", "dvc.yaml", ".dvc/config", ".dvcignore")

# Of params/paper.yaml, section by section, what is fewer: images, patients, slices, steps, repeats. Steps are two, or
# three where a section has another kind, so that a training's number says of which kind it is, or where some networks
# have a quarter of them.
FEWER = {
    "clevr_seg_source": {"images": 24},
    "clevr_seg_prepare": {"train": 12, "validation": 4, "test": 8},
    "acdc_source": {"patients": 3, "frames": 3},
    "acdc_prepare": {"folds": 1},
    "inside_train_clevr_seg": {"steps": 2, "validate_every": 2},
    "inside_train_acdc": {"steps": 2, "validate_every": 2},
    "inside_fig3": {"shown": 100},
    "chest_source": {"images": 12},
    "chest_prepare": {"shares": [10, 1, 1]},
    "acdc_slices": {"shares": [1, 1, 1]},
    "position_train_chest": {"steps": 2, "few_steps": 3, "validate_every": 2},
    "position_train_acdc": {"steps": 2, "validate_every": 2},
    "sdnet_data_acdc": {"patients": 6, "frames": 3, "folds": 1},
    "sdnet_data_cine": {"volunteers": 4, "frames": 2, "canines": 4, "canine_frames": 2, "folds": 1},
    "sdnet_data_mmwhs": {"cases": 4, "every": 16.0, "folds": 1},
    "sdnet_train_acdc": {
        "unlabelled_images": 8,
        "steps": 2,
        "few_steps": 2,
        "variant_steps": 2,
        "validate_every": 2,
    },
    "sdnet_train_qmri": {"unlabelled_images": 8, "steps": 2, "few_steps": 2, "validate_every": 2},
    "sdnet_train_mmwhs": {"mixtures": ["100-100", "100-0"], "steps": 2, "validate_every": 2},
    "sdnet_train_bold": {"steps": 2, "validate_every": 2},
    "sdnet_volume": {"unlabelled_images": 8, "steps": 2, "validate_every": 2},
    "gates_data_volumes": {"cases": 10},
    "gates_data_pancreas": {"cases": 6},
    "gates_data_ultrasound": {"frames": {"train": 56, "val": 28, "test": 70}},
    "gates_train_volumes": {"steps": 3, "asked_steps": 3, "validate_every": 3, "snapshots": [1, 2]},
    "gates_train_pancreas": {"folds": 1, "steps": 2, "tune_steps": 2, "validate_every": 2},
    "gates_train_planes": {"start_steps": 3, "steps": 2, "tune_steps": 2, "validate_every": 2},
    "gates_tables": {"timed": 2, "warm_up": 1},
    "gates_planes": {"timed": 2, "warm_up": 1},
    "gates_boxes": {"calibration": 1, "frames": 1},
}
# Of the paper's scale in params.yaml: which of its networks are trained; each architecture and each way to train once.
AXES = {
    "repeats": {"seed": [1]},
    "clevr": {"factor": ["quadrant"]},
    "acdc": {"percent": [100], "fold": [0]},
    "position_chest": {"arm": ["unet-0", "unet-256", "cnn-256", "reflect-256", "unet-0-5", "unet-256-5"]},
    "position_acdc": {"arm": ["unet-0", "unet-256", "cnn-256", "reflect-256"]},
    "sdnet_repeats": {"seed": [1]},
    "sdnet_acdc": {"percent": [100], "fold": [0]},
    "sdnet_qmri": {"percent": [6], "fold": [0]},
    "sdnet_mmwhs": {"fold": [0]},
    "sdnet_shown": {"percent": [100]},
    "gates_repeats": {"seed": [1]},
    "gates_pancreas": {
        "arm": [
            "unet-before",
            "attention-before",
            "unet-tuned",
            "attention-tuned",
            "unet-scratch",
            "attention-scratch",
            "attention-fold0",
        ]
    },
}
# Data -> section and key of `FEWER`: what there are fewer of. `EACH` of these has fewer besides: frames, most of which
# nobody labels, so that they count where data are made; or slices, which are `every` so many mm.
DATA = {
    "clevr_seg": ("clevr_seg_source", "images"),
    "acdc": ("acdc_source", "patients"),
    "chest": ("chest_source", "images"),
    "sdnet/acdc": ("sdnet_data_acdc", "patients"),
    "sdnet/cine": ("sdnet_data_cine", "volunteers"),
    "sdnet/mmwhs": ("sdnet_data_mmwhs", "cases"),
    "gates/volumes": ("gates_data_volumes", "cases"),
    "gates/pancreas": ("gates_data_pancreas", "cases"),
    "gates/ultrasound": ("gates_data_ultrasound", "frames"),
}
EACH = {"acdc_source": "frames", "sdnet_data_acdc": "frames", "sdnet_data_cine": "frames", "sdnet_data_mmwhs": "every"}


def rehearsed(numbers: dict, switches: dict) -> None:
    """Turn params/paper.yaml and params.yaml, as they were read, into the rehearsal's, in place."""
    for section, fewer in FEWER.items():
        for key in fewer:
            if key not in numbers.get(section, {}):
                raise InputError(
                    f"params/paper.yaml: no {section}.{key}, which the rehearsal makes fewer; mend `FEWER`"
                )
        numbers[section].update(fewer)
    for axis, fewer in AXES.items():
        switches["scales"]["paper"][axis].update(fewer)


def checkout() -> Path:
    """The checkout in which the rehearsal runs, its code and parameters made anew; what it has made so far stays."""
    root = paths.at(CHECKOUT)
    for name in COPIED:
        source, target = paths.at(name), root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
        else:
            shutil.copyfile(source, target)
    for folder in ("data/raw", ".state", "paper_figures"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / ".dvc/config.local").write_text("[core]\n    no_scm = true\n", encoding="utf-8")
    text = (root / "params.yaml").read_text(encoding="utf-8")
    for switch in params.SWITCHES:
        text = params.turn(text, switch, "paper" if switch == "scale" else "")
    form = YAML()  # keeps the file's anchors
    numbers, switches = form.load(root / "params/paper.yaml"), form.load(text)
    rehearsed(numbers, switches)
    form.dump(numbers, root / "params/paper.yaml")
    form.dump(switches, root / "params.yaml")
    return root


def main(arguments: list[str]) -> None:
    root = checkout()
    os.environ |= {"PYTHONPATH": str(root / "lib"), measure.CHANNEL: str(root / MEASURED)}
    os.chdir(root)
    table = shlex.join([sys.executable, "-m", "whereabouts.pipeline.forecast"])
    table = f"cd {shlex.quote(str(paths.ROOT))} && {table}"  # where the code is that of here
    command = ["-m", "whereabouts.pipeline.fan_out", "--jobs", arguments[0] if arguments else "0", "--then", table]
    os.execv(sys.executable, [sys.executable, *command])


if __name__ == "__main__":
    system.command(main, sys.argv[1:])
