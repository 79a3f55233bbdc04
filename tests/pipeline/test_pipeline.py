"""What `dvc.yaml`, the notebooks, the parameters and the environment promise each other."""

import ast
import re
import subprocess
from itertools import product
from math import prod
from pathlib import Path

import papermill
import pytest
import yaml
from dvc.repo import Repo
from dvc.stage.cache import _get_cache_hash

import stored
from whereabouts.data.layouts import LAYOUTS
from whereabouts.methods.position import POSITION_ARMS, POSITION_ARMS_ON
from whereabouts.paths import ROOT
from whereabouts.pipeline import notebooks, params
from whereabouts.reporting.results import pages, with_results

NOTEBOOKS = stored.listed()
PAGES = sorted(path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md"))
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


def code(path: Path) -> str:
    return "\n".join(cell.source for cell in stored.read(path).cells if cell.cell_type == "code")


@pytest.mark.parametrize("name", [name for name, stage in STAGES.items() if "whereabouts.run" in stage["cmd"]])
def test_a_stage_depends_on_its_notebook_and_through_it_on_its_code(name):
    notebook = re.search(r"build/notebooks/\S+\.ipynb", STAGES[name]["cmd"])[0]
    deps = STAGES[name]["deps"]
    assert [dep for dep in deps if dep.startswith("build/notebooks")] == [notebook.replace(".ipynb", notebooks.CODE)]
    assert {"lib", "notebooks"} <= set(STAGES["strip"]["deps"])


@pytest.mark.parametrize("name", STAGES)
def test_a_command_is_the_same_to_every_shell(name):
    """DVC gives it to the user's: to zsh, and to bash where it is so set, a pattern that fits no file is an error."""
    bare = re.sub(r"'[^']*'|\$\{[\w.]+\}", "", STAGES[name]["cmd"])
    assert not re.search(r"[][*?~^#!;|<>(){}$`\"'\\]", bare)


def test_every_network_that_segments_volumes_can_be_applied_to_others():
    """`predict` has to be told how the data are laid out, and training passes that on; the others see images."""
    found = {name: re.search(r"notebooks/\S+\.ipynb", stage["cmd"]) for name, stage in STAGES.items()}
    code_of = {name: code(ROOT / match[0]) for name, match in found.items() if match}
    made_by = {}
    for name, stage in STAGES.items():
        made_by |= {out if isinstance(out, str) else next(iter(out)): name for out in stage.get("outs", [])}
    layout_of = {}
    for name, text in code_of.items():
        if calls := [call for call in _calls(text, "weights.write") if "judge" not in str(call)]:
            data = next(dep for dep in STAGES[name]["deps"] if re.search(r"/(prepared|slices)$", dep))
            layout_of[name] = re.search(r'"layout": "(\w+)"|$', code_of[made_by[data]])[1]
            assert not layout_of[name] or all("use" in call for call in calls), f"{name}: {calls}"
            assert all("data" in call for call in calls), f"{name}: {calls}"
    images = {"inside-train-clevr_seg", "inside-readings-clevr_seg", "inside-own"}
    images |= {"position-train-chest", "gates-train-planes"}
    assert {name for name, layout in layout_of.items() if not layout} == images
    assert set(layout_of.values()) == {None, *LAYOUTS}


def _calls(text: str, name: str) -> list[list[str]]:
    """What each call of a function is given: the words of each argument, and the names of those that are named."""
    calls = [
        node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call) and ast.unparse(node.func) == name
    ]
    return [[*map(ast.unparse, call.args), *(word.arg for word in call.keywords)] for call in calls]


