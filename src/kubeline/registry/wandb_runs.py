"""Weights & Biases as the tracker: a pipeline run is a group, each candidate and each trial a run of it.

Its own client files them (the extra ``wandb``). Whether the service is there, knows the key and has the project is
asked before, since the client tries for minutes, and makes a project whose name was misspelt; what arrived is asked
after, since the client ends well where the service has refused what it sent.
"""

import base64
import hashlib
import json
import logging
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kubeline.addresses import redact
from kubeline.errors import PlatformError, UserError
from kubeline.http.json_api import JsonApi
from kubeline.http.time_budget import TimeBudget
from kubeline.registry.interface import RunRecord

if TYPE_CHECKING:
    import wandb

_ADDRESS = re.compile(r"wandb://(?P<entity>[A-Za-z0-9][\w.-]{0,127})/(?P<project>[A-Za-z0-9][\w.-]{0,127})/?", re.ASCII)
_USUAL = "https://api.wandb.ai"
_KEY = "WANDB_API_KEY"
_HOST = "WANDB_BASE_URL"
_HELP = f"check {_KEY}, and {_HOST} where it is not {_USUAL}"
_SECONDS = 120.0  # for each run
_MOST = 128  # characters of a name
_KINDS = ("pipeline run", "candidate", "trial")
_PROJECT = (
    "query Kubeline($entity: String!, $project: String!) "
    "{ viewer { id } project(name: $project, entityName: $entity) { id } }"
)
# As the client itself asks, to resume a run.
_LINES = (
    "query KubelineRun($entity: String!, $project: String!, $name: String!) "
    "{ model(name: $project, entityName: $entity) { bucket(name: $name, missingOk: true) { historyLineCount } } }"
)


class WandbRuns:
    """The runs of a project.

    Args:
        uri: ``wandb://ENTITY/PROJECT``; what follows a question mark is of the registry. The host is in the variable
            ``WANDB_BASE_URL``, the key in ``WANDB_API_KEY``.
        patience: seconds to find the service, and again for what was sent to be there.

    Raises:
        UserError: when it is no such address.
    """

    def __init__(self, uri: str, patience: float = 60.0) -> None:
        found = _ADDRESS.fullmatch(uri.partition("?")[0])
        if found is None:
            raise UserError(f"'{redact(uri)}' is no project of Weights & Biases; write wandb://ENTITY/PROJECT")
        self._entity, self._project = found["entity"], found["project"]
        self._host = os.environ.get(_HOST, "").rstrip("/") or _USUAL
        self._patience = patience
        self._api = JsonApi(
            self._host,
            "Weights & Biases",
            known=_credentials,
            help_when_refused=_HELP,
            patience=patience,
        )

    @property
    def place(self) -> str:
        """Where it is."""
        return f"wandb://{self._entity}/{self._project} at {urlsplit(self._host).netloc}"

    def probe(self) -> None:
        """Find the client, the service and the project; nothing is written.

        Raises:
            UserError: when the key is missing or not known, there is no such project, or nothing is to be sent.
            PlatformError: when the client is not installed, or the service cannot be used.
        """
        _client()
        if (mode := os.environ.get("WANDB_MODE", "online")) != "online":
            raise UserError(
                f"WANDB_MODE is '{mode[:20]}', but tracking_uri files runs in {self.place}; unset it, or give the "
                "address of the registry alone"
            )
        found = self._asked(_PROJECT)
        if not found.get("viewer"):
            raise UserError(f"{self._api.place} does not know us; {_HELP}")
        if not found.get("project"):
            raise UserError(
                f"there is no project {self.place}, or this key may not see it; make it, or correct tracking_uri"
            )

    def track(self, name: str, pipeline_run: str, tree: RunRecord) -> str:
        """File the runs of a pipeline run; see :meth:`Tracker.track`. The pipeline run itself is their group.

        Raises:
            UserError: as for `probe`.
            PlatformError: as for `probe`, or when not all of a run arrived.
        """
        with self._session() as settings:
            for part, above, record in tree.parts("/"):
                if record is not tree:
                    kind = _KINDS[min(part.count("/") - tree.name.count("/"), 2)]
                    self._file(settings, name, pipeline_run, part, kind, {"part_of": above}, record)
        return pipeline_run

    def observe(self, name: str, digest: str, moment: datetime, figures: Mapping[str, float]) -> None:
        """File what a window showed: a run of its own, since the steps of a run cannot be filed twice or later.

        Raises:
            UserError: as for `probe`.
            PlatformError: as for `track`.
        """
        group = f"monitoring-{digest[:8]}"
        window = RunRecord(f"{group} {moment:%Y-%m-%dT%H:%M}", metrics=dict(figures))
        given = {"monitored_package": digest, "window_end": f"{moment:%Y-%m-%dT%H:%M:%S%z}"}
        with self._session() as settings:
            self._file(settings, name, group, window.name, "window", given, window)

    def _file(
        self,
        settings: "wandb.Settings",
        model: str,
        group: str,
        part: str,
        kind: str,
        given: Mapping[str, str],
        record: RunRecord,
    ) -> None:
        """File one run. Its id follows from the names: what is repeated finds it there, and logs nothing twice."""
        wandb = _client()
        run = wandb.init(
            entity=self._entity,
            project=self._project,
            id=hashlib.sha256(f"{model}\n{group}\n{part}".encode()).hexdigest()[:16],
            name=record.name[:_MOST],
            group=group[:_MOST],
            job_type=kind,
            tags=_labels(record),
            config={"registered_model": model, "pipeline_run": group, **given, **_configured(record)},
            dir=settings.root_dir,
            mode="online",
            resume="allow",
            reinit="create_new",
            settings=settings,
        )
        figures = {name.replace(".", "/"): value for name, value in record.metrics.items()}
        if figures and run.starting_step == 0:
            run.log(figures)
        run.finish()
        if figures:
            self._arrived(run.id, record.name)

    def _arrived(self, run: str, name: str) -> None:
        """Wait until a run has the line that was sent."""
        budget = TimeBudget(self._patience)
        while not _line_count(self._asked(_LINES, name=run)):
            if not budget.wait(0.0):
                raise PlatformError(f"{self.place} did not take the figures of '{name}', whose run is there; try again")

    def _asked(self, query: str, **given: str) -> Any:
        variables = {"entity": self._entity, "project": self._project, **given}
        return self._api.write("POST", "/graphql", {"query": query, "variables": variables}).get("data") or {}

    @contextmanager
    def _session(self) -> Iterator["wandb.Settings"]:
        """The client at work, with nothing of this machine in what it sends; its failures are one sentence."""
        self.probe()
        wandb = _client()
        with tempfile.TemporaryDirectory(prefix="kubeline-") as folder:
            settings = wandb.Settings(
                base_url=self._host,
                console="off",
                disable_code=True,
                disable_git=True,
                finish_timeout=_SECONDS,
                finish_timeout_raises=True,
                init_timeout=_SECONDS,
                program="kubeline",
                root_dir=folder,
                save_code=False,
                silent=True,
                x_disable_machine_info=True,
                x_disable_meta=True,
                x_disable_stats=True,
                x_save_requirements=False,
            )
            try:
                yield settings
            except (wandb.Error, TimeoutError, ValueError, OSError) as error:
                reason = " ".join(str(error).split())[:300] or type(error).__name__
                raise PlatformError(f"{self.place} did not take the runs ({redact(reason)}); try again") from None
            finally:
                with suppress(Exception):  # what counts was raised by `finish`
                    wandb.teardown()


