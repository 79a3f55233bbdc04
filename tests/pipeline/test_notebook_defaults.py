"""A notebook opened by hand has the demo's numbers, reads what the demo made, and writes where nothing reads."""

import re
import shlex
from functools import reduce
from itertools import pairwise, product

import pytest
import yaml

import stored
from whereabouts import paths, run
from whereabouts.pipeline import notebooks, params

NOTEBOOKS = stored.listed()


def value_of(name: str, values: dict) -> object:
    """What `${name}` stands for in dvc.yaml."""
    return reduce(lambda part, key: part[key], name.strip("${}").split("."), values)


def resolved(text: str, values: dict) -> str:
    return re.sub(r"\$\{[\w.]+\}", lambda name: str(value_of(name[0], values)), text)


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """Notebook -> what its first stage passes it at demo scale on synthetic data, for each matrix item; outputs."""
    root, found = tmp_path_factory.mktemp("repository"), {}
    text = paths.at("params.yaml").read_text(encoding="utf-8")
    for switch, (_, words) in params.SWITCHES.items():
        text = params.turn(text, switch, "demo" if switch == "scale" else words[0])
    (root / "params.yaml").write_text(text, encoding="utf-8")
    (root / "params").symlink_to(paths.at("params"))
    chosen, pipeline = (yaml.safe_load(t) for t in (text, paths.at("dvc.yaml").read_text(encoding="utf-8")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "ROOT", root)
        for stage in pipeline["stages"].values():
            choices = {key: value_of(name, chosen) for key, name in stage.get("matrix", {}).items()}
            items = [chosen | {"item": dict(zip(choices, item, strict=True))} for item in product(*choices.values())]
            commands = [shlex.split(resolved(stage["cmd"], item)) for item in items]
            if "whereabouts.run" in commands[0]:
                outs = [resolved(out if isinstance(out, str) else next(iter(out)), items[0]) for out in stage["outs"]]
                notebook = commands[0][commands[0].index("whereabouts.run") + 1]
                found.setdefault(notebook, ([given(words) for words in commands], outs))
    return found


def given(words: list[str]) -> dict:
    sources = [word for before, word in pairwise(words) if before == "-f"]
    return run.collect([word for word in words if re.match(r"\w+=", word)], sources)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_defaults_are_the_demos(path, stages):
    known = notebooks.parameters(stored.read(path), path.name)
    passed, outs = stages[f"build/{path.relative_to(paths.ROOT).as_posix()}"]
    for key, value in passed[0].items():
        if any(out == value or out.startswith(f"{value}/") for out in outs):
            assert known[key].startswith("build/scratch/"), f"{key}: where the pipeline writes"
        else:
            assert known[key] in [values[key] for values in passed], key
    assert known["out"].startswith("build/scratch/")
