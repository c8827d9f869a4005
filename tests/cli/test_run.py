"""`kubeline run` on the real local runner."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kubeline.cli import main
from kubeline.local.parameters import groups, signature
from kubeline.resources import component_file, names, pipeline_file
from tests.support.waiting import wait_for


@pytest.fixture
def run(toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """`run(*options)`: run the toy pipeline; returns (exit code, printed text, the run's folder)."""

    def run_toy(*options: str) -> tuple[int, str, Path]:
        code = main(["run", str(toy), "--output", str(tmp_path / "runs"), *options])
        folder = next((tmp_path / "runs").glob("toy-*"))
        return code, capsys.readouterr().out, folder

    return run_toy


def test_a_run_shows_every_step_and_lists_what_was_made(run: Any) -> None:
    code, printed, folder = run()
    assert code == 0
    for step in ("make 0", "make 1", "judge", "celebrate", "tell"):
        assert f"✓ {step}" in printed
    assert "size 9" in printed
    assert str(folder / "index.html") in printed


def test_runs_side_by_side_have_folders_of_their_own_and_are_all_listed(toy: Path, tmp_path: Path) -> None:
    code = "import sys; from kubeline.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "run", str(toy), "--output", str(tmp_path / "runs")]
    together = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [process.wait(timeout=240) for process in together] == [0, 0, 0]
    folders = [folder.name for folder in (tmp_path / "runs").glob("toy-*")]
    assert len(folders) == 3
    overview = (tmp_path / "runs" / "index.html").read_text(encoding="utf-8")
    assert all(f'href="{name}/index.html"' in overview for name in folders)


def test_a_whole_number_for_a_share_runs(run: Any) -> None:
    code, _, _ = run("--set", "share=1")
    assert code == 0


def test_a_run_that_cannot_begin_says_why(toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = toy.read_text(encoding="utf-8").replace("taskOutputArtifact", "noSuchField", 1)
    broken = tmp_path / "broken.yaml"
    broken.write_text(text, encoding="utf-8")
    assert main(["run", str(broken), "--output", str(tmp_path / "runs")]) == 1
    assert "noSuchField" in " ".join(capsys.readouterr().out.partition("failed")[2].split())


def test_a_condition_that_does_not_hold_skips_its_steps(run: Any) -> None:
    _, printed, _ = run("--set", "limit=50")
    assert "celebrate" not in printed


def test_the_raw_log_goes_to_a_file_only(run: Any) -> None:
    _, printed, folder = run()
    assert "celebrated" in (folder / "log.txt").read_text(encoding="utf-8")
    assert "celebrated" not in printed


def test_the_page_links_every_report_under_a_name_that_opens_in_a_browser(run: Any) -> None:
    _, _, folder = run()
    page = (folder / "index.html").read_text(encoding="utf-8")
    for link in ("reports/judge-report.html", "reports/judge-notes.html"):
        assert f'href="{link}"' in page
        assert (folder / link).is_file()
    notes = (folder / "reports/judge-notes.html").read_text(encoding="utf-8")
    assert "<table>" in notes
    assert "<script>" not in notes


def test_the_verdict_is_in_the_last_line_on_the_page_and_on_the_page_of_all_runs(run: Any) -> None:
    _, printed, folder = run("--set", "limit=6")
    assert printed.splitlines()[-1].startswith("held by judge")
    overview = (folder.parent / "index.html").read_text(encoding="utf-8")
    assert f'href="{folder.name}/index.html"' in overview
    assert 'class="warn">held</strong>' in overview
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "<strong>held</strong>" in page
    assert "succeeded" not in page + overview + printed
    for step in ("make 0", "make 1", "judge", "celebrate", "tell"):
        assert f'font-weight:600">{step}</text>' in page  # the graph
        log = f"logs/{step.replace(' ', '-')}.txt"
        assert f'<span><a href="{log}">{step}</a></span>' in page  # the times
        assert f'Loading KFP component "{step.split()[0]}"' in (folder / log).read_text(encoding="utf-8")
    assert "<td class=text>limit</td><td class=text>6</td><td class=text>5</td>" in page
    assert "3 more at their defaults" in page
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert result["seconds"] > 0
    assert {task["task"] for task in result["tasks"]} == {"make 0", "make 1", "judge", "celebrate", "tell"}


def test_a_failing_step_ends_with_its_own_sentence_and_the_exit_handler_still_runs(run: Any) -> None:
    code, printed, folder = run("--set", "limit=-1")
    assert code == 2
    assert "✗ judge" in printed
    assert "✓ tell" in printed
    assert printed.splitlines()[-1] == "failed judge: limit is -1, but it must not be negative"
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert page.index("limit is -1, but it must not be negative") < page.index("<h2>Steps</h2>")
    assert "did not run" in page  # celebrate
    assert json.loads((folder / "result.json").read_text(encoding="utf-8"))["succeeded"] is False
    log = (folder / "log.txt").read_text(encoding="utf-8")
    assert "Traceback" not in log.split("limit is -1")[0]  # a user error is no traceback


def test_a_failing_step_is_not_tried_again_on_a_laptop(run: Any) -> None:
    _, _, folder = run("--set", "limit=-1")
    log = (folder / "log.txt").read_text(encoding="utf-8")
    assert log.count('Loading KFP component "judge"') == 1


def test_a_wrong_parameter_stops_before_anything_runs(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(toy), "--output", str(tmp_path / "runs"), "--set", "limmit=1"]) == 2
    assert not (tmp_path / "runs").exists()
    assert capsys.readouterr().err == "kubeline: 'limmit' is not a parameter of pipeline toy; did you mean 'limit'?\n"


def test_an_unknown_pipeline_is_answered_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "trainnig"]) == 2
    assert "there is no pipeline 'trainnig'; there are: " in capsys.readouterr().err


