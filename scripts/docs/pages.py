"""The fenced blocks of a page: their commands, the expected output, and whether tests run them.

A comment before a block of commands or Python tells whether tests/docs/test_pages.py runs it:

    <!-- run -->                                and compares the output with the page
    <!-- run, exit 1 -->                        expecting this exit code of the last command
    <!-- run, output not compared: why -->
    <!-- not run: why -->
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
MARKER = re.compile(
    r"<!-- (?:(?P<skipped>not run: \S.*)|run(?:, exit (?P<code>\d+))?"
    r"(?P<unlike>, output not compared: \S.*)?) -->"
)
SHELL = ("console", "sh", "bash")
LANGUAGES = (*SHELL, "python")  # blocks of these need a marker
PROMPT, CONTINUED, ELIDED = "$ ", "> ", ".."


@dataclass(frozen=True)
class Step:
    """One console command, or a whole script, and its expected lines of output."""

    command: str
    output: tuple[str, ...] = ()


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    page: Path
    line: int  # of the fence, from 1
    language: str
    text: str
    before: str  # the line above the fence

    @property
    def marker(self) -> re.Match[str] | None:
        """The match of MARKER; None where the line above is not a marker."""
        return MARKER.fullmatch(self.before)

    @property
    def is_run(self) -> bool:
        """Whether tests run the block."""
        return self.marker is not None and self.marker["skipped"] is None

    @property
    def exit_code(self) -> int:
        """The expected exit code of the last command."""
        return int((self.marker and self.marker["code"]) or 0)

    @property
    def is_compared(self) -> bool:
        """Whether the output has to match the page."""
        return self.is_run and self.marker is not None and self.marker["unlike"] is None

    def steps(self) -> list[Step]:
        """The steps in order. A script is one step."""
        if self.language != "console":
            return [Step(self.text)]
        steps: list[Step] = []
        goes_on = False  # the command, in the next line
        for line in self.text.splitlines():
            if line.startswith(PROMPT):
                steps.append(Step(line.removeprefix(PROMPT)))
            elif goes_on or (line.startswith(CONTINUED.strip()) and not steps[-1].output):
                more = line if goes_on else line.removeprefix(CONTINUED.strip()).removeprefix(" ")
                steps[-1] = Step(f"{steps[-1].command}\n{more}")
            else:
                steps[-1] = Step(steps[-1].command, (*steps[-1].output, line))
                continue
            goes_on = line.endswith("\\")
        return steps


def pages() -> list[Path]:
    """README.md, and all pages of the site."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page."""
    lines = page.read_text().splitlines()
    start: int | None = None
    for number, line in enumerate(lines):
        if not line.startswith("```"):
            continue
        if start is None:
            start = number
        else:
            before = next((text for text in reversed(lines[:start]) if text), "")
            language = lines[start].strip("`").strip()
            text = "\n".join(lines[start + 1 : number]) + "\n"
            yield Block(page, start + 1, language, text, before)
            start = None
    if start is not None:
        raise ValueError(f"{page}: the block that starts in line {start + 1} has no end")


def prose(page: Path) -> str:
    """The text of a page outside of fenced blocks and comments."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)


def matches(shown: tuple[str, ...], printed: str) -> str | None:
    """The first expected line that is not in the output; None if all are, in order.

    A word with a digit matches any word; a word that ends in `..` matches the rest of the line; a
    line `..` matches any lines.
    """
    rest = iter([" ".join(line.split()) for line in printed.splitlines()])
    for line in shown:
        words = line.split()
        if not words or words == [ELIDED]:
            continue
        pattern = re.compile(" ".join(map(_pattern, words)))
        if not any(pattern.fullmatch(found) for found in rest):
            return line
    return None


def _pattern(word: str) -> str:
    if word.endswith(ELIDED):
        return f"{re.escape(word.removesuffix(ELIDED))}.*"
    if re.fullmatch("─+", word):
        return "─+"
    return r"\S+" if re.search(r"\d", word) else re.escape(word)
