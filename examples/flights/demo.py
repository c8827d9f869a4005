"""The main job, end to end, on real data, with no cluster: ``make demo``.

A model is served and has users, and each later month is checked for drift against what it was trained on. Meanwhile a
better one is trained on the flights of January to September, evaluated on October to December, and becomes the served
one step by step. In the end a bad model comes.
"""

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pandas as pd
from rich.console import Console

import embedded_kserve
from embedded_kserve import LocalKServe, Mode
from examples.flights import canary
from examples.flights.canary import Watch
from examples.flights.page import summary, write_page
from examples.flights.prepare import prepare
from examples.flights.traffic import QUIET_RATE, RATE, Traffic
from kubeline import KubelineError, ModelPackage, version_of
from kubeline.cli import main as kubeline
from kubeline.local import write_overview
from kubeline.rollout import RolloutStatus

HERE = Path(__file__).parent
RUNS = Path("runs")
WORK = RUNS / "demo"
LATER_MONTHS = (10, 11, 12)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit code of the first command that failed, or 0."""
    parser = argparse.ArgumentParser(prog="python -m examples.flights.demo", description="The main job, end to end.")
    parser.add_argument("--mode", choices=get_args(Mode), default="knative", help="of the embedded KServe")
    mode = parser.parse_args(arguments).mode
    console = Console(highlight=False)
    started = time.monotonic()
    months = prepare()
    console.print(f"[bold]data[/]\n  {len(months)} months of flights in {months[0].parent}", soft_wrap=True)
    shutil.rmtree(WORK, ignore_errors=True)
    try:
        with ThreadPoolExecutor(1) as training:
            earlier = training.submit(canary.earlier_model, months, WORK / "earlier")
            bad = training.submit(canary.bad_model, months, WORK / "bad")  # while the pipeline takes one core
            with embedded_kserve.start(WORK / "kserve", mode) as cluster:
                code = _serve_and_replace(console, cluster, months, earlier, bad)
    except KeyboardInterrupt:
        return 130
    except KubelineError as error:
        console.print(f"demo: {error}", markup=False)
        return error.exit_code
    if code:
        return code
    write_overview(RUNS)
    console.print(f"\n[bold green]done[/] in {time.monotonic() - started:.0f} s; every page: runs/index.html")
    return 0


def _serve_and_replace(
    console: Console, cluster: LocalKServe, months: list[Path], earlier: Future[ModelPackage], bad: Future[ModelPackage]
) -> int:
    console.print(
        "\n[bold]a better model[/]: the pipeline trains it, and gives it more of the users step by step; an earlier "
        "one, trained on January to June, is served meanwhile on an embedded KServe",
        soft_wrap=True,
    )
    with ExitStack() as serving, ThreadPoolExecutor(1) as beginning:
        began = beginning.submit(_Served.begin, serving, cluster, months, earlier, bad)
        code = _good(cluster)
        served = began.result()
        served.watch.end()
        code = code or _show(console, "better", "promoted", served.watch, served.traffic, served.names)
        code = code or served.worse.show(console)
        served.traffic.come(QUIET_RATE)
        code = code or _drift(console, served.checks)
    answers, traffic = served.traffic.answers, served.traffic
    busy = f" ({traffic.asked_again} asked again, as the busy server wished)" if traffic.asked_again else ""
    console.print(f"\n[bold]{len(answers):,} requests, {traffic.failed} failed[/]{busy}")
    if traffic.failed:
        console.print(f"  first: {next(a.failure for a in answers if a.failure)}", markup=False)
    return code or int(traffic.failed > 0)


@dataclass(frozen=True)
class _Served:
    """What goes on while the pipeline runs.

    Attributes:
        traffic: the users of the earlier model, and of what replaces it.
        names: of the models by version.
        checks: of later months for drift, by month.
        watch: of the rollout of the better model.
        worse: the rollout of the bad model, which follows it.
    """

    traffic: Traffic
    names: dict[str, str]
    checks: dict[int, "Future[subprocess.CompletedProcess[str]]"]
    watch: Watch
    worse: "_Bad"

    @classmethod
    def begin(
        cls,
        serving: ExitStack,
        cluster: LocalKServe,
        months: list[Path],
        earlier: Future[ModelPackage],
        bad: Future[ModelPackage],
    ) -> "_Served":
        """Serve the earlier model, let users come, and check each later month against what it was trained on."""
        model = earlier.result()
        canary.deploy(cluster, model, strategy="blue-green", bootstrap="direct")
        names = {version_of(model.digest): "earlier"}
        later = pd.concat([pd.read_parquet(months[month - 1]) for month in LATER_MONTHS]).sample(20_000, random_state=0)
        asked = Traffic(cluster.gateway_url, canary.host(cluster), canary.NAME, model.signature, later, QUIET_RATE)
        traffic = serving.enter_context(asked)
        checking = serving.enter_context(ThreadPoolExecutor(len(LATER_MONTHS)))
        checks = {month: checking.submit(_check, month, str(model.path)) for month in LATER_MONTHS}
        worse = _Bad(cluster, traffic, names, bad, serving.enter_context(ThreadPoolExecutor(1)))
        watch = Watch(cluster, traffic, names, lambda _: traffic.come(RATE), worse.begin)
        return cls(traffic, names, checks, serving.enter_context(watch), worse)


def _good(cluster: LocalKServe) -> int:
    where = [f"cluster={cluster.kubeconfig}", f"gateway={cluster.gateway_url}"]
    settings = [word for one in where for word in ("--set", one)]
    return kubeline(["run", "training", "--params", str(HERE / "training.yaml"), *settings])


def _drift(console: Console, checks: Mapping[int, "Future[subprocess.CompletedProcess[str]]"]) -> int:
    """Show the checks of the later months; the first exit code that is not 0, or 0."""
    console.print("\n[bold]the three later months[/]: each was checked for drift meanwhile", soft_wrap=True)
    for month in LATER_MONTHS:
        check = checks[month].result()
        console.print(f"\n[bold]drift of 2013-{month:02d} against the training data of the earlier model[/]")
        console.print(check.stdout.rstrip(), markup=False, soft_wrap=True)
        if check.returncode:
            return check.returncode
    return 0


def _check(month: int, model: str) -> "subprocess.CompletedProcess[str]":
    program = str(Path(sys.executable).with_name("kubeline"))
    command = ["nice", "-n", "19", program, "run", "monitoring"]  # the pipeline and the rollouts come first
    end = f"{2013 + month // 12}-{month % 12 + 1:02d}-01"
    # Evidently's page would take half of a check's time
    given = [f"at={end}", f"reference={model}", "drift.evidently=false"]
    parameters = ["--params", str(HERE / "monitoring.yaml"), *(word for one in given for word in ("--set", one))]
    return subprocess.run(  # noqa: S603 (our own command and files)
        [*command, *parameters], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )


class _Bad:
    """The rollout of a bad model. It begins when the better one has every user, while the pipeline still ends.

    Args:
        cluster: where.
        traffic: the users.
        names: of the models by version.
        model: the bad one.
        pool: that the rollout runs in.
    """

    def __init__(
        self,
        cluster: LocalKServe,
        traffic: Traffic,
        names: dict[str, str],
        model: "Future[ModelPackage]",
        pool: ThreadPoolExecutor,
    ) -> None:
        self._cluster, self._traffic, self._names, self._model, self._pool = cluster, traffic, names, model, pool
        self._watch: Watch | None = None
        self._ending: Future[RolloutStatus] | None = None

    def begin(self, before: RolloutStatus) -> None:
        """Roll the bad model out, when the rollout before it went well."""
        if before.outcome == "promoted":
            self._names[version_of(before.candidate.digest)] = "better"
            self._watch = Watch(self._cluster, self._traffic, self._names, prints=False)
            self._ending = self._pool.submit(self._roll_out, self._watch)

    def _roll_out(self, watch: Watch) -> RolloutStatus:
        with watch:
            return canary.deploy(self._cluster, self._model.result())

    def show(self, console: Console) -> int:
        """Tell it from its beginning, and wait for its end; 1 when the bad model was not rolled back."""
        console.print("\n[bold]a bad model[/]: wrong and slow, and brought past every check before the rollout")
        if self._watch is None or self._ending is None:
            console.print("  the rollout never began")
            return 1
        self._watch.print_buffered()
        self._ending.result()
        return _show(console, "bad", "rolled_back", self._watch, self._traffic, self._names)


def _show(console: Console, title: str, wanted: str, watch: Watch, traffic: Traffic, names: dict[str, str]) -> int:
    """Write the page of a rollout, and name its model; 1 when the rollout did not end as wanted."""
    if watch.record is None:
        console.print("  the rollout never began")
        return 1
    names[version_of(watch.record.candidate.digest)] = title
    page = write_page(RUNS, title, watch.record, watch.moments, traffic.answers, names)
    console.print(f"  {summary(watch.record)}\npage  {page}", soft_wrap=True)
    return int(watch.record.outcome != wanted)


if __name__ == "__main__":
    sys.exit(main())
