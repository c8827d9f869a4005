"""The contract of Vertex AI's containers: variables say where the package lies, and which requests will come.

https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from kubeline.addresses import redact, storage_errors
from kubeline.errors import UserError

MODEL_FOLDER = "KUBELINE_MODEL_DIR"  # names the package that was fetched, for the workers
_ROUTES = (re.compile(r"/v1/models/([^/:]+):predict"), re.compile(r"/v2/models/([^/:]+)/infer"))


@dataclass(frozen=True)
class VertexSettings:
    """What the variables say; empty, and 0, where they are not there.

    Attributes:
        storage_uri: of the package.
        http_port: that requests come to.
        model_name: in the route of predictions.
        predict_route: of predictions.
        health_route: of health checks.
    """

    storage_uri: str = ""
    http_port: str = ""
    model_name: str = ""
    predict_route: str = ""
    health_route: str = ""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "VertexSettings":
        """Of the variables that begin with ``AIP_``."""
        route = environment.get("AIP_PREDICT_ROUTE", "")
        found = next(filter(None, (pattern.fullmatch(route) for pattern in _ROUTES)), None)
        return cls(
            environment.get("AIP_STORAGE_URI", ""),
            environment.get("AIP_HTTP_PORT", ""),
            found[1] if found else "",
            route,
            environment.get("AIP_HEALTH_ROUTE", ""),
        )

    def check(self, model_name: str) -> None:
        """Check that a server of this model has the routes that will be asked for.

        Raises:
            UserError: when it does not.
        """
        predictions = (f"/v1/models/{model_name}:predict", f"/v2/models/{model_name}/infer")
        if self.predict_route and self.predict_route not in predictions:
            raise UserError(
                f"AIP_PREDICT_ROUTE is '{self.predict_route}', which is no route of this server; upload the model with "
                f"the predict route {predictions[0]}"
            )
        health = ("/v2/health/ready", "/v2/health/live", f"/v1/models/{model_name}", f"/v2/models/{model_name}/ready")
        if self.health_route and self.health_route not in health:
            raise UserError(
                f"AIP_HEALTH_ROUTE is '{self.health_route}', which is no health route of this server; upload the model "
                f"with the health route {health[0]}"
            )


def fetched(uri: str) -> Path:
    """A local copy of the package at an address of any fsspec file system; what it holds is verified when it is read.

    Raises:
        PlatformError: when it cannot be read.
    """
    import fsspec

    folder = Path(mkdtemp(prefix="kubeline-package-"))
    with storage_errors(f"the package at '{redact(uri)}'"):
        system, path = fsspec.core.url_to_fs(uri.rstrip("/"))
        system.get(f"{path}/", f"{folder}/", recursive=True)
    return folder
