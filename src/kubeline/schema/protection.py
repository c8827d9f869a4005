"""What is done with columns of personal data: nothing of them is shown, and they are refused, dropped or hashed."""

import hashlib
import hmac
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc

from kubeline.errors import UserError
from kubeline.roles import Roles
from kubeline.schema.document import TableSchema
from kubeline.schema.findings import Finding

KEY_VARIABLE = "KUBELINE_HASH_KEY"
_SHORTEST_KEY = 16  # characters; a shorter key is found by trying
_DIGITS = 32  # of a hash in hexadecimal, 128 bits
_IN_WORDS = frozenset({"constant", "range", "new categories"})  # checks whose sentence holds values


@dataclass(frozen=True)
class Protection:
    """Columns that are not passed on as they came.

    Attributes:
        dropped: names of those that are left out.
        hashed: names of those that hold the hash of each value instead, as text: HMAC-SHA256 (RFC 2104) of the value as
            text, its first 128 bits. Equal values have equal hashes; missing stays missing.
        key: of the hashes.
    """

    dropped: frozenset[str] = frozenset()
    hashed: frozenset[str] = frozenset()
    key: bytes = field(default=b"", repr=False)

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.dropped or self.hashed)

    def schema(self, schema: pa.Schema) -> pa.Schema:
        """Of the table as it is passed on."""
        fields = [
            pa.field(item.name, pa.string()) if item.name in self.hashed else item
            for item in schema
            if item.name not in self.dropped
        ]
        return pa.schema(fields, schema.metadata)

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Rows as they are passed on."""
        schema = self.schema(batch.schema)
        columns = [
            self._hashes(batch.column(name)) if name in self.hashed else batch.column(name) for name in schema.names
        ]
        return pa.record_batch(columns, schema=schema)

    def _hashes(self, values: pa.Array) -> pa.Array:
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        codes = pc.dictionary_encode(values)
        words = [None if value is None else self._hash(str(value)) for value in codes.dictionary.to_pylist()]
        return pa.array(words, pa.string()).take(codes.indices)

    def _hash(self, text: str) -> str:
        return hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()[:_DIGITS]


def hash_key(handling: str) -> bytes:
    """The key of the hashes, which is asked for before anything else is done.

    Raises:
        UserError: when one is needed, and there is none, or one that could be found by trying.
    """
    if handling != "hash":
        return b""
    key = os.environ.get(KEY_VARIABLE, "")
    if len(key) < _SHORTEST_KEY:
        found = "is too short to keep values secret" if key else "is not set"
        raise UserError(
            f"personal_data is 'hash', and the variable {KEY_VARIABLE} {found}; put at least {_SHORTEST_KEY} "
            "characters into it, on a cluster as a key of the secret with the credentials"
        )
    return key.encode()


def protection(
    handling: str, personal: Mapping[str, str], roles: Roles, key: bytes, judged_by: Mapping[str, str]
) -> Protection:
    """What happens to the columns that look as if they held personal data.

    Args:
        handling: what is done with them.
        personal: column -> what it looks like.
        roles: of the columns.
        key: of the hashes.
        judged_by: column -> what `evaluate` needs it for.

    Raises:
        UserError: when a column has a role that it could not have any more: a hash is no time and no weight.
    """
    ordered = {roles.time, roles.weight}
    lost = {"drop": {*ordered, roles.group, *judged_by}, "hash": ordered}.get(handling, set())
    words = {**judged_by, **{name: f"the {role}" for name, role in roles.words.items()}}
    if needed := sorted(lost & set(personal)):
        name = needed[0]
        hashed = "hash it (personal_data=hash), or " if handling == "drop" and name not in ordered else ""
        raise UserError(
            f"column '{name}' looks like {personal[name]}, but it is {words[name]}, which personal_data="
            f"{handling} would take away; {hashed}set personal to false for it in the schema"
        )
    names = frozenset(personal)
    if handling == "drop":
        return Protection(dropped=names)
    return Protection(hashed=names, key=key) if handling == "hash" else Protection()


def findings(handling: str, personal: Mapping[str, str]) -> list[Finding]:
    """One for each column, without any value."""
    done = {"drop": "; it is not passed on", "hash": "; it is passed on as hashes"}.get(handling, "")
    advice = "do not load it (columns), set personal_data to drop or hash, or set personal to false in the schema"
    return [
        Finding("personal data", name, f"column '{name}' looks like {kind}{done}", advice="" if done else advice)
        for name, kind in personal.items()
    ]


def without_values(found: list[Finding], personal: Mapping[str, str]) -> list[Finding]:
    """The findings, none of which holds a value of such a column."""
    return [_masked(finding) if finding.column in personal else finding for finding in found]


def _masked(finding: Finding) -> Finding:
    message = finding.message
    if finding.check in _IN_WORDS:
        message = f"column '{finding.column}' differs from what was expected ({finding.check})"
    for example in sorted(finding.examples, key=len, reverse=True):
        message = message.replace(example, "…")
    message = re.sub(r"such as '?…'?(, '?…'?)*", "values are not shown", message)
    return replace(finding, message=message, examples=())


def schema_without_values(schema: TableSchema, personal: Mapping[str, str]) -> TableSchema:
    """The inferred schema, which records and enforces no value of such a column."""
    changes = {"observed": None, "min": None, "max": None, "categories": None}
    columns = {
        name: column.model_copy(update={**changes, "personal": True}) if name in personal else column
        for name, column in schema.columns.items()
    }
    return schema.model_copy(update={"columns": columns})
