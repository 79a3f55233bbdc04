"""Two `dvc repro` in one clone: the second waits or refuses, and what is there in the end is whole."""

import subprocess
import sys

import pytest
import yaml

STAGE = "test ! -e running && touch running && sleep 2 && echo {name} > {name}.out && rm running"


@pytest.fixture
def clone(tmp_path):
    stages = {n: {"cmd": STAGE.format(name=n), "deps": ["in"], "outs": [f"{n}.out"]} for n in ("a", "b")}
    stages["b"]["deps"].append("a.out")
    (tmp_path / "in").write_text("1", encoding="utf-8")
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}), encoding="utf-8")
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=tmp_path, check=True)
    return tmp_path


@pytest.mark.parametrize("waits", [False, True])
def test_two_at_once(clone, waits):
    command = [sys.executable, "-m", "dvc", *(["--wait-for-lock"] if waits else []), "repro"]
    both = [subprocess.Popen(command, cwd=clone, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate(timeout=100)[1] for process in both]
    codes = [process.returncode for process in both]
    assert 0 in codes
    for code, error in zip(codes, errors, strict=True):
        assert code == 0 or "lock" in error or "busy" in error, error
    assert {name: (clone / f"{name}.out").read_text(encoding="utf-8") for name in "ab"} == {"a": "a\n", "b": "b\n"}
    again = subprocess.run(command, cwd=clone, capture_output=True, text=True)
    assert again.returncode == 0 and "up to date" in again.stdout
