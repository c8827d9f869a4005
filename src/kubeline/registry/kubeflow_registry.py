"""Kubeflow's Model Registry: what there is to know of models, by its REST interface; the files lie elsewhere.

Its server checks no request against another: a custom property is changed by sending all of them. What must be true at
once is therefore in one field that its database holds to be unique (the external id of a version, which names the
package) or in one object (the aliases, properties of the registered model). A version has one artifact only, since the
storage initializer that KServe runs for ``model-registry://`` addresses takes the latest and gives up when that is no
model: metrics and parameters are properties.
"""

import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from kubeline.addresses import redact
from kubeline.errors import PlatformError, UserError
from kubeline.http.credentials import bearer
from kubeline.http.exchange import Peer
from kubeline.http.json_api import JsonApi
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
from kubeline.registry.model_folder import FolderRegistry, ModelFolder, split_address

logger = logging.getLogger(__name__)

_INTERFACES = ("/api/model_registry/v1", "/api/model_registry/v1alpha3")
_TOKEN = "KF_PIPELINES_SA_TOKEN_PATH"  # noqa: S105 (the name of the variable that Kubeflow's own client reads)
_DIGEST = "package_digest"
_ALIAS, _PARAM, _METRIC = "alias.", "param.", "metric."
_PAGE = 100
_TRIES = 20  # to take the next number of a version, or to change the aliases, while others do


