"""Every command of docs/platforms.md does what the page says."""

import re
import shlex
from pathlib import Path

import pytest

from kubeline.cli import main
from tests.support.kfp_server import KfpServer
from tests.support.pages import commands

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs" / "platforms.md"
PAGE = FILE.read_text(encoding="utf-8")
COMMANDS = [one.removeprefix("kubeline ") for one in commands(FILE) if one.startswith("kubeline ")]


def test_the_commands_of_the_page_end_as_it_says(
    kfp: KfpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("pipelines", "examples"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    (yaml,) = re.findall(r"^```yaml\n(owner: .+?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "schedules.yaml").write_text(yaml, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    kfp.play = "failure-load"
    codes = []
    for command in COMMANDS:
        words = shlex.split(command)
        codes.append((" ".join(words[:2]), main([*words, *(("--poll", "0.01") if words[0] == "submit" else ())])))
    assert codes == [
        ("lint pipelines", 0),
        ("lint training", 0),
        ("lint pipelines/training/kubeflow.yaml", 0),
        ("lint pipelines", 0),
        ("submit monitoring", 1),
        ("runs --to", 2),  # nothing has run in this folder
        ("runs --failed", 0),
        ("runs 9e056bfe-237d-4fb1-bb6b-5dc0847163c6", 1),
        ("logs 9e056bfe-237d-4fb1-bb6b-5dc0847163c6", 0),
        ("schedule diff", 1),
        ("schedule apply", 0),
        ("schedule diff", 0),
    ]
    printed = capsys.readouterr().out
    assert "failed load: there is nothing at 's3://data/nothing-here/'; check the address" in printed
    assert {one["display_name"] for one in kfp.recurring.values()} == {"drift-nightly", "retrain-on-alarm"}


def test_the_page_names_every_rule() -> None:
    from kubeline.platform.lint.findings import RULES

    assert [rule for rule in RULES if f"`{rule}`" not in PAGE] == []
