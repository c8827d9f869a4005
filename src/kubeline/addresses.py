"""Addresses of data, stores and servers: their scheme, and what of them may be shown."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

from kubeline.errors import KubelineError, PlatformError, UserError

_DATABASES = r"(?:postgres|postgresql|mysql|mariadb|mssql|oracle|snowflake)(?:\+\w+)?"
# What stands before the @ of these is a container, or a table.
_CONTAINERS = r"(?:abfss?|wasbs?|(?:delta|iceberg)(?:\+(?:abfss?|az|file))?)"
_DATABASE_USER = re.compile(rf"(?i)\b({_DATABASES}://)[^\s'\"]*@")  # a password may hold anything
_USER = re.compile(rf"(?i)\b(?!{_CONTAINERS}://)([a-z][a-z0-9+.-]*://)[^\s/'\"]*@")
# A password with a slash in it, as every second key of AWS has: behind a colon that begins no port.
# An address of Kafka names several hosts, each with a port.
_KEY = re.compile(r"(?i)\b(?!kafka://)([a-z][a-z0-9+.-]*://)[^\s/:@\['\"]*:(?!\d+[/\s'\"])[^\s@'\"]*@")
_QUERY = re.compile(rf"(?i)\b((?:https?|{_DATABASES})://[^\s?#'\"]*)(?:\?|#[^\s'\"]*=)[^\s'\"]*")
_SETTINGS = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^\s?'\"]*)\?[\w.~%-]+=[^\s'\"]*")  # a ? alone is a wildcard
# Connection strings of databases and of Azure: password=…, AccountKey=…;
_PAIR = re.compile(
    r"(?i)((?:password|passwd|pwd|accountkey|access_?key|client_?secret|access_?token|sharedaccess(?:key|signature)|"
    r"x-amz-(?:signature|credential|security-token))['\"]?\s*[=:]\s*['\"]?)[^\s'\";,&]{3,}"
)
# Settings of any address, and the session in a path: x.db?key=…, ;jsessionid=…
_SETTING = re.compile(
    r"(?i)([?&;](?:[\w-]*(?:token|sig|signature|key|code|auth|session|sessionid|secret|credentials?))=)[^\s'\"&;]{3,}"
)
_NO_SCHEME = re.compile(r"(?<![:\w/])(//)[^\s/:@'\"]+:[^\s'\"@]*@")
_BEARER = re.compile(r"(?i)\b(bearer\s+)(?=\S*\d)[\w.~+/=-]{8,}")
_WEBHOOK = re.compile(  # the path is the password
    r"(?i)\b(https?://(?:hooks\.slack\.com|(?:\w+\.)?discord(?:app)?\.com/api/webhooks|api\.telegram\.org|"
    r"chat\.googleapis\.com|[\w.-]*webhook\.office\.com|[\w.-]+\.logic\.azure\.com)/)[^\s'\"]+"
)
_STORES = re.compile(r"(?i)(?:(?:delta|iceberg)\+)?(?:s3[an]?|gs|gcs|az|abfss?|wasbs?|minio|r2)$")
_VERTEX = re.compile(r"vertex://(?P<project>[a-z0-9:.-]+)/(?P<location>[a-z0-9-]+)/?")
HIDDEN = "***"


def scheme(address: str) -> str:
    """The scheme of an address in lower case; empty for a plain path."""
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", address)
    return match.group(1).lower() if match else ""


def redact(text: str) -> str:
    """The text with every address in it freed from user names, passwords and query strings (signatures, tokens).

    Libraries hide the password of one address that they can parse (SQLAlchemy's URL, yarl); here they stand in the
    sentences of drivers, cut, quoted and of forms that are no URL. What is hidden too much costs less than a leak.
    """
    for secret in (_DATABASE_USER, _KEY, _USER, _NO_SCHEME, _QUERY, _SETTINGS):
        text = secret.sub(r"\1", text)
    for secret in (_PAIR, _SETTING, _BEARER, _WEBHOOK):
        text = secret.sub(rf"\1{HIDDEN}", text)
    return text


def credentials(address: str) -> set[str]:
    """The secret pieces of an address, as they stand there and decoded: a password, and of a store the key as well."""
    _, found, rest = address.partition("://")
    if not found:
        return set()
    login = address[len(scheme(address)) + 3 : len(address) - len(_bare(address))].rstrip("@")
    user, colon, password = login.partition(":")
    pieces = [password] if colon and not _is_store(address) else [user, password]
    settings = rest.partition("?")[2].partition("#")[0]
    pieces += [value for _, _, value in (pair.partition("=") for pair in settings.split("&"))]
    return {form for piece in pieces for form in (piece, unquote(piece)) if len(form) > 3}


def refuse_credentials(address: str, what: str) -> None:
    """Refuse the address of an object store that holds a key: addresses are shown, logged and stored as metadata.

    Args:
        address: any; what is none of an object store passes.
        what: it is, for the error, such as ``source``.

    Raises:
        UserError: without the key.
    """
    if _is_store(address) and redact(address).partition("?")[0] != address.partition("?")[0]:
        raise UserError(
            f"{what} '{redact(address)}' was given with a key in the address, which would be shown and stored; take it "
            "out, and give it to the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or an identity)"
        )


def _is_store(address: str) -> bool:
    return _STORES.match(scheme(address)) is not None


def _bare(address: str) -> str:
    """What stands behind the login of an address."""
    for login in (_DATABASE_USER, _KEY, _USER):
        if found := login.match(address):
            return address[found.end() :]
    return address.partition("://")[2]


@contextmanager
def storage_errors(what: str) -> Iterator[None]:
    """Raise what a storage raises as a :class:`PlatformError`; `what` names the place, such as ``destination 's3://…'``.

    Errors of ours stay as they are.
    """
    try:
        yield
    except KubelineError:
        raise
    except Exception as error:  # each storage raises errors of its own
        reason = redact(f"{type(error).__name__}: {error}")
        raise PlatformError(f"{what} cannot be read or written: {reason}") from error


def file_system(address: str) -> tuple[Any, str]:
    """A client of fsspec for an address, which remembers nothing of earlier ones, and the path there."""
    from fsspec.core import url_to_fs

    system, path = url_to_fs(address, skip_instance_cache=True, use_listings_cache=False)
    return system, str(path)


def vertex_place(address: str) -> tuple[str, str] | None:
    """The project and the location of ``vertex://PROJECT/LOCATION``, without options; None of any other address."""
    found = _VERTEX.fullmatch(address)
    return (found["project"], found["location"]) if found else None


def vertex_service(location: str) -> str:
    """The address of Vertex AI's own service in a location."""
    return f"https://{location}-aiplatform.googleapis.com"