class KubeflowRegistry(FolderRegistry):
    """Kubeflow's Model Registry, with the packages in a folder of a store.

    Args:
        uri: ``model-registry+https://HOST[:PORT]?store=s3://BUCKET/models``; ``+http`` within a cluster.
    """

    def __init__(self, uri: str) -> None:
        address, options = split_address(uri, "store")
        url = address.removeprefix("model-registry+").rstrip("/")
        self._folder = ModelFolder(options.get("store", ""), f"{redact(address)}?store=s3://BUCKET/models")
        self._url = url

    @property
    def place(self) -> str:
        """Where it is."""
        return redact(self._url)

    def probe(self, name: str) -> None:
        """Make the registered model, and reach the folder of packages."""
        self._folder.probe()
        self._made_model(check_name(name))

    def register(self, submission: Submission) -> ModelVersion:
        """Return the version of this package, made when there is none."""
        model = self._made_model(check_name(submission.name))
        source = self._folder.put(submission)
        version = self._by_digest(submission.name, submission.digest) or self._made_version(model, submission)
        self._add_artifact(version["id"], source, submission)
        return self._version(model, version)

    def track(self, name: str, pipeline_run: str, tree: RunRecord) -> str:
        """Nothing: it has models, and the runs are of a tracker."""
        logger.info("the run %s of %s is not filed: Kubeflow's Model Registry is given models only", pipeline_run, name)
        return ""

    def observe(self, name: str, digest: str, moment: datetime, figures: Mapping[str, float]) -> None:
        """Nothing, as for `track`."""
        logger.info(
            "%s figures of %s are not filed: Kubeflow's Model Registry is given models only", len(figures), name
        )

    def find(self, name: str, *, alias: str = "", version: str = "", digest: str = "") -> ModelVersion | None:
        """Return the version an alias points to, of a number, or of a package; None when there is none."""
        model = self._model(check_name(name))
        if model is None:
            return None
        if alias:
            version = _texts(model).get(_ALIAS + alias, "")
        found = self._by_digest(name, digest) if digest else self._by_number(model, version)
        return self._version(model, found) if found else None

    def point(self, alias: str, to: ModelVersion) -> ModelVersion:
        """Point an alias to a version, away from the one that had it."""
        check_alias(alias)
        return self._repointed(to, {alias: to.version})

    def promote(self, version: ModelVersion) -> ModelVersion:
        """Make a version the champion, and at once no longer the challenger."""
        return self._repointed(version, {CHAMPION: version.version}, away=CHALLENGER)

    def page(self, version: ModelVersion) -> str:
        """None: the server has no pages, and where the UI in front of it is, it does not say."""
        return ""

    @cached_property
    def _api(self) -> JsonApi:
        """The interface that the server has: v1, which newer ones have, is v1alpha3 without experiments."""
        for path in _INTERFACES:
            api = JsonApi(
                self._url + path,
                "the Model Registry",
                known=self._known,
                renew=lambda: True,
                help_when_refused=f"let {_TOKEN} name the file of a token that it takes",
            )
            with suppress(MissingError):
                api.read("/registered_models", pageSize=1)
                return api
        raise PlatformError(f"what answers at {self.place} is no Model Registry; check the address")

    def _known(self) -> dict[str, str]:
        """The token, over https:// only: within a cluster its mesh says who asks."""
        file, peer = os.environ.get(_TOKEN, ""), Peer(self._url)
        secret = urlsplit(self._url).scheme == "https"
        return bearer(file, "", peer, "the Model Registry") if file and secret else {}

    def _model(self, name: str) -> Any:
        """The registered model, or None. Asked by a filter: by its parameter `name`, ``_`` stands for any character."""
        found = self._api.read("/registered_models", filterQuery=f'name = "{name}"')
        return next((each for each in found.get("items", []) if each.get("name") == name), None)

    def _made_model(self, name: str) -> Any:
        if found := self._model(name):
            return found
        try:
            made = {"name": name, "owner": "kubeline"}
            return self._api.write("POST", "/registered_models", made, lambda: self._model(name))
        except TakenError:  # by another, just now
            return self._model(name)

    def _by_digest(self, name: str, digest: str) -> Any:
        return self._api.find("/model_version", externalId=_external_id(name, digest))

    def _by_number(self, model: Any, number: str) -> Any:
        return self._api.find("/model_version", name=number, parentResourceId=model["id"]) if number else None

    def _made_version(self, model: Any, submission: Submission) -> Any:
        """A version with the next number. Its external id is unique, so that two writers do not make two."""
        values: dict[str, Any] = {**submission.tags, _DIGEST: submission.digest}
        values |= {_PARAM + key: value for key, value in submission.params.items()}
        values |= {_METRIC + key: float(value) for key, value in submission.metrics.items()}
        wanted = {
            "registeredModelId": model["id"],
            "externalId": _external_id(submission.name, submission.digest),
            "description": submission.description,
            "author": "kubeline",
            "customProperties": _properties(values),
        }
        path = f"/registered_models/{model['id']}/versions"
        versions = self._api.each(path, "items", "nextPageToken", pageSize=_PAGE)
        names = (str(each.get("name", "")) for each in versions)
        number = 1 + max((int(name) for name in names if name.isdecimal()), default=0)

        def find() -> Any:
            return self._by_digest(submission.name, submission.digest)

        for taken in range(_TRIES):
            try:
                return self._api.write("POST", "/model_versions", {**wanted, "name": str(number + taken)}, find)
            except TakenError:  # the number, or the package
                if found := find():
                    return found
        raise PlatformError(f"{_TRIES} versions of {submission.name} were made meanwhile; try again")

    def _add_artifact(self, identifier: str, source: str, submission: Submission) -> None:
        """Name the place of the package, where no other writer has done so."""
        if self._source(identifier):
            return
        artifact = {
            "artifactType": "model-artifact",
            "name": submission.name,  # by which Kubeflow's own client searches for it
            "uri": source,
            "modelFormatName": "kubeline",
            "customProperties": _properties({_DIGEST: submission.digest}),
        }
        path = f"/model_versions/{identifier}/artifacts"
        with suppress(TakenError):  # its name is unique in the version
            self._api.write("POST", path, artifact, lambda: self._source(identifier) or None)

    def _source(self, identifier: str) -> str:
        """Where the package of a version lies, as KServe's storage initializer finds it out; empty for nowhere."""
        path = f"/model_versions/{identifier}/artifacts"
        found = self._api.read(path, orderBy="CREATE_TIME", sortOrder="DESC").get("items", [])
        return next((str(each["uri"]) for each in found if each.get("uri")), "")

    def _repointed(self, version: ModelVersion, aliases: Mapping[str, str], away: str = "") -> ModelVersion:
        """Change aliases in one request; `away` is taken from this version. Another's change at that moment is seen."""
        for _ in range(_TRIES):
            model = self._model(version.name)
            if model is None:
                raise UserError(f"the registry at {self.place} has no model {version.name} any more; register it again")
            properties = dict(model.get("customProperties", {}))
            if away and _texts(model).get(_ALIAS + away) == version.version:
                del properties[_ALIAS + away]
            properties |= _properties({_ALIAS + name: number for name, number in aliases.items()})
            if properties == model.get("customProperties", {}):
                found = self._by_number(model, version.version)
                return self._version(model, found) if found else version
            self._api.write("PATCH", f"/registered_models/{model['id']}", {"customProperties": properties})
        raise PlatformError(f"the aliases of {version.name} are being changed by others all the time; try again")

    def _version(self, model: Any, found: Any) -> ModelVersion:
        texts, number = _texts(found), str(found["name"])
        named = _texts(model).items()
        return ModelVersion(
            name=str(model["name"]),
            version=number,
            source=self._source(found["id"]),
            aliases=tuple(
                sorted(key.removeprefix(_ALIAS) for key, at in named if key.startswith(_ALIAS) and at == number)
            ),
            tags={key: text for key, text in texts.items() if not key.startswith(_PARAM)},
        )


def _external_id(name: str, digest: str) -> str:
    return f"kubeline:{name}:{digest}"


def _properties(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Texts and numbers as custom properties."""
    return {
        key: {"metadataType": "MetadataDoubleValue", "double_value": value}
        if isinstance(value, float)
        else {"metadataType": "MetadataStringValue", "string_value": value}
        for key, value in values.items()
    }


def _texts(resource: Any) -> dict[str, str]:
    """The custom properties of a resource that are texts."""
    given = resource.get("customProperties") or {}
    return {key: str(value["string_value"]) for key, value in given.items() if "string_value" in value}
