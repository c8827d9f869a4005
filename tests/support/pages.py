"""What pages hold for their readers to run: code by its language, and the commands behind a prompt."""

import re
from collections.abc import Iterator
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    {
        *ROOT.glob("*.md"),
        *(page for page in (ROOT / "docs").rglob("*.md") if "reference" not in page.parts),
        *ROOT.glob("components/*/README.md"),
        *ROOT.glob("examples/*/README.md"),
        *ROOT.glob("pipelines/*/README.md"),
        ROOT / "serving" / "README.md",
    }
)


def tokens_of(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))


def blocks(page: Path, *languages: str) -> Iterator[str]:
    """The code of a page that is said to be of one of these languages."""
    yield from (token.content for token in tokens_of(page) if token.type == "fence" and token.info in languages)


def commands(page: Path) -> Iterator[str]:
    """What stands behind a prompt, with the lines that go on."""
    for block in blocks(page, "console"):
        yield from commands_of(block)


def commands_of(block: str) -> Iterator[str]:
    """The commands of one block."""
    yield from (command for command, _ in dialogue(block))


def dialogue(block: str) -> Iterator[tuple[str, str]]:
    """The commands of one block, each with what stands below it: what it prints, or nothing."""
    joined = re.sub(r"\\\n(?:> )?", "", block)
    for command, printed in re.findall(r"^\$ (.*(?:\n> .*)*)\n?((?:(?!\$ ).*\n?)*)", joined, re.MULTILINE):
        yield command.replace("\n> ", "\n"), printed.strip("\n") and printed
