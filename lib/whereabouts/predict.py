"""Segment a folder of NIfTI volumes: `python -m whereabouts.predict --weights W --input FOLDER --output FOLDER`.

W is what a training stage wrote, such as build/demo/inside/acdc/all-100-0/inside-position-1.safetensors, and the folder
is laid out as the data that the network was trained on (`whereabouts.data.layouts`). In the output folder: a label map
of each volume on its own grid, volumes.csv with the volume of each structure in mL and, where there are labels, Dice
and surface distance, and contact_sheet.png. Nothing is written unless every input can be read, nothing is overwritten,
and the folder is there once everything is in it; only the sheet may be missing, with a line that says why.
"""

import argparse
import gzip
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
import pandas as pd

from whereabouts import files, paths
from whereabouts.data import layouts
from whereabouts.data.layouts import Loaded, Volume
from whereabouts.errors import InputError, printable, raise_all
from whereabouts.evaluation.prediction import Predictor
from whereabouts.evaluation.scan_scores import agreement
from whereabouts.formats.orientation import axial
from whereabouts.pipeline import streams, system
from whereabouts.pipeline.progress import bar
from whereabouts.reporting import plotting, tables

EXAMPLE = """example:
  python -m whereabouts.predict --weights build/demo/inside/acdc/all-100-0/inside-position-1.safetensors \\
    --input my-patients --output my-patients-segmented"""
SHOWN = 40  # volumes on the contact sheet
TALLEST = 3  # of a slice's height in widths on it: longer ones would be no picture any more
LONGEST = 255  # bytes in the name of a file


@dataclass(frozen=True)
class Segmented:
    """One volume and what was found in it, both in the order in which the file is stored."""

    volume: Volume
    loaded: Loaded
    labels: np.ndarray


def predict(weights: Path, source: Path, output: Path, replace: bool = False) -> pd.DataFrame:
    """Segment every volume below `source`, write all that belongs into `output`, and return the table.

    Args:
        replace: whether what an earlier call wrote to `output`, and nothing else, gives way to what this one writes.

    Returns:
        One row a volume and structure: volume, structure, ml, and where there are labels ml_labels, dice and
        surface_mm.

    Raises:
        InputError: anything wrong with the weights, the folders or a volume, everything at once; nothing is written.
    """
    weights, source, output = (paths.at(path) for path in (weights, source, output))
    output = Path(os.path.realpath(output))
    predictor, found = _ready(weights, source, output, replace)
    problems = []
    for volume in bar(found, desc="check", unit="volume"):
        try:
            with _memory(volume.image):
                predictor.check(volume, layouts.load(volume, predictor.layout, predictor.structures))
        except InputError as error:
            problems += error.problems
        if predictor.given == "phase" and volume.phase is None:
            problems.append(
                f"{paths.shown(volume.image)}: ED or ES? Info.cfg beside it does not say, or cannot be read; "
                "add its number there"
            )
        if len(os.fsencode(label_name(volume))) > LONGEST:
            problems.append(f"{paths.shown(volume.image)}: a name too long for a file of labels; shorten it")
    raise_all(problems)
    with files.new_folder(output) as folder:
        table = _write(folder, found, predictor)
        if replace and _is_result(output):
            try:
                shutil.rmtree(output)
            except OSError as error:
                raise files.unwritable(output, error) from None
    return table


def _ready(weights: Path, source: Path, output: Path, replace: bool) -> tuple[Predictor, list[Volume]]:
    """The network and the volumes; says what is left out.

    Raises:
        InputError: whatever is wrong with the three places, not the first of it.
    """
    problems = _place_faults(source, output, replace)
    predictor, found, left_out = None, [], []
    try:
        with _memory(weights):
            predictor = Predictor(weights)
        found = layouts.find(source, predictor.layout, left_out)
    except InputError as error:
        problems += error.problems
    if predictor is None and not os.path.isdir(source):
        problems.append(f"{paths.shown(source)}: no such folder; give one of NIfTI volumes")
    raise_all(problems)
    labelled = sum(one.truth is not None for one in found)
    print("\n".join([*left_out, f"{len(found)} volumes, {labelled} with labels"]))
    return predictor, found


