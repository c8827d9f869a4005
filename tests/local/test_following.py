"""While a run goes on its page follows, and the page of all runs knows it; whatever ends it is reported."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from kubeline.local.following import PageFollower
from kubeline.local.overview import write_overview
from kubeline.local.runner import Run
from kubeline.local.runner import run as run_locally
from kubeline.local.summary import outputs, write_page


def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def test_the_page_of_a_run_is_written_at_each_step_and_loads_itself_anew_until_the_end(
    toy: Path, tmp_path: Path
) -> None:
    pages: list[str] = []
    follower = PageFollower(toy, tmp_path)

    def change(run: Run) -> None:
        follower.write(run)
        pages.append(_text(run.folder / "index.html"))
        assert "refresh" not in _text(run.folder / "still.html")
        assert 'href="index.html"' in _text(run.folder / "still.html")
        assert "running</strong>" in _text(tmp_path / "index.html")
        assert f'href="{run.folder.name}/index.html"' in _text(tmp_path / "index.html")

    run = run_locally(toy, "toy", {"limit": 5}, tmp_path, lambda _: None, change)
    assert len(pages) == 1 + 2 * 5
    for text in pages:
        assert '<meta http-equiv="refresh" content="5">' in text
        assert 'href="still.html"' in text
        assert "<h1>toy: running</h1>" in text
    assert pages[0].count("has not begun</text>") == 4  # the loop is one box until it runs
    assert "running</text>" in pages[1]
    before_the_end = [text for text in pages if ">judge: notes<" in text]
    assert before_the_end, "what a step has decided is shown while the others run"
    assert "size 9" in before_the_end[0]
    page = write_page(run, outputs(run, toy), toy)
    write_overview(tmp_path)
    assert "refresh" not in _text(page)
    assert "running" not in _text(tmp_path / "index.html")
    assert {"still.html", "running.json"} & {file.name for file in run.folder.iterdir()} == set()


def test_a_run_whose_process_was_killed_has_failed(toy: Path, tmp_path: Path) -> None:
    code = "import sys; from kubeline.cli import main; sys.exit(main(sys.argv[1:]))"
    slow = tmp_path / "slow.yaml"
    text = toy.read_text(encoding="utf-8")
    slow.write_text(re.sub(r"if limit < 0:", r"if __import__('time').sleep(60):", text), encoding="utf-8")
    command = [sys.executable, "-c", code, "run", str(slow), "--output", str(tmp_path / "runs")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while not any("judge" in _text(file) for file in (tmp_path / "runs").glob("toy-*/running.json")):
            assert process.poll() is None
            time.sleep(0.02)
        assert "running</strong>" in _text(write_overview(tmp_path / "runs"))
        process.send_signal(signal.SIGKILL)
    overview = _text(write_overview(tmp_path / "runs"))
    assert "failed</strong>" in overview
    assert "the process that ran it has ended without reporting" in overview
    folder = next((tmp_path / "runs").glob("toy-*"))
    assert "refresh" not in _text(folder / "index.html")
    assert "the process that ran it has ended without reporting" in _text(folder / "index.html")
    assert 'href="still.html"' in _text(folder / "index.html")
    assert json.loads(_text(folder / "running.json"))["tasks"]