@pytest.mark.parametrize("place", ["file", "file/below", "/dev/full", "/proc/nowhere", "a" * 300])
def test_a_run_that_cannot_be_written_is_reported_before_anything_runs(
    place: str, toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    assert main(["run", str(toy), "--output", str(tmp_path / place)]) == 2
    reported = capsys.readouterr()
    assert "kubeline: cannot write the run to " in reported.err
    assert "give another --output" in reported.err
    assert "✓" not in reported.out
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


def test_ctrl_c_while_the_command_is_being_imported_is_no_traceback() -> None:
    code = (
        "import os, signal, sys; from kubeline.cli import main\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'kubeline.cli.program': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder()); sys.exit(main(['list']))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (130, "kubeline: interrupted\n")


def test_a_terminal_without_unicode_shows_a_run(toy: Path, tmp_path: Path) -> None:
    code = "import sys; from kubeline.cli import main; sys.exit(main(sys.argv[1:]))"
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-c", code, "run", str(toy), "--output", str(tmp_path / "runs"), "--set", "limit=50"]
    ran = subprocess.run(command, env={**os.environ, **plain}, capture_output=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert b"  + make 0" in ran.stdout
    reported = subprocess.run(
        [*command, "--set", "title=é"], env={**os.environ, **plain}, capture_output=True, check=False
    )
    assert reported.returncode == 2
    assert b"is no text in the encoding of this shell; set LANG=C.UTF-8" in reported.stderr
    assert reported.stderr.count(b"\n") == 1


def test_a_narrow_terminal_has_what_was_made_in_lines_and_not_in_columns(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as a terminal, whose width COLUMNS is
    monkeypatch.setenv("COLUMNS", "40")
    _, printed, _ = run("--set", "limit=50")
    assert "make 0 model: size 1" in printed
    assert "facts" not in printed


def test_a_component_that_only_an_exit_handler_can_call_is_no_pipeline(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(component_file("notify"))]) == 2
    assert "cannot be run by itself: its input 'status' is filled in by a pipeline's exit handler" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "kubeline: the following arguments are required: COMMAND; see kubeline --help"),
        (
            ["lst"],
            "kubeline: argument COMMAND: 'lst' is not one of the choices; did you mean 'list'?; see kubeline --help",
        ),
        (["run"], "kubeline run: the following arguments are required: pipeline; see kubeline run --help"),
        (["run", "training", "--parms", "x"], "kubeline: unrecognized arguments: --parms x; see kubeline --help"),
        (["submit", "training", "--to", "vertx"], "'vertx' is not one of the choices; did you mean 'vertex'?"),
        (["rollout", "promot", "x"], "'promot' is not one of the choices; did you mean 'promote'?"),
        (
            ["serve", "x", "--port", "80a"],
            "kubeline serve: argument --port: '80a' is not a whole number from 1 to 65,535",
        ),
        (["serve", "x", "--grpc-port", "70000"], "'70000' is not a whole number from 1 to 65,535"),
        (
            ["runs", "--patience", "nan"],
            "kubeline runs: argument --patience: 'nan' is not a number of seconds, 0 or more",
        ),
        (["submit", "x", "--poll", "inf"], "'inf' is not a number of seconds, 0 or more"),
        (["runs", "--limit", "-3"], "'-3' is not a whole number from 1 to 1,000"),
        (["runs", "--host", "http://["], "--host is 'http://[', which is no web address"),
        (["runs", "--host", "ftp://kfp.example"], "--host is 'ftp://kfp.example', which is no web address"),
        (["runs", "--host", "kfp.example:http"], "--host is 'https://kfp.example:http', which is no web address"),
        (["lint", ""], "kubeline: there is no pipeline ''"),
        (["rollout", "status", "x", "--kubeconfig", __file__], "(it is no kubeconfig); give a valid kubeconfig"),
        (["run", "a" * 300 + ".yaml"], "the name is longer than this file system allows; give a shorter one"),
        (["run", "training", "--params", "a" * 300], "the name is longer than this file system allows"),
    ],
)
def test_a_wrong_command_line_is_reported_in_one_sentence(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(words)
    except SystemExit as end:  # argparse's way
        code = int(end.code or 0)
    reported = capsys.readouterr().err
    assert sentence in reported
    assert reported.count("\n") == 1
    assert code in (2, 3)


def test_a_pair_without_a_value_is_refused(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(toy), "--set", "limit"]) == 2
    assert capsys.readouterr().err == "kubeline: --set takes NAME=VALUE, but 'limit' was given\n"


