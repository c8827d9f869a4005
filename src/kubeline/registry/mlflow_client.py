"""How MLflow is used: quietly, and with one sentence for what goes wrong."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from kubeline.addresses import redact
from kubeline.errors import PlatformError

# MLflow is quiet, sends nothing about its use, and does not try for minutes. What a user has set stays.
_ENVIRONMENT = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_PRINT_MODEL_URLS_ON_CREATION": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def quiet() -> None:
    """Set what MLflow reads from the environment; to be called before its import."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def code(error: Exception) -> str:
    """MLflow's word for the kind of an error; empty for one that is not MLflow's."""
    return str(getattr(error, "error_code", ""))


@contextmanager
def unless(ignored: str) -> Iterator[None]:
    """Ignore MLflow's error of one code: someone else has done it."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if code(error) != ignored:
            raise


@contextmanager
def plain_errors(uri: str) -> Iterator[None]:
    """Raise a PlatformError that says in one sentence what is wrong with the MLflow at `uri`."""
    quiet()
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError) as error:
        raise PlatformError(_sentence(error, uri)) from error


def _sentence(error: Exception, uri: str) -> str:
    place = redact(uri)
    reason = redact(str(error).strip().partition("\n")[0])
    if "Invalid Host header" in reason:
        host = urlsplit(uri).netloc.rpartition("@")[2]
        return (
            f"the MLflow registry at {place} does not know the host it was asked for; start its server with "
            f"--allowed-hosts {host} (MLflow 3.5 and later refuse other names than localhost)"
        )
    if code(error) in {"UNAUTHENTICATED", "PERMISSION_DENIED"}:
        return (
            f"the MLflow registry at {place} refuses this user: set MLFLOW_TRACKING_TOKEN, or "
            f"MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD ({reason})"
        )
    if failed := re.search(r"too many (\d{3}) error responses", str(error)):
        return (
            f"the MLflow registry at {place} was reached, but answers with HTTP {failed.group(1)}; see its "
            "log, or try again later"
        )
    if "Max retries exceeded" in reason or "unable to open database file" in reason:
        return f"cannot reach the MLflow registry at {place}; check that the address is right and that it is up"
    return f"the MLflow registry at {place} failed: {reason}"
