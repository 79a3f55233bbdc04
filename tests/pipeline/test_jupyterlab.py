"""JupyterLab in a real browser: a training notebook of each chapter, run to its end as a reader would run it.

git, which keeps notebooks without what they show, then sees no difference.
"""

import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import stored
from whereabouts.paths import ROOT
from whereabouts.pipeline import notebooks
from whereabouts.pipeline.plain_yaml import load

CHROMIUM = shutil.which("chromium")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no chromium; apt-get install chromium")]

SMOKE = load(ROOT / "params" / "smoke.yaml")
SECTION = {  # of the numbers of each notebook
    "data/01_clevr_seg_source": "clevr_seg_source",
    "data/02_clevr_seg_prepare": "clevr_seg_prepare",
    "data/05_chest_source": "chest_source",
    "data/06_chest_prepare": "chest_prepare",
    "data/08_sdnet_acdc": "sdnet_data_acdc",
    "data/11_volumes": "gates_data_volumes",
    "inside/01_train_clevr_seg": "inside_train_clevr_seg",
    "position/01_train": "position_train_chest",
    "sdnet/01_train": "sdnet_train_acdc",
    "gates/01_train_volumes": "gates_train_volumes",
}
LATEST = 600_000  # ms, on a busy machine
ENDED = """() => {
    const prompts = [...document.querySelectorAll('.jp-Notebook .jp-CodeCell .jp-InputPrompt')];
    return prompts.every(prompt => /\\d/.test(prompt.textContent)) || document.querySelector('[data-mime-type$=error]');
}"""
WATCH = """() => {
    window.live = 0;
    const count = () => [...document.querySelectorAll('progress')].filter(bar => bar.value < bar.max).length;
    new MutationObserver(() => { window.live = Math.max(window.live, count()); })
        .observe(document.body, {childList: true, subtree: true});
}"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab with settings of its own: the folder that it shows, and its address."""
    folder, home = tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("home")
    environment = {name: os.environ[name] for name in os.environ if not name.startswith(("JUPYTER", "IPYTHON", "XDG"))}
    environment |= {"HOME": str(home), "JUPYTER_CONFIG_DIR": str(home / "jupyter"), "PYTHONPATH": str(ROOT / "lib")}
    options = ["--ip=127.0.0.1", "--port=0", f"--ServerApp.root_dir={folder}", "--IdentityProvider.token=of-the-tests"]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", *options]
    with subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, encoding="utf-8") as server:
        try:
            said = []
            for line in server.stderr:
                said.append(line)
                if address := re.search(r"http://127\.0\.0\.1:\d+/lab", line):
                    break
            else:
                pytest.fail("".join(said))
            threading.Thread(target=server.stderr.read, daemon=True).start()  # lest the pipe fills
            yield folder, address[0]
        finally:
            server.terminate()  # it ends its kernels


def git(folder: Path, *words: str) -> str:
    """git in a repository that keeps notebooks as this one does, once `make ready` was called."""
    clean = f'"{sys.executable}" -m whereabouts.pipeline.tidy --filter %f'
    options = [f"filter.whereabouts.clean={clean}", "user.name=a", "user.email=b", f"safe.directory={folder}"]
    command = ["git", *(word for option in options for word in ("-c", option)), *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "lib")}
    return subprocess.run(
        command, cwd=folder, env=environment, check=True, capture_output=True, encoding="utf-8"
    ).stdout


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def prepared(folder: Path, sources: dict[str, str]) -> Path:
    """A run of its own: what the smoke pipeline's data notebooks leave, each in its place below `folder`."""
    for name, place in sources.items():
        command = [sys.executable, "-m", "whereabouts.run", f"notebooks/{name}.ipynb", str(folder / "executed.ipynb")]
        values = ["-f", f"params/smoke.yaml:{SECTION[name]}", f"run={folder}", f"out={folder / place}"]
        subprocess.run([*command, *values], cwd=ROOT, check=True)
    return folder


def with_values(name: str, values: dict, path: Path) -> None:
    """Write a notebook to `path` with other values in its parameters cell."""
    notebook = stored.read(ROOT / "notebooks" / f"{name}.ipynb")
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    cell.source += "".join(f"\n{key} = {value!r}" for key, value in values.items())
    notebooks.write(notebook, path)


@pytest.mark.parametrize(
    ("name", "sources"),
    [
        (
            "inside/01_train_clevr_seg",
            {"data/01_clevr_seg_source": "clevr_seg", "data/02_clevr_seg_prepare": "clevr_seg/prepared"},
        ),
        ("position/01_train", {"data/05_chest_source": "chest", "data/06_chest_prepare": "chest/prepared"}),
        ("sdnet/01_train", {"data/08_sdnet_acdc": "sdnet/acdc"}),
        ("gates/01_train_volumes", {"data/11_volumes": "gates/volumes"}),
    ],
)
def test_a_training_notebook_shows_a_live_bar_for_each_network_and_stays_tidy(name, sources, lab, browser, tmp_path):
    folder, address = lab
    file, out = folder / f"notebooks/{Path(name).parent}.ipynb", tmp_path / "out"
    values = {"run": str(prepared(tmp_path / "run", sources)), "seed": [1], "out": str(out)}
    with_values(name, SMOKE[SECTION[name]] | values, file)
    shutil.copy(ROOT / ".gitattributes", folder)
    git(folder, "init", "-q")
    git(folder, "add", ".")
    page = browser.new_page(viewport={"width": 1300, "height": 4000})  # all cells are in sight
    page.set_default_timeout(LATEST)
    page.goto(f"{address}/tree/notebooks/{file.name}?reset&token=of-the-tests")
    page.get_by_text("| Idle").wait_for()
    page.evaluate(WATCH)
    page.get_by_role("menuitem", name="Run").click()
    page.get_by_text("Run All Cells", exact=True).click()
    page.wait_for_function(ENDED)
    live = page.evaluate("window.live")
    page.keyboard.press("Control+s")
    page.locator(".lm-TabBar-tab.lm-mod-current.jp-mod-dirty").wait_for(state="detached")
    page.screenshot(path=tmp_path / "page.png")
    page.close()

    assert git(folder, "diff") == ""
    outputs = [output for cell in notebooks.read(file).cells for output in cell.get("outputs", [])]
    assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"], "something red"
    bars = [o.data["text/plain"] for o in outputs if "<progress" in o.get("data", {}).get("text/html", "")]
    trained = [bar for bar in bars if ": step " in bar]
    assert len(trained) == len(list(out.glob("*.tsv"))) == len(set(trained))
    assert all(re.search(r"(\d+) of \1 in \d\d:\d\d", bar) for bar in bars), bars
    assert live >= 1, "no bar was seen under way"
