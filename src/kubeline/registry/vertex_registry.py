"""Vertex AI's Model Registry: a version for each package, aliases, labels, and the evaluation for the console."""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from kubeline.addresses import redact, scheme, vertex_place, vertex_service
from kubeline.errors import PlatformError, UserError
from kubeline.http.google import GoogleCredentials, google_api
from kubeline.http.operations import finished
from kubeline.http.requests import MissingError, TakenError
from kubeline.registry.interface import (
    CHALLENGER,
    CHAMPION,
    ModelVersion,
    RunRecord,
    Submission,
    check_alias,
    check_name,
)
from kubeline.registry.model_folder import FolderRegistry, ModelFolder, digest_in, split_address
from kubeline.registry.vertex_experiments import VertexExperiments
from kubeline.serving_platform.endpoint_view import DIGEST_VARIABLE
from kubeline.serving_platform.vertex_workloads import container_of

logger = logging.getLogger(__name__)

_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,62}")
_ALIAS = re.compile(r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9]")
_DIGEST = "package_digest"
_LABEL = 63  # characters of a label, its name or its value: one less than a digest has
_MOST_LABELS = 64
_PAGE = 100
_SECONDS = 1800.0  # for an upload, in which Vertex copies the package and the image
_EVALUATION = "kubeline"
_SCHEMAS = "gs://google-cloud-aiplatform/schema/modelevaluation"
# What the schemas of Google's evaluations call our metrics, the first that there is.
_CLASSIFICATION = {
    "auRoc": ("roc_auc", "macro_roc_auc"),
    "auPrc": ("average_precision",),
    "logLoss": ("log_loss",),
}
_REGRESSION = {"rootMeanSquaredError": ("rmse",), "meanAbsoluteError": ("mae",), "rSquared": ("r2",)}