def test_every_notebook_is_run_by_a_stage_and_stripped():
    for path in NOTEBOOKS:
        name = f"build/{path.relative_to(ROOT).as_posix()}"
        assert any(name in stage["cmd"] for stage in STAGES.values()), f"no stage runs {name}"
    assert STAGES["strip"]["outs"] == ["build/notebooks"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_in_its_normal_form_with_short_cells(path):
    notebook = stored.read(path)
    assert notebook == notebooks.normalise(notebook, ids=True), "normalise it: outputs or metadata are in the file"
    assert all(re.fullmatch("[0-9a-f-]{8,36}", cell.id) for cell in notebook.cells), "give the cell a new id"
    assert notebooks.parameters(notebook, path.name)
    assert max(len(cell.source.splitlines()) for cell in notebook.cells if cell.cell_type == "code") <= 25
    assert notebook.cells[0].cell_type == "markdown" and notebook.cells[0].source.startswith("# ")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_papermill_lists_the_parameters_of_a_notebook(path, tmp_path):
    notebooks.write(stored.read(path), tmp_path / path.name)
    told = papermill.inspect_notebook(tmp_path / path.name)
    assert told.keys() == notebooks.parameters(stored.read(path), path.name).keys()
    assert all(one["help"] and one["inferred_type_name"] != "None" for one in told.values()), told


@pytest.mark.parametrize("scale", params.SCALES)
@pytest.mark.parametrize("acdc", ["synthetic", "real"])
def test_every_parameter_that_a_stage_passes_is_one_of_its_notebooks(scale, acdc, tmp_path):
    text = params.turn(params.turn((ROOT / "params.yaml").read_text(encoding="utf-8"), "scale", scale), "acdc", acdc)
    sections = params.load(ROOT / "params" / f"{scale}.yaml")
    used = set()
    grid = yaml.safe_load(text)["scale"]
    for stage in STAGES.values():
        if "whereabouts.run" not in stage["cmd"]:
            continue
        notebook = re.search(r"build/(notebooks/\S+\.ipynb)", stage["cmd"])[1]
        known = notebooks.parameters(stored.read(ROOT / notebook), notebook)
        section = re.findall(r"-f params/\$\{scale\.name\}\.yaml:(\w+)", stage["cmd"])
        used |= set(section)
        passed = {key: value for name in section for key, value in sections[name].items()}
        for name in re.findall(r"-f params\.yaml:scale\.(\w+)", stage["cmd"]):
            passed |= grid[name]
        for key, value in passed.items():
            assert key in known and params.same_kind(value, known[key]), f"{notebook}: {key}={value!r}"
        for key in re.findall(r"(\w+)=\$?\S", stage["cmd"]):
            assert key in known, f"{notebook}: {key}"
    assert used | {"precision"} == set(sections), "a section that no stage reads"


@pytest.mark.parametrize("scale", params.SCALES)
def test_dvc_resolves_the_pipeline_at_every_scale(scale, tmp_path):
    Repo.init(tmp_path, no_scm=True).close()
    text = params.turn((ROOT / "params.yaml").read_text(encoding="utf-8"), "scale", scale)
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / f"{scale}.yaml").write_text(
        (ROOT / "params" / f"{scale}.yaml").read_text(encoding="utf-8"), encoding="utf-8"
    )
    (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    with Repo(tmp_path) as repo:
        names = [stage.name for stage in repo.index.stages]
        outs = [out.def_path for out in repo.index.outs]
    grid = yaml.safe_load(text)["scale"]
    for dataset, chapter in (("clevr", "clevr_seg"), ("acdc", "acdc")):
        stages = [name for name in names if name.startswith(f"inside-train-{chapter}@")]
        assert len(stages) == prod(map(len, grid[dataset].values())) * len(grid["repeats"]["seed"])
    for dataset, arms in POSITION_ARMS_ON.items():
        listed = grid[f"position_{dataset}"]["arm"]
        few = [name for name, one in POSITION_ARMS.items() if one.long and dataset == "chest"]
        assert listed in (["all"], arms + few)
        trained = [f"position-train-{dataset}@{arm}-{seed}" for arm in listed for seed in grid["repeats"]["seed"]]
        assert set(trained) <= set(names)
    assert all(f"/{scale}/" in out for out in outs if not out.startswith(("build/index", "build/notebooks")))


def keys(value: object) -> set[str]:
    """Every key of nested dictionaries."""
    return set(value) | set().union(*map(keys, value.values())) if isinstance(value, dict) else set()


def test_no_parameter_has_a_name_that_dvc_leaves_out_of_the_key_of_its_run_cache():
    """Its hash skips keys called `size` and `nfiles` at any depth: a change there would bring back stale outputs."""
    key = {"cmd": "c", "deps": [{"path": "d", "md5": "0"}], "params": {"p.yaml": {"s": {"size": 1}}}, "outs": []}
    other = {**key, "params": {"p.yaml": {"s": {"size": 2}}}}
    assert _get_cache_hash(key, key=True) == _get_cache_hash(other, key=True), "DVC has changed: drop this test"
    for path in [ROOT / "params.yaml", *(ROOT / "params").glob("*.yaml")]:
        assert not keys(params.load(path)) & {"size", "nfiles"}, path.name


def test_no_two_choices_of_data_share_a_folder():
    switches = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    suffix = {source["name"]: source["suffix"] for source in switches["sources"].values()}
    for switches_of in (("clevr_seg", "acdc", "chest"), ("volumes", "pancreas", "ultrasound")):  # the order in dvc.yaml
        words = [params.SWITCHES[name][1] for name in switches_of]
        folders = ["".join(suffix[word] for word in choice) for choice in product(*words)]
        assert len(set(folders)) == len(folders)


def test_data_are_pinned_without_a_cache_and_leave_room_for_data_sets():
    (out,) = yaml.safe_load((ROOT / "data.dvc").read_text(encoding="utf-8"))["outs"]
    assert out["path"] == "data/raw/.gitkeep" and out["cache"] is False  # cached, a fresh clone could not run
    assert (ROOT / out["path"]).exists()


def test_the_readme_maps_every_figure_and_the_pages_of_results_show_what_is_committed():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 200
    for name, stage in STAGES.items():
        left = [*stage.get("outs", []), *stage.get("plots", []), *stage.get("metrics", [])]
        outs = [next(iter(out)) if isinstance(out, dict) else out for out in left]
        if any(out.startswith("paper_figures/") for out in outs):
            notebook = re.search(r"build/(notebooks/\S+\.ipynb)|$", stage["cmd"])[1]
            assert f"`{notebook}` | `{name}` |" in text if notebook else f"| `{name}` |" in text
    git = ["git", "status", "--porcelain", "paper_figures", "docs/results"]
    state = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=False)
    regenerated = state.returncode or state.stdout  # the results are not those that were committed
    shown = {page.name: page.read_text(encoding="utf-8") for page in pages()}
    again = {name: with_results(page) for name, page in shown.items()}
    assert shown and (regenerated or shown == again), (
        "run `python -m whereabouts.reporting.results`: docs/results/ shows other results"
    )


@pytest.mark.parametrize("page", ["README.md", "data/README.md", *(f"docs/{name}" for name in PAGES)])
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    assert not [link for link in links if not (ROOT / page).parent.joinpath(link).exists()]


def test_every_reading_is_an_option_where_the_docs_say():
    rows = re.findall(r"(?m)^\| (?!what \||---)(.*) \|$", (ROOT / "docs/readings.md").read_text(encoding="utf-8"))
    assert len(rows) > 80
    for row in rows:
        what, *options, where = row.split(" |")
        places = [name + "*.ipynb" * name.endswith("/") for name in re.findall(r"`(.+?)`", where)]
        found = [list(ROOT.glob(place)) for place in places]
        assert places and all(found), f"{what}: {where}"
        text = "".join(path.read_text(encoding="utf-8") for paths in found for path in paths)
        words = re.findall(r"\w+", " ".join(re.findall(r"`(.+?)`", " ".join(options))))
        assert all(word in text for word in words if word not in ("True", "False")), f"{what}: {words}"
