"""Medical Segmentation Decathlon: any of its single-channel tasks (Antonelli et al., Nature Communications 13, 2022).

Official layout of a task, below any prefix:

    Task04_Hippocampus/dataset.json                        structures, modality, licence, and the list of cases
    Task04_Hippocampus/imagesTr/hippocampus_001.nii.gz
    Task04_Hippocampus/labelsTr/hippocampus_001.nii.gz     0 background, others as dataset.json says

`imagesTs` has no labels and is left alone. A partial copy needs a dataset.json that lists no more than it has.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from whereabouts import paths
from whereabouts.data import names
from whereabouts.data.manifest import Manifest
from whereabouts.data.scan import Scan, turned
from whereabouts.errors import InputError, raise_all
from whereabouts.formats import labels, limits, orientation, volumes
from whereabouts.formats.volumes import AGAIN
from whereabouts.pipeline import progress

_LIST = "dataset.json"
_SUFFIX = ".nii.gz"
_KINDS = {"image": "imagesTr", "label": "labelsTr"}
_MEND = "write it as the challenge does"
_LABELS = 256  # the background among them; they become uint8
_MANY = 5  # names or values in one line


@dataclass(frozen=True)
class Case:
    """One volume's files.

    Args:
        name: "hippocampus_001".
        image: the volume itself.
        truth: its labels.
    """

    name: str
    image: Path
    truth: Path


@dataclass(frozen=True)
class Task:
    """One task.

    Args:
        name: of its folder, "Task04_Hippocampus".
        structures: names of labels 1, 2 and so on, in lower case.
        modality: "MRI" or "CT".
        licence: of the files; empty where dataset.json has none.
        cases: those with labels, sorted by name.
    """

    name: str
    structures: tuple[str, ...]
    modality: str
    licence: str
    cases: tuple[Case, ...]


def read(manifest: Manifest, task: str) -> Task:
    """One task, after reading and checking every image with labels, and its labels, once.

    Args:
        task: name of its folder.

    Raises:
        InputError: one line for each problem of dataset.json, of the files that it lists, or of any case.
    """
    folder = _folder(manifest, task)
    content = _content(manifest.path(f"{folder}/{_LIST}"))
    structures = tuple(name.strip().lower() for name in _in_order(content["labels"])[1:])
    there = names.by_composed(manifest.files)
    listed = [[f"{folder}/{PurePosixPath(entry[kind])}" for kind in _KINDS] for entry in content["training"]]
    pairs = sorted(tuple(there.get(names.composed(name), name) for name in pair) for pair in listed)
    problems = _list_problems(manifest, folder, pairs)
    cases = tuple(
        Case(names.composed(Path(image).name.removesuffix(_SUFFIX)), manifest.path(image), manifest.path(truth))
        for image, truth in pairs
        if {image, truth} <= manifest.files.keys()
    )
    for case in progress.bar(cases, desc=f"check {manifest.dataset}", unit="volume"):
        try:
            load(case, structures)
        except InputError as fault:
            problems += fault.problems
    raise_all(problems)
    return Task(task, structures, content["modality"]["0"], content.get("licence", ""), cases)


def load(case: Case, structures: tuple[str, ...]) -> Scan:
    """One case in the order RAS+: its axes permuted and reversed by the affine, as in `mmwhs.canonical`.

    Args:
        structures: of the task, which say what labels there can be.

    Raises:
        InputError: one line for each problem of either file, and of both together.
    """
    problems = []
    image, truth = (orientation.try_read(path, problems) for path in (case.image, case.truth))
    problems += volumes.image_faults(image, case.image, (0, 100))
    known, named = range(len(structures) + 1), f"{_LIST}'s 0 to {len(structures)}"
    problems += orientation.truth_faults(image, truth, case.truth, known, named)
    raise_all(problems)
    axes = orientation.axes_of(image, case.image)  # for both: at 45 degrees, rounding would decide for each on its own
    numbers = labels.rounded(truth.array).astype(np.uint8)
    return turned(Scan(case.name, image.array, numbers, tuple(image.spacing.tolist())), axes)


def _folder(manifest: Manifest, task: str) -> str:
    """Where the task lies, as the manifest calls it."""
    lists = [path for path in map(PurePosixPath, sorted(manifest.files)) if path.name == _LIST and path.parent.name]
    if not lists:
        text = f"expected Task04_Hippocampus/{_LIST} and others, see data/README.md"
        raise InputError(f"no tasks below {manifest.root}; {text}")
    found = [path.parent.as_posix() for path in lists if path.parent.name == task]
    if not found:
        names = ", ".join(sorted({path.parent.name for path in lists}))
        raise InputError(f"{task}: no such task below {manifest.root}; choose one of: {names}")
    first, *others = (paths.shown(manifest.path(folder)) for folder in found)
    raise_all([f"{other}: also found as {first}; keep one of them" for other in others])
    return found[0]


def _content(path: Path) -> dict:
    """What dataset.json says; InputError unless everything that is needed is there."""
    shown = paths.shown(path)
    try:
        content = json.loads(limits.read(path, limits.LIST))
    except (ValueError, RecursionError) as fault:  # ValueError: what is not JSON, or not UTF-8
        raise InputError(f"{shown}: cannot be read ({type(fault).__name__}); {AGAIN}") from None
    if not isinstance(content, dict):
        raise InputError(f"{shown}: does not describe a task; {_MEND}")
    structures, channels = (_in_order(content.get(key)) for key in ("labels", "modality"))
    entries, problems = content.get("training"), []
    lower = [name.strip().lower() for name in structures]
    if not 2 <= len(lower) <= _LABELS or lower[0] != "background":
        wanted = f'0 "background", 1 and so on without a gap, to {_LABELS - 1} at most'
        problems.append(f'{shown}: "labels" must name {wanted}; {_MEND}')
    if twice := [name for name, count in Counter(lower).items() if count > 1]:
        problems.append(f'{shown}: "labels" name {_few(twice)} more than once; give each label a name of its own')
    if not channels:
        problems.append(f'{shown}: "modality" must name channel 0; {_MEND}')
    elif len(channels) > 1:
        several = f"{len(channels)} channels a volume ({', '.join(channels)})"
        problems.append(f"{shown}: {several}, only single-channel tasks are supported; choose another task")
    if not isinstance(content.get("licence", ""), str):
        problems.append(f'{shown}: "licence" must be text; {_MEND}')
    if not isinstance(entries, list) or not entries or not all(map(_is_pair, entries)):
        problems.append(f'{shown}: "training" must list an image and a label for each case; {_MEND}')
    raise_all(problems)
    return content


def _in_order(named: object) -> list[str]:
    """The names of {"0": .., "1": .., ..} in the order of their numbers; none where a number or a name is missing."""
    numbers = [str(number) for number in range(len(named))] if isinstance(named, dict) else []
    found = [named.get(number) for number in numbers]
    return found if all(isinstance(name, str) and name.strip() and name.isprintable() for name in found) else []


def _is_pair(entry: object) -> bool:
    return isinstance(entry, dict) and all(isinstance(entry.get(kind), str) for kind in _KINDS)


def _list_problems(manifest: Manifest, folder: str, pairs: list[tuple[str, str]]) -> list[str]:
    """Where the list and the files differ, one line each way: of a partial copy, hundreds may be missing."""
    shown = paths.shown(manifest.path(f"{folder}/{_LIST}"))
    places = tuple(f"{folder}/{place}/" for place in _KINDS.values())
    present = {name for name in manifest.files if name.startswith(places) and name.endswith(_SUFFIX)}
    listed = Counter(name for pair in pairs for name in pair)
    missing = listed.keys() - manifest.files.keys()
    elsewhere = names.elsewhere(missing, manifest.files)
    more_than_once = {name for name, times in listed.items() if times > 1}

    def few(found: Iterable[str]) -> str:
        return _few([paths.shown(name.removeprefix(f"{folder}/")) for name in sorted(found)])

    differences = (
        (elsewhere, f"lists {few(elsewhere)}, which lie there as {few(elsewhere.values())}; pack or rename them"),
        (lost := missing - elsewhere.keys(), f"lists {few(lost)}, which are missing; add them, or shorten the list"),
        (more_than_once, f"lists {few(more_than_once)} more than once; list each of them once"),
        (extra := present - listed.keys(), f"does not list {few(extra)}, which are there; list or remove them"),
        (odd := [n for n in listed if not names.is_text(n)], f"lists {few(odd)}, no names in UTF-8; rename them"),
    )
    return [f"{shown}: {text}" for found, text in differences if found]


def _few(items: list[str]) -> str:
    return ", ".join(items[:_MANY]) + (f" and {len(items) - _MANY} more" if len(items) > _MANY else "")