def _place_faults(source: Path, output: Path, replace: bool) -> list[str]:
    """What is wrong with where the result should go."""
    name = paths.shown(output)
    if paths.is_raw(output):
        return [f"{name}: below data/raw, where nothing is written; name another"]
    if output.is_relative_to(os.path.realpath(source)):
        return [f"{name}: in the folder that is segmented, whose volumes it would join; name another"]
    try:
        there = _names(output)
    except InputError as error:
        return error.problems
    if there and not (replace and _is_result(output)):
        return [f"{name}: not an empty folder; nothing is overwritten, name another"]
    if os.path.ismount(output):
        return [f"{name}: a mounted disk, which cannot be put in place; name a folder below it"]
    return []


def _names(output: Path) -> list[str]:
    """What is in the folder, if it is there."""
    try:
        return os.listdir(output)
    except FileNotFoundError:
        return []
    except OSError as fault:
        raise InputError(f"{paths.shown(output)}: no folder to write to ({fault.strerror}); name another") from None


def _is_result(output: Path) -> bool:
    """Whether the folder holds what `predict` writes there, and nothing else."""
    others = set(_names(output)) - {"volumes.csv", "contact_sheet.png"}
    return len(_names(output)) == len(others) + 2 and all(name.endswith(".nii.gz") for name in others)


def _write(folder: Path, found: list[Volume], predictor: Predictor) -> pd.DataFrame:
    """Segment the volumes and write all that belongs into `folder`; the table."""
    rows, tiles = [], []
    for volume in bar(found, desc="segment", unit="volume"):
        with _memory(volume.image):
            loaded = layouts.load(volume, predictor.layout, predictor.structures)
            one = Segmented(volume, loaded, predictor(volume, loaded))
            files.write_bytes(folder / label_name(volume), label_map(one, predictor))
            rows += measures(one, predictor.structures)
            if len(tiles) < SHOWN:
                tiles.append(tile(one))
    table = pd.DataFrame(rows)
    files.write_text(folder / "volumes.csv", tables.csv(table, float_format="%.4f"))
    try:
        files.write_bytes(folder / "contact_sheet.png", contact_sheet(tiles, predictor, len(found)))
    except Exception as fault:  # whatever a picture fails of, the segmentations are done
        print(f"contact_sheet.png: not drawn ({printable(str(fault))}); all else is written", file=sys.stderr)
    return table


@contextmanager
def _memory(path: Path) -> Iterator[None]:
    """One line where memory runs out over the file at `path`."""
    try:
        yield
    except (MemoryError, RuntimeError) as fault:  # PyTorch's are of the second kind
        if isinstance(fault, RuntimeError) and not any(word in str(fault) for word in ("allocate", "out of memory")):
            raise
        why = str(fault).partition("\n")[0] or "no more of it"
        problem = f"memory ran out ({why}); free some, or use a larger machine"
        raise InputError(f"{paths.shown(path)}: {problem}") from None


def label_name(volume: Volume) -> str:
    """What the label map of a volume is called."""
    return f"{volume.name}.nii.gz"


def label_map(one: Segmented, predictor: Predictor) -> bytes:
    """A NIfTI file of labels in the data set's own values, with the header's grid, affines included, of the image."""
    values = layouts.label_values(predictor.layout, predictor.structures)
    number_to_value = np.zeros(len(predictor.structures) + 1, np.uint16 if max(values) > 255 else np.uint8)
    for value, number in reversed(values.items()):
        number_to_value[number] = value
    header = one.loaded.nifti.header.copy()
    header.set_data_dtype(number_to_value.dtype)
    header.set_slope_inter(1, 0)
    header.set_data_offset(0)  # nibabel's to choose
    image = nib.Nifti1Image(number_to_value[one.labels], None, header)
    return gzip.compress(image.to_bytes(), mtime=0)


