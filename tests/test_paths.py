"""Paths from the root of the repository."""

from whereabouts import paths


def test_paths_below_the_root_are_shown_from_it(tmp_path):
    assert paths.shown(paths.ROOT / "data" / "raw") == "data/raw"
    assert paths.shown("/elsewhere/file") == "/elsewhere/file"
    assert paths.at("params") == paths.ROOT / "params"
    assert paths.at(tmp_path) == tmp_path
