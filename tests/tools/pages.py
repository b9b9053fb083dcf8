"""The Markdown pages as the tests read them: their code blocks, tables and links.

A comment before a code block says what the block shows, with a path under ``docs/``: after
``<!-- file: examples/chat.py -->`` it is that file, after ``<!-- output: examples/chat.py -->`` what
running the file prints, in which ``…`` stands for anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])

_BLOCK = re.compile(
    r"^(?:<!-- (?P<kind>file|output): (?P<path>\S+) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ (?P<title>.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A code block of a page; ``shows`` is a path under docs/ if the block shows or prints a file."""

    page: Path
    language: str
    text: str
    kind: str | None
    shows: str | None

    def __str__(self) -> str:
        return f"{self.page.name}-{self.shows or self.language}"


def blocks(page: Path) -> list[Block]:
    """Returns the code blocks of a page."""
    return [
        Block(page, found["language"], found["text"], found["kind"], found["path"])
        for found in _BLOCK.finditer(page.read_text(encoding="utf-8"))
    ]


def rows(page: Path, *, heading: str) -> Iterator[list[str]]:
    """Yields the cells of each row of the tables whose first heading is ``heading``."""
    inside = False
    for line in page.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            inside = False
        elif inside and not set(cells[0]) <= set("-:"):
            yield cells
        elif cells[0] == heading:
            inside = True


def links(page: Path) -> list[str]:
    """Returns the targets of a page's links, those in code blocks left out."""
    prose = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    return [found["target"] for found in _LINK.finditer(prose)]


def anchors(page: Path) -> set[str]:
    """Returns what a link may name behind ``#``, as GitHub makes it from the headings."""
    titles = _HEADING.findall(_BLOCK.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def matches(shown: str, printed: str) -> bool:
    """Whether ``printed`` is what a page shows, where ``…`` stands for anything."""
    pattern = ".*?".join(re.escape(part) for part in shown.strip().split("…"))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None