def measures(one: Segmented, structures: list[str]) -> list[dict]:
    """A row of the table for each structure."""
    spacing, rows = one.loaded.nifti.spacing, []
    for number, structure in enumerate(structures, 1):
        found = one.labels == number
        row = {"volume": one.volume.name, "structure": structure, "ml": found.sum() * spacing.prod() / 1000}
        if one.loaded.truth is not None:
            there = one.loaded.truth == number
            scores = agreement(found, there, tuple(spacing))
            row |= {"ml_labels": there.sum() * spacing.prod() / 1000}
            row |= {"dice": scores["dice"], "surface_mm": scores["surface"]}
        rows.append(row)
    return rows


def tile(one: Segmented) -> tuple[str, np.ndarray, np.ndarray, np.ndarray | None]:
    """Name, image, found labels and labels of the slice in which most was found, or of the middle one."""
    parts = [one.loaded.nifti.array, one.labels, one.loaded.truth]
    parts = [part if part is None else nib.apply_orientation(part, one.loaded.axes) for part in parts]
    area = (parts[1] > 0).sum((0, 1))
    k = int(area.argmax()) if area.any() else len(area) // 2
    views = [None if part is None else axial(part, k) for part in parts]
    low, high = np.percentile(parts[0], (1, 99))
    return printable(one.volume.name), np.clip((views[0] - low) / max(high - low, 1e-6), 0, 1), views[1], views[2]


def contact_sheet(tiles: list, predictor: Predictor, total: int) -> bytes:
    """The slices of `tile`: above what was found, below the labels, where there are any."""
    plotting.style()
    columns, structures = min(8, len(tiles)), tuple(predictor.structures)
    lines, pair = -(-len(tiles) // columns), 2 if any(one[3] is not None for one in tiles) else 1
    height = 1.2 * min(TALLEST, max(image.shape[0] / image.shape[1] for _, image, _, _ in tiles)) + 0.15
    legend = 0.2 * -(-len(structures) // 4)
    inches = (1.2 * columns + 0.6, height * lines * pair + 0.6 + legend)
    figure, axes = plt.subplots(lines * pair, columns, figsize=inches, squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for index, (name, image, found, there) in enumerate(tiles):
        line, column = divmod(index, columns)
        for offset, labels in enumerate((found, there)[:pair]):
            if labels is not None:
                ax = axes[line * pair + offset, column]
                ax.axis("on")
                plotting.overlay(ax, image, labels, structures=structures)
                ax.set_title("" if offset else plotting.literal(name, 26), fontsize=5)
    if pair == 2:
        plotting.row_labels(axes[:, 0], ["found", "labels"] * lines)
    plotting.structure_legend(figure, structures)
    shown = "" if len(tiles) == total else f"; the first {len(tiles)} of {total} volumes"
    origin = plotting.literal(f"network trained on {predictor.use['label']}", 100)
    figure.suptitle(origin + shown, fontsize=6, color="0.35")
    try:
        return plotting.png(figure)
    finally:
        plt.close(figure)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m whereabouts.predict",
        description=__doc__.splitlines()[0],
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, text in (("weights", "a .safetensors file"), ("input", "folder to segment"), ("output", "new folder")):
        parser.add_argument(f"--{name}", required=True, metavar=name.upper(), help=text)
    options = parser.parse_args(arguments)
    system.check()
    try:
        table = predict(*(Path(path).absolute() for path in (options.weights, options.input, options.output)))
    except InputError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; nothing is written", file=sys.stderr)
        return 130  # as a shell says of what SIGINT ended
    means = table.groupby("structure", sort=False).mean(numeric_only=True).round(3)
    print(means.rename(printable).to_string())
    return 0


if __name__ == "__main__":
    streams.outlast()
    sys.stdout.reconfigure(errors="backslashreplace")  # names of structures may be in another script than the locale's
    sys.exit(main(sys.argv[1:]))
