"""Copies what paper_figures/ has into docs/results/, between marks: `python -m whereabouts.reporting.results`.

Between `<!-- results: paper_figures/demo/inside/table1.md -->` and `<!-- end -->` comes that table; between
`<!-- verdicts: paper_figures/demo/inside -->` and the same come the claims of each verdict there.
"""

import re
from pathlib import Path

from whereabouts import files, paths
from whereabouts.reporting import claims, units, verdicts
from whereabouts.reporting.judging import WORDS

BLOCK = re.compile(r"(<!-- (results|verdicts): (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def pages() -> list[Path]:
    """The page of each chapter."""
    return sorted(paths.at("docs/results").glob("*.md"))


def with_results(text: str) -> str:
    """`text` with each of its blocks filled."""

    def filled(mark: re.Match) -> str:
        place = paths.at(mark[3])
        return f"{mark[1]}{place.read_text(encoding='utf-8') if mark[2] == 'results' else _by_word(place)}{mark[4]}"

    return BLOCK.sub(filled, text)


def _by_word(folder: Path) -> str:
    """The ids of the claims of a chapter by verdict; in italics those of one seed."""
    if folder not in units.folders(folder):
        return "No results by seed and unit are kept there yet.\n"
    kept = units.read(folder)
    judged = verdicts.verdicts(claims.read(paths.at(kept.claims)), kept.tables)
    lines = []
    for word in WORDS:
        ids = [f"*{one.claim['id']}*" if one.of_one else one.claim["id"] for one in judged if one.word == word]
        lines.append(f"- {len(ids)} {word}{': ' * bool(ids)}{', '.join(ids)}\n")
    return "".join(lines)


if __name__ == "__main__":
    for page in pages():
        files.write_text(page, with_results(page.read_text(encoding="utf-8")))
