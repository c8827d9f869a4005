"""Addresses of data, stores and servers: their scheme, and what of them may be shown."""

import re

_DATABASES = r"(?:postgres|postgresql|mysql|mariadb|mssql|oracle)(?:\+\w+)?"
# What stands before the @ of these is a container.
_CONTAINERS = r"(?:abfss?|wasbs?)"
_DATABASE_USER = re.compile(rf"(?i)\b({_DATABASES}://)[^\s'\"]*@")  # a password may hold anything
_USER = re.compile(rf"(?i)\b(?!{_CONTAINERS}://)([a-z][a-z0-9+.-]*://)[^\s/'\"]*@")
_QUERY = re.compile(rf"(?i)\b((?:https?|{_DATABASES})://[^\s?'\"]*)\?[^\s'\"]*")
_SETTINGS = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^\s?'\"]*)\?[\w.~%-]+=[^\s'\"]*")  # a ? alone is a wildcard


def scheme(address: str) -> str:
    """The scheme of an address in lower case; empty for a plain path."""
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", address)
    return match.group(1).lower() if match else ""


def redact(text: str) -> str:
    """The text with every address in it freed from user names, passwords and query strings (signatures, tokens)."""
    for secret in (_DATABASE_USER, _USER, _QUERY, _SETTINGS):
        text = secret.sub(r"\1", text)
    return text
