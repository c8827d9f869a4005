"""docs/platforms.md says what `kubeline lint` asks; its commands are followed in tests/docs."""

from pathlib import Path

from kubeline.platform.lint.findings import RULES

PAGE = (Path(__file__).parents[2] / "docs" / "platforms.md").read_text(encoding="utf-8")


def test_the_page_names_every_rule() -> None:
    assert [rule for rule in RULES if f"`{rule}`" not in PAGE] == []
