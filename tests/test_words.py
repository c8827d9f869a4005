"""The field's terms stand in code, messages and pages; docs/glossary.md has them, and what they replace."""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Outside rollout/analysis and its benchmark, where a look is one interim analysis, nothing looks at, through or into
# anything.
METAPHORS = re.compile(
    r"(?<![a-z])(?:tells?|telling|told|heard|glanced?|mend(?:ed|s)?|nurser(?:y|ies)|furnish(?:ed|es)?|tether(?:ed|s)?"
    r"|aside|a person|what is more|the world is|look(?:s|ed|ing)? (?:at|into|through))(?![a-z])"
)
LOOK = re.compile(r"_*(?:look|looks|looked|looked_at)")
WHERE_LOOKS_ARE_TERMS = ("src/kubeline/rollout/analysis", "benchmarks/judge.py")


def words(file: Path) -> Iterator[tuple[int, str, bool]]:
    """Names, comments and texts of a module: line, words with the parts of names apart, and whether it is a name."""
    before = ""
    for token in tokenize.generate_tokens(io.StringIO(file.read_text(encoding="utf-8")).readline):
        if token.type == tokenize.NAME and not (before == "." and token.string == "tell"):  # of an open file
            yield token.start[0], token.string.lower().replace("_", " "), True
        elif tokenize.tok_name[token.type] in ("COMMENT", "STRING", "FSTRING_MIDDLE"):  # the last since Python 3.12
            yield token.start[0], " ".join(token.string.lower().split()), False
        before = token.string


@pytest.mark.parametrize(
    "folder",
    [
        "src/kubeline",
        "serving",
        "embedded_kserve",
        "components",
        "pipelines",
        "examples/fraud",
        "benchmarks",
        ".ci",
        "images",
    ],
)
def test_terms_of_the_field_stand_where_metaphors_stood(folder: str) -> None:
    found, files = [], sorted((ROOT / folder).rglob("*.py"))
    for file in files:
        if "_pb2" in file.name:  # generated
            continue
        where = str(file.relative_to(ROOT))
        for line, text, is_name in words(file):
            is_look = LOOK.fullmatch(text.replace(" ", "_")) and not where.startswith(WHERE_LOOKS_ARE_TERMS)
            if METAPHORS.search(text) or (is_name and is_look):
                found.append(f"{where}:{line} {text[:100]}")
    assert files
    assert found == []


def test_pages_use_them_too() -> None:
    """But for the glossary, which has what they replace, and pages that are made from docstrings or quote history."""
    pages = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "serving" / "README.md",
        *(ROOT / "docs").rglob("*.md"),
    ]
    left_out = {ROOT / "docs" / "glossary.md", *(ROOT / "docs" / "reference").rglob("*.md")}
    found = []
    for page in sorted({*pages} - left_out):
        for number, line in enumerate(page.read_text(encoding="utf-8").lower().splitlines(), start=1):
            if METAPHORS.search(line):
                found.append(f"{page.relative_to(ROOT)}:{number} {line[:100]}")
    assert len(pages) > 20
    assert found == []
