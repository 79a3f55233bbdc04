"""Copies the committed tables into docs/results/, between their marks: `python -m whereabouts.reporting.results`."""

import re
from pathlib import Path

from whereabouts import files, paths

BLOCK = re.compile(r"(<!-- results: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def pages() -> list[Path]:
    """The page of each chapter."""
    return sorted(paths.at("docs/results").glob("*.md"))


def with_results(text: str) -> str:
    """`text` with each block `<!-- results: path -->` to `<!-- end -->` filled with the Markdown table at that path."""
    return BLOCK.sub(lambda mark: f"{mark[1]}{paths.at(mark[2]).read_text(encoding='utf-8')}{mark[3]}", text)


if __name__ == "__main__":
    for page in pages():
        files.write_text(page, with_results(page.read_text(encoding="utf-8")))