def _client() -> Any:
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # what fails here is nobody else's to know
    os.environ.setdefault("WANDB_SILENT", "true")
    logging.getLogger("wandb").setLevel(logging.WARNING)
    try:
        import wandb
    except ImportError:
        raise PlatformError(
            "this image cannot file runs in Weights & Biases: the package wandb is missing; use an image with "
            "kubeline[wandb]"
        ) from None
    return wandb


def _line_count(found: Any) -> int:
    return int(((found.get("model") or {}).get("bucket") or {}).get("historyLineCount") or 0)


def _credentials() -> dict[str, str]:
    key = os.environ.get(_KEY, "").strip()
    if not key:
        raise UserError(f"{_KEY} is not set, so Weights & Biases does not know us; give it to the step by a secret")
    return {"Authorization": f"Basic {base64.b64encode(f'api:{key}'.encode()).decode()}"}


def _labels(record: RunRecord) -> list[str]:
    """What a list of runs is filtered by: whether it was chosen, and what the evaluation said."""
    chosen = ["chosen"] if record.tags.get("chosen") == "true" else []
    return chosen + [verdict for verdict in [record.tags.get("evaluation", "")] if verdict]


def _configured(record: RunRecord) -> dict[str, Any]:
    """Parameters as numbers where they are, lineage, and the tables; a name holds no dot there."""
    known = {name: _number(text) for name, text in record.params.items()} | record.tags
    inputs = {one.context: {"fingerprint": one.fingerprint, "source": one.source, **one.facts} for one in record.inputs}
    return {name.replace(".", "_"): value for name, value in known.items()} | ({"inputs": inputs} if inputs else {})


def _number(text: str) -> Any:
    """A parameter as a number or truth value, so that it can be sorted and drawn; else the text."""
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return found if isinstance(found, (bool, int, float)) and abs(found) < 2**53 else text
