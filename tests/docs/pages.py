"""The pages that people read, and what stands on them to be run.

A page's fenced blocks are carried out in order, in a directory of the page's own. A comment right
above a block says what else is meant:

``<!-- file: NAME -->``
    The block is the content of that file.
``<!-- shown: REASON -->``
    The block is only shown, for the stated reason; its syntax is looked at all the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += [ROOT / "benchmarks" / "README.md", *sorted(DOCS.rglob("*.md"))]

#: What holds no code: what a program has printed, a drawing; and Sphinx's own, {name}.
PLAIN = {"", "text"}
_BLOCK = re.compile(
    r"(?:^<!-- (?P<marker>file|shown): (?P<said>.+?) -->\n\n?)?"
    r"^(?P<fence>```+)(?P<language>[^`\n]*)\n(?P<text>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes
    ----------
    page : Path
    line : int
        Of its first line.
    language : str
    text : str
    file : str or None
        What it is the content of.
    shown : str or None
        Why it is not run.
    """

    page: Path
    line: int
    language: str
    text: str
    file: str | None = None
    shown: str | None = None

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Return what a page holds to be run, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for each in _BLOCK.finditer(text):
        marked = {each["marker"]: each["said"]} if each["marker"] else {}
        line = text.count("\n", 0, each.start("text")) + 1
        found.append(Block(page, line, each["language"], each["text"], **marked))
    return [
        block
        for block in found
        if block.file or not (block.language in PLAIN or block.language.startswith("{"))
    ]


def links(page: Path) -> list[str]:
    """Return what a page's links and pictures name, without those to other sites."""
    found = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    return [target for target in found if not target.startswith(("https://", "#"))]