class VertexRegistry(FolderRegistry):
    """The Model Registry of a project and region, with the packages in a folder of Cloud Storage.

    A package has one version. Two writers may both upload it for a moment: then each keeps the lowest version and
    deletes its own. The label `package_digest` has 63 of the 64 characters of a digest; the address of the package has
    them all.

    Args:
        uri: ``vertex://PROJECT/LOCATION?store=gs://BUCKET/models&image=IMAGE``; the image is that of the model server,
            in Artifact Registry, without which Vertex takes no model that has files.
    """

    def __init__(self, uri: str) -> None:
        address, options = split_address(uri, "store", "image")
        place = vertex_place(address)
        if place is None:
            raise UserError(f"'{redact(address)}' is no registry of Vertex AI; write vertex://PROJECT/LOCATION")
        if options.get("store") and scheme(options["store"]) != "gs":
            raise UserError(f"Vertex AI reads models from gs:// only, but store is '{redact(options['store'])}'")
        self._project, self._location = place
        self._parent = f"projects/{self._project}/locations/{self._location}"
        self._image = options.get("image", "")
        self._folder = ModelFolder(options.get("store", ""), f"{self.place}?store=gs://BUCKET/models&image=IMAGE")
        usual = vertex_service(self._location)
        self._api = google_api("aiplatform", usual, GoogleCredentials(), "the role aiplatform.user")

    @property
    def place(self) -> str:
        """Where it is."""
        return f"vertex://{self._project}/{self._location}"

    def probe(self, name: str) -> None:
        """Ask for the model's versions, and reach the folder of packages; there is no model without a version."""
        self._required_image()
        self._folder.probe()
        next(self._versions(name, ""), None)

    def register(self, submission: Submission) -> ModelVersion:
        """Return the version of this package, made when there is none."""
        image = self._required_image()
        source = self._folder.put(submission)
        found = self._by_digest(submission.name, submission.digest) or self._uploaded(submission, source, image)
        self._evaluate(submission, found["versionId"])
        return _version(submission.name, found)

    def track(self, name: str, pipeline_run: str, tree: RunRecord) -> str:
        """File a run of a pipeline in Vertex Experiments, with the runs below it beside it."""
        self._model(name)
        return VertexExperiments(self._api, self._parent).track(name, pipeline_run, tree)

    def observe(self, name: str, digest: str, moment: datetime, figures: Mapping[str, float]) -> None:
        """File what a window showed: a run of its own, since without a Tensorboard an experiment has no steps."""
        self._model(name)
        group = f"monitoring-{digest[:8]}"
        window = RunRecord(
            f"{group} {moment:%Y-%m-%dT%H:%M}", metrics=dict(figures), tags={"monitored_package": digest}
        )
        VertexExperiments(self._api, self._parent).track(name, group, window)

    def find(self, name: str, *, alias: str = "", version: str = "", digest: str = "") -> ModelVersion | None:
        """Return the version an alias points to, of a number, or of a package; None when there is none."""
        found = (
            self._by_digest(name, digest) if digest else self._api.find(f"/v1/{self._model(name)}@{alias or version}")
        )
        return _version(name, found) if found else None

    def point(self, alias: str, to: ModelVersion) -> ModelVersion:
        """Point an alias to a version, away from the one that had it."""
        check_alias(alias)
        if not _ALIAS.fullmatch(alias):
            raise UserError(f"'{alias}' cannot be an alias of Vertex AI, which takes a-z, 0-9 and '-'; give another")
        return self._merged(to, alias)

    def promote(self, version: ModelVersion) -> ModelVersion:
        """Make a version the champion and Vertex's own default, and at once no longer the challenger."""
        away = [f"-{CHALLENGER}"] if CHALLENGER in version.aliases else []
        return self._merged(version, CHAMPION, "default", *away)

    def page(self, version: ModelVersion) -> str:
        """The version in Google's console."""
        return (
            f"https://console.cloud.google.com/vertex-ai/models/locations/{self._location}/models/{version.name}"
            f"/versions/{version.version}?project={self._project}"
        )

    def _required_image(self) -> str:
        if not self._image:
            raise UserError(
                f"Vertex AI takes no model without the image that serves it; write {self._folder.example}, with the "
                "image of the model server in Artifact Registry"
            )
        return self._image

    def _model(self, name: str) -> str:
        """Its full name."""
        if not _NAME.fullmatch(check_name(name)):
            raise UserError(
                f"'{name}' cannot name a model of Vertex AI; use a-z, 0-9, '_' and '-', at most 63, and begin with a "
                "letter or '_'"
            )
        return f"{self._parent}/models/{name}"

    def _versions(self, name: str, wanted: str) -> Iterator[Any]:
        """The versions of a model that a filter lets through; none where there is no model."""
        with suppress(MissingError):
            yield from self._api.each(f"/v1/{self._model(name)}:listVersions", "models", filter=wanted, pageSize=_PAGE)

    def _by_digest(self, name: str, digest: str) -> Any:
        wanted = f'labels.{_DIGEST}="{digest[:_LABEL]}"'
        found = [each for each in self._versions(name, wanted) if digest_in(each.get("artifactUri", "")) == digest]
        return min(found, key=lambda each: int(each["versionId"]), default=None)

    def _uploaded(self, submission: Submission, source: str, image: str) -> Any:
        """A version made by an upload; where another writer's came first, that one."""
        full, what = self._model(submission.name), f"the upload of {submission.name} to {self.place}"
        exists = next(self._versions(submission.name, ""), None) is not None
        try:
            operation = self._upload(submission, source, image, {"parentModel": full} if exists else {})
            response = finished(self._api, operation, what, _SECONDS)
        except TakenError:  # the first version, by another
            response = finished(
                self._api, self._upload(submission, source, image, {"parentModel": full}), what, _SECONDS
            )
        found = self._by_digest(submission.name, submission.digest)
        if found is None:
            raise PlatformError(f"{what} is done, but its version is gone again; is someone deleting versions?")
        made = str(response.get("modelVersionId", found["versionId"]))
        if made != found["versionId"]:
            logger.warning("version %s of %s is deleted: it was the same package again", made, submission.name)
            operation = self._api.write("DELETE", f"/v1/{full}@{made}:deleteVersion")
            finished(self._api, operation, f"the deletion of version {made} of {submission.name}", _SECONDS)
        return found

    def _upload(self, submission: Submission, source: str, image: str, parent: dict[str, str]) -> Any:
        model = {
            "displayName": submission.name,
            "versionDescription": submission.description,
            "labels": _labels({**submission.tags, _DIGEST: submission.digest}),
            "artifactUri": source,
            "containerSpec": container_of(
                submission.name, image, [{"name": DIGEST_VARIABLE, "value": submission.digest}]
            ),
        }
        body = {**(parent or {"modelId": submission.name}), "model": model}

        def find() -> Any:
            made = self._by_digest(submission.name, submission.digest)
            return made and {"done": True, "response": {"modelVersionId": made["versionId"]}}

        return self._api.write("POST", f"/v1/{self._parent}/models:upload", body, find)

    def _evaluate(self, submission: Submission, version: str) -> None:
        """Import the evaluation, under the names of Google's schemas, once."""
        kind, metrics = _evaluation(submission.metrics)
        parent = f"/v1/{self._model(submission.name)}@{version}/evaluations"

        def there() -> Any:
            found = self._api.read(parent, pageSize=_PAGE).get("modelEvaluations", [])
            return next((each for each in found if each.get("displayName") == _EVALUATION), None)

        if metrics and there() is None:
            evaluation = {
                "displayName": _EVALUATION,
                "metricsSchemaUri": f"{_SCHEMAS}/{kind}_metrics_1.0.0.yaml",
                "metrics": metrics,
            }
            self._api.write("POST", f"{parent}:import", {"modelEvaluation": evaluation}, there)

    def _merged(self, version: ModelVersion, *aliases: str) -> ModelVersion:
        path = f"/v1/{self._model(version.name)}@{version.version}:mergeVersionAliases"
        return _version(version.name, self._api.write("POST", path, {"versionAliases": list(aliases)}))