def test_help_lists_the_parameters_of_a_pipeline_with_their_defaults(
    toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", str(toy), "--help"])
    assert ended.value.code == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "parameters of toy, with their defaults (--set NAME=VALUE, or --params FILE):" in lines
    assert "limit 5 Where big begins, in bytes" in lines
    assert 'sizes [{"size": 1.0}, {"size": 9.0}] How big the models are' in lines
    assert "title a title" in lines


def test_help_of_every_pipeline_has_each_parameter_and_each_field_on_a_line_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for pipeline in names("pipelines"):
        with pytest.raises(SystemExit):
            main(["run", pipeline, "--help"])
        printed = capsys.readouterr().out.partition("parameters of")[2]
        model = signature(pipeline_file(pipeline))
        fields = [f"{group}.{field}" for group, every in groups(model).items() for field in every]
        assert [name for name in [*model.model_fields, *fields] if f"\n  {name} " not in printed] == []


def test_list_names_every_pipeline_and_component_with_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    for name in [*names("pipelines"), *names("components")]:
        (line,) = [line for line in printed.splitlines() if line.startswith(f"  {name} ")]
        assert len(line.split()) > 3


@pytest.mark.parametrize(
    "arguments", [["schema", "training"], ["list"], ["run", "training", "--help"], ["--help"], ["rollout", "--help"]]
)
def test_a_pipe_that_is_closed_early_is_no_error(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", "import sys; from kubeline.cli import main; sys.exit(main())", *arguments]
    ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert ended.stderr == b""
    assert ended.returncode in (141, 0)  # argparse itself ignores that its help cannot be written


@pytest.mark.parametrize(
    ("line", "completions"),
    [
        ("kubeline schem", {"schema"}),
        ("kubeline run train", {"training"}),
        ("kubeline run training --set split.c", {"split.column=", "split.cutoff="}),
        ("kubeline run training --set promote=", {"promote=true", "promote=false"}),
        ("kubeline run no-such-pipeline --set spl", set()),
    ],
)
def test_the_shell_completes_commands_pipelines_and_parameters(line: str, completions: set[str]) -> None:
    command = [sys.executable, "-m", "kubeline.cli"]
    shell = {
        **os.environ,
        "_ARGCOMPLETE": "1",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "_ARGCOMPLETE_IFS": "|",
    }
    shell |= {"_ARGCOMPLETE_STDOUT_FILENAME": "/dev/stdout", "_ARGCOMPLETE_SUPPRESS_SPACE": "1"}
    ended = subprocess.run(command, env=shell, capture_output=True, text=True, check=False)
    assert {word for word in ended.stdout.split("|") if word} == completions


def test_without_an_address_the_registry_lies_with_the_runs(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    text = toy.read_text(encoding="utf-8")
    telling = tmp_path / "telling.yaml"
    words = 'import os; print(\\"registry\\", os.environ[\\"MLFLOW_TRACKING_URI\\"])'
    telling.write_text(text.replace('print(\\"celebrated\\")', words), encoding="utf-8")
    assert main(["run", str(telling), "--output", str(tmp_path / "runs")]) == 0
    (log,) = (tmp_path / "runs").glob("toy-*/log.txt")
    assert f"registry sqlite:///{tmp_path}/runs/mlflow.db" in log.read_text(encoding="utf-8")


def test_schema_prints_the_json_schema_of_the_parameters(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", str(toy)]) == 0
    assert json.loads(capsys.readouterr().out)["properties"]["share"]["default"] == 0.5


@pytest.mark.parametrize(("kind", "code"), [(signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_a_run_that_is_ended_or_killed_takes_its_steps_along(
    toy: Path, tmp_path: Path, kind: signal.Signals, code: int
) -> None:
    slow = tmp_path / "slow.yaml"
    text = toy.read_text(encoding="utf-8")
    slow.write_text(text.replace('print(\\"told\\"', 'import time; time.sleep(100); print(\\"told\\"'))
    command = [sys.executable, "-m", "kubeline.cli", "run", str(slow), "--output", str(tmp_path / "runs")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        log = _wait_for_log(tmp_path / "runs", 'Loading KFP component "tell"')
        assert _processes_that_mention(log.parent)
        process.send_signal(kind)
        process.communicate(timeout=240)
    assert process.returncode == code
    if code == 130:  # it is a run like others, with a page and its reason
        reported = json.loads((log.parent / "result.json").read_text(encoding="utf-8"))
        assert reported["reason"] == "interrupted in tell"
        assert "interrupted in tell" in (log.parent / "index.html").read_text(encoding="utf-8")
        assert log.parent.name in (tmp_path / "runs" / "index.html").read_text(encoding="utf-8")
    wait_for(lambda: not _processes_that_mention(log.parent))


def _wait_for_log(runs: Path, words: str) -> Path:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        for log in runs.glob("toy-*/log.txt"):
            if words in log.read_text(encoding="utf-8"):
                return log
        time.sleep(0.05)
    raise AssertionError(f"the log never said {words}")


def _processes_that_mention(folder: Path) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes()
        except OSError:  # it has ended meanwhile
            continue
        if str(folder).encode() in words and entry.parent.name != str(os.getpid()):
            found.append(entry.parent.name)
    return found
