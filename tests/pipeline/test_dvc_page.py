"""The commands of docs/dvc.md, run as they stand there, from top to bottom, in a clone with chapter INSIDE only."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from whereabouts.paths import ROOT

pytestmark = pytest.mark.slow
PAGE = ROOT / "docs" / "dvc.md"
KEPT = r"index|strip|(clevr_seg|acdc)-(source|prepare)|inside-\S+"  # stages


def commands() -> list[str]:
    blocks = re.findall(r"(?ms)^```console\n(.*?)^```", PAGE.read_text(encoding="utf-8"))
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def of_inside(text: str) -> str:
    """dvc.yaml without the stages, plots and artifacts of other chapters."""
    stages, rest = text.split("\n# what `dvc plots` draws")
    stages = re.sub(rf"(?m)^  (?!(?:{KEPT}):)[a-z][\w-]*:\n(?:    .*\n|\n)+", "", stages + "\n")
    rest = re.sub(r"(?m)^- (?!inside)\S+:\n(?:    .*\n)+", "", rest)
    rest = re.sub(r"(?m)^  (?!inside)[a-z][\w-]*:\n(?:    .*\n)+", "", rest)
    return f"{stages}\n# what `dvc plots` draws{rest}"


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """Command -> what each time it said, on either stream."""
    folder = tmp_path_factory.mktemp("page") / "first"
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
    (folder / "dvc.yaml").write_text(of_inside((folder / "dvc.yaml").read_text(encoding="utf-8")), encoding="utf-8")
    ignored = (folder / ".gitignore").read_text(encoding="utf-8").replace("/paper_figures/smoke*/\n", "")
    (folder / ".gitignore").write_text(ignored, encoding="utf-8")  # as at the scales whose results are in git
    own = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    own |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "GIT_CONFIG_GLOBAL": os.devnull}
    found: dict[str, list[str]] = {}
    for command in commands():
        if command.startswith("git clone"):
            after = folder.parent / "second"
        environment = os.environ | own | {"PYTHONPATH": str(folder / "lib")}
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8"}
        done = subprocess.run(["bash", "-c", command], cwd=folder, env=environment, **options)
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}"
        found.setdefault(command, []).append(done.stdout)
        if command.startswith("git clone"):
            folder = after
    return found


def ran(text: str) -> set[str]:
    """The stages that DVC ran, or would run."""
    return set(re.findall(r"Running stage '(.+?)'", text)) - {"index"}


def test_nothing_is_stale_after_a_run_nor_after_a_pull(said):
    assert said["dvc status"] == ["index:\n\talways changed\n"] * 2


def test_headline_numbers_and_plots(said):
    (table,) = said["dvc metrics show --md"]
    assert "paper_figures/smoke/inside/metrics.json" in table and "clevr_seg inside_quadrant.mean" in table
    (plots,) = said["dvc plots show"]
    page = Path(re.search(r"file://(\S+)", plots)[1]).read_text(encoding="utf-8")
    assert "INSIDE on CLEVR-Seg" in page and "fig2.png" in page


def test_an_experiment_changes_one_line(said):
    (stat,) = said["git diff --stat params"]
    assert " ".join(stat.split()) == "params/smoke.yaml | 2 +- 1 file changed, 1 insertion(+), 1 deletion(-)"
    (params,) = said["dvc params diff"]
    assert params.splitlines()[1].split() == ["params/smoke.yaml", "inside_train_clevr_seg.steps", "4", "6"]
    (shown,) = said["dvc exp show --only-changed --no-pager"]
    assert "inside_train_clevr_seg.steps" in shown and "inside_train_acdc" not in shown


def test_another_seed_trains_itself_alone(said):
    (text,) = said['dvc exp run -S "scale.repeats.seed=[1, 2]" inside-table1']
    assert {stage for stage in ran(text) if "train" in stage} == {"inside-train-clevr_seg@quadrant-all-2"}


def test_the_lock_fits_and_a_second_clone_draws_without_training(said):
    assert ran(said["dvc repro --allow-missing --dry"][0]) == set()
    assert ran(said["dvc repro"][0]) == {"inside-fig2"}
    assert ran(said["dvc repro --force --single-item inside-fig2"][0]) == {"inside-fig2"}