def _version(name: str, found: Any) -> ModelVersion:
    """A version. Vertex's own alias `default` is none of ours."""
    labels, source = dict(found.get("labels", {})), str(found.get("artifactUri", ""))
    digest = digest_in(source)
    if labels.get(_DIGEST) == digest[:_LABEL]:
        labels[_DIGEST] = digest
    aliases = {str(alias) for alias in found.get("versionAliases", [])} - {"default"}
    return ModelVersion(name, str(found["versionId"]), source, aliases=tuple(sorted(aliases)), tags=labels)


def _labels(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags as labels, in what characters there are; reasons and addresses, which would be unreadable, are left out."""
    found = {_cut(key.lower()): _cut(text.lower()) for key, text in tags.items() if not _is_long(key)}
    kept = sorted(found, key=lambda key: key != _DIGEST)[:_MOST_LABELS]
    return {key: found[key] for key in kept if key[:1].isalpha()}


def _is_long(key: str) -> bool:
    return key.endswith((".reasons", "_uri"))


def _cut(text: str) -> str:
    return re.sub(r"[^a-z0-9_-]", "_", text)[:_LABEL]


def _evaluation(metrics: Mapping[str, float]) -> tuple[str, dict[str, float]]:
    """The kind of the evaluation, and its metrics by the names of Google's schema."""
    for kind, names in (("classification", _CLASSIFICATION), ("regression", _REGRESSION)):
        found = {
            theirs: metrics[f"evaluation.metrics.{name}.value"]
            for theirs, ours in names.items()
            for name in reversed(ours)
            if f"evaluation.metrics.{name}.value" in metrics
        }
        if found:
            return kind, found
    return "", {}
