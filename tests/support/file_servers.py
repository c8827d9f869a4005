"""Loopback servers for the tests of remote sources."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from tests.support import http_servers

Files = dict[str, bytes]


class Handler(BaseHTTPRequestHandler):
    """Serves the `files` of its class by path; the subclasses speak the languages of object stores."""

    files: ClassVar[Files] = {}
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def answer(self, status: int, body: bytes = b"", kind: str = "text/plain", length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.send_header("ETag", '"0"')
        self.send_header("Last-Modified", "Tue, 01 Jan 2013 00:00:00 GMT")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        raise NotImplementedError


class Web(Handler):
    """A plain web server; `/cut/…` promises twice what it sends, `/private/…` wants a password,
    `/around/…` leads to itself.

    `/piece/…` breaks after a third of the file and knows Range; `/changed/…` has other content when it is asked again.
    """

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self.files.get(path.rsplit("/", 1)[-1])
        if body is None:
            self.answer(404)
        elif path.startswith("/private/") and "Authorization" not in self.headers:
            self.answer(401)
        elif path.startswith("/broken/"):
            self.answer(503)
        elif path.startswith("/around/"):
            self.send_response(302)
            self.send_header("Location", self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif path.startswith("/piece/"):
            self.piece(body, self.headers.get("Range", ""))
        elif path.startswith("/changed/"):
            new = body.upper() if "Range" in self.headers else body[: len(body) // 2]
            self.answer(200, new, length=len(body))
            self.close_connection = True
        elif path.startswith("/cut/"):
            self.answer(200, body, length=2 * len(body))
            self.close_connection = True
        else:
            self.answer(200, body)

    def piece(self, body: bytes, asked: str) -> None:
        begin = int(asked.removeprefix("bytes=").removesuffix("-") or 0)
        assert not asked or self.headers["If-Range"] == '"0"'
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - begin))
        self.send_header("ETag", '"0"')
        self.end_headers()
        self.wfile.write(body[begin : begin + -(-len(body) // 3)])
        self.close_connection = True


class S3(Handler):
    """The part of S3's REST API for single objects: ListObjectsV2, HeadObject, GetObject with ranges, PutObject,
    DeleteObject; only signed requests.
    """

    def signed(self) -> bool:
        if "AWS4-HMAC-SHA256" in self.headers.get("Authorization", ""):
            return True
        self.answer(403, b"<Error><Code>AccessDenied</Code></Error>", "application/xml")
        return False

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.signed():
            name = unquote(urlsplit(self.path).path).lstrip("/")
            if self.headers.get("If-None-Match") == "*" and name in self.files:
                self.answer(412, b"<Error><Code>PreconditionFailed</Code></Error>", "application/xml")
                return
            self.files[name] = body
            self.answer(200)

    def do_DELETE(self) -> None:
        if self.signed():
            self.files.pop(unquote(urlsplit(self.path).path).lstrip("/"), None)
            self.answer(204)

    def do_GET(self) -> None:
        if not self.signed():
            return
        address = urlsplit(self.path)
        bucket, _, key = unquote(address.path).lstrip("/").partition("/")
        if not key:
            self.list(bucket, {name: values[0] for name, values in parse_qs(address.query).items()})
        elif (body := self.files.get(f"{bucket}/{key}")) is None:
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>", "application/xml")
        elif range_ := self.headers.get("Range"):
            first, _, last = range_.removeprefix("bytes=").partition("-")
            self.answer(206, body[int(first) : int(last or len(body)) + 1])
        else:
            self.answer(200, body)

    def list(self, bucket: str, query: dict[str, str]) -> None:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        keys = [name.split("/", 1)[1] for name in sorted(self.files) if name.startswith(f"{bucket}/{prefix}")]
        folders = {prefix + key[len(prefix) :].split("/")[0] + "/" for key in keys if "/" in key[len(prefix) :]}
        if delimiter:
            keys = [key for key in keys if "/" not in key[len(prefix) :]]
        items = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.files[f'{bucket}/{key}'])}</Size><ETag>0</ETag>"
            "<LastModified>2013-01-01T00:00:00.000Z</LastModified><StorageClass>STANDARD</StorageClass></Contents>"
            for key in keys
        )
        items += "".join(f"<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>" for name in folders if delimiter)
        count = len(keys)
        body = (
            f"<ListBucketResult><Name>{bucket}</Name><Prefix>{prefix}</Prefix><KeyCount>{count}</KeyCount>"
            f"<IsTruncated>false</IsTruncated>{items}</ListBucketResult>"
        )
        self.answer(200, body.encode(), "application/xml")


class CloudStorage(Handler):
    """The part of Google Cloud Storage's JSON API that reads: list, get, and get with `alt=media`."""

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        bucket, _, key = address.path.partition("/b/")[2].partition("/o")
        key = unquote(key.lstrip("/"))
        if not key:
            prefix = query.get("prefix", "")
            names = [name for name in sorted(self.files) if name.startswith(f"{bucket}/{prefix}")]
            self.answer_json({"items": [self.describe(name) for name in names]})
        elif f"{bucket}/{key}" not in self.files:
            self.answer(404, b"{}", "application/json")
        elif query.get("alt") == "media":
            self.answer(200, self.files[f"{bucket}/{key}"])
        else:
            self.answer_json(self.describe(f"{bucket}/{key}"))

    def describe(self, name: str) -> dict[str, str]:
        bucket, key = name.split("/", 1)
        size = str(len(self.files[name]))
        return {
            "kind": "storage#object",
            "bucket": bucket,
            "name": key,
            "size": size,
            "md5Hash": base64.b64encode(b"").decode(),
        }

    def answer_json(self, document: dict[str, Any]) -> None:
        self.answer(200, json.dumps(document).encode(), "application/json")


