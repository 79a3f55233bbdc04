"""Copies the committed results into README.md, between their marks: `python -m lib.readme`."""

import re

from lib import files, paths

BLOCK = re.compile(r"(<!-- results: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def with_results(text: str) -> str:
    """`text` with each block `<!-- results: path -->` to `<!-- end -->` filled with the Markdown table at that path."""
    return BLOCK.sub(lambda mark: f"{mark[1]}{paths.at(mark[2]).read_text(encoding='utf-8')}{mark[3]}", text)


if __name__ == "__main__":
    readme = paths.at("README.md")
    files.write_text(readme, with_results(readme.read_text(encoding="utf-8")))
