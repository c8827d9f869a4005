"""Pin the base image of the Dockerfiles to what its tag names today: ``make pin-base``.

A tag moves, and the same Dockerfile then makes another image. The digest is asked of the tag's own registry; run it
again to take up what was fixed in the base since, and commit what it writes. Only Python itself is needed.
"""

import json
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCKERFILES = (ROOT / "Dockerfile", ROOT / "serving" / "Dockerfile")
BASE = re.compile(r"^(ARG BASE=)([^\s@]+)(?:@sha256:[0-9a-f]{64})?$", re.MULTILINE)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
KINDS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
HUB = "registry-1.docker.io"
SECONDS = 30.0


def main(*files: str) -> int:
    """Pin each file; nothing is written unless every digest is known."""
    paths = [Path(file) for file in files] or [*DOCKERFILES]
    texts = {path: path.read_text(encoding="utf-8") for path in paths}
    try:
        pinned = {path: _pinned(path, text) for path, text in texts.items()}
    except (OSError, ValueError) as error:
        print(f"pin-base: {error}; nothing was changed", file=sys.stderr)
        return 3
    for path, base in pinned.items():
        path.write_text(BASE.sub(lambda line, base=base: line[1] + base, texts[path]), encoding="utf-8")  # type: ignore[misc]
        print(f"{path}: {base}")
    return 0


def _pinned(path: Path, text: str) -> str:
    found = BASE.search(text)
    if found is None:
        raise ValueError(f"'{path}' has no line 'ARG BASE=NAME:TAG'")
    return f"{found[2]}@{digest(found[2])}"


def digest(image: str) -> str:
    """The digest that the registry of an image has for its tag (for all architectures, where there are several)."""
    host, repository, tag = parts(image)
    scheme = "http" if host.split(":")[0] in {"localhost", "127.0.0.1"} else "https"  # as Docker does
    address = f"{scheme}://{host}/v2/{repository}/manifests/{tag}"
    headers = {"Accept": ", ".join(KINDS)}
    try:
        answered = _headers(address, headers)
    except urllib.error.HTTPError as error:
        if error.code != 401:
            raise OSError(f"the registry of '{image}' answers with HTTP {error.code}") from error
        answered = _headers(
            address, {**headers, "Authorization": f"Bearer {_token(error.headers['WWW-Authenticate'])}"}
        )
    except OSError as error:
        raise OSError(f"the registry of '{image}' cannot be reached ({error})") from error
    found = answered.get("Docker-Content-Digest", "")
    if not DIGEST.fullmatch(found):
        raise ValueError(f"the registry of '{image}' names no digest, but '{found}'")
    return found


def parts(image: str) -> tuple[str, str, str]:
    """Registry, repository and tag of a name as Docker takes it: a first part with a dot or a port is a registry."""
    name, colon, tag = image.rpartition(":")
    if not colon or "/" in tag:
        raise ValueError(f"'{image}' names no tag")
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return first, rest, tag
    return HUB, name if slash else f"library/{name}", tag


def _headers(address: str, headers: Mapping[str, str]) -> Mapping[str, str]:
    request = urllib.request.Request(address, headers=dict(headers), method="HEAD")  # noqa: S310 (http or https)
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
        return dict(answer.headers.items())


def _token(challenge: str) -> str:
    """A token for anyone, from where the registry's refusal says."""
    asked = dict(re.findall(r'(\w+)="([^"]*)"', challenge or ""))
    realm = asked.pop("realm", "")
    if not realm.startswith(("http://", "https://")):
        raise ValueError(f"the registry refuses, and does not say where a token is had ({challenge})")
    with urllib.request.urlopen(f"{realm}?{urllib.parse.urlencode(asked)}", timeout=SECONDS) as answer:  # noqa: S310
        found = json.load(answer)
    return str(found.get("token") or found["access_token"])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