class Azure(Handler):
    """The part of Azure's Blob service that reads: List Blobs with prefix and delimiter, Get Blob Properties, and Get
    Blob with ranges; only requests signed by the account's key (Shared Key).

    Paths begin with the account, as those of an emulator do.
    """

    account = "account"

    def do_GET(self) -> None:
        if not self.headers.get("Authorization", "").startswith(f"SharedKey {self.account}:"):
            self.refuse(403, "AuthorizationFailure")
            return
        address = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        name = unquote(address.path).removeprefix(f"/{self.account}/")
        if query.get("comp") == "list":
            self.list(name, query.get("prefix", ""), query.get("delimiter", ""))
        elif name not in self.files:
            self.refuse(404, "BlobNotFound")
        else:
            self.blob(self.files[name])

    def blob(self, body: bytes) -> None:
        asked = self.headers.get("x-ms-range") or self.headers.get("Range")
        first, last = 0, len(body) - 1
        if asked:
            start, _, end = asked.removeprefix("bytes=").partition("-")
            first, last = int(start), min(last, int(end) if end else last)
        if asked and first >= len(body):
            self.refuse(416, "InvalidRange")
            return
        self.send_response(206 if asked else 200)
        part = body[first : last + 1]
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(body)}")
        self.send_header("Content-Length", str(len(part)))
        self.send_header("x-ms-blob-type", "BlockBlob")
        self.send_header("ETag", '"0x0"')
        self.send_header("Last-Modified", "Tue, 01 Jan 2013 00:00:00 GMT")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(part)

    def list(self, container: str, prefix: str, delimiter: str) -> None:
        names = [name.partition("/")[2] for name in sorted(self.files) if name.startswith(f"{container}/{prefix}")]
        rest = {name: name[len(prefix) :] for name in names}
        folders = {prefix + below.partition("/")[0] + "/" for below in rest.values() if delimiter and "/" in below}
        blobs = "".join(
            f"<Blob><Name>{escape(name)}</Name><Properties><Last-Modified>Tue, 01 Jan 2013 00:00:00 GMT</Last-Modified>"
            f"<Etag>0x0</Etag><Content-Length>{len(self.files[f'{container}/{name}'])}</Content-Length>"
            "<BlobType>BlockBlob</BlobType></Properties></Blob>"
            for name, below in rest.items()
            if not (delimiter and "/" in below)
        )
        blobs += "".join(f"<BlobPrefix><Name>{escape(name)}</Name></BlobPrefix>" for name in sorted(folders))
        body = (
            f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="{container}">'
            f"<Prefix>{escape(prefix)}</Prefix><Blobs>{blobs}</Blobs><NextMarker/></EnumerationResults>"
        )
        self.answer(200, body.encode(), "application/xml")

    def refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        body = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
        self.send_header("x-ms-error-code", code)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def serving_files(handler: type[Handler], files: Files) -> Iterator[str]:
    """A running server of `files`; yields its address."""
    kind = type(handler.__name__, (handler,), {"files": files})
    with http_servers.serving(kind) as address:
        yield address


class EndlessListing(Handler):
    """An S3 store in which each page of a listing names one more file, and that another page follows."""

    def do_HEAD(self) -> None:
        self.send_error(404)

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        if "list-type" not in query:
            self.send_error(404)
            return
        page = int(query.get("continuation-token", ["0"])[0]) + 1
        key = f"<Contents><Key>flights/{page:09d}.csv</Key><Size>4</Size></Contents>"
        more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{page}</NextContinuationToken>"
        body = f"<ListBucketResult>{key}<KeyCount>1</KeyCount>{more}</ListBucketResult>".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def endless_listing(environment: pytest.MonkeyPatch) -> Iterator[None]:
    """The store of :class:`EndlessListing` as that of every ``s3://``, until the end of the block."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        environment.setenv(name, "us-east-1")
    with serving_files(EndlessListing, {}) as address:
        environment.setenv("AWS_ENDPOINT_URL", address)
        yield
