"""A Kafka topic, from one offset of each partition to another, as a file of JSON lines."""

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubeline.addresses import redact
from kubeline.data.lakes import missing
from kubeline.data.sources import SourceFile
from kubeline.data.timespan import Timespan
from kubeline.data.transfer import Transfer
from kubeline.errors import PlatformError, UserError, listed
from kubeline.mounted import mounted_text
from kubeline.progress import Progress

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message

SCHEME = "kafka"
TIME, PARTITION, OFFSET = "kafka.time", "kafka.partition", "kafka.offset"
SETTINGS = "KAFKA_CONFIG"  # client properties, or a file of them, where a cluster wants TLS or a login
_ADDRESS = re.compile(r"kafka://(?P<servers>[^/@\s]+)/(?P<topic>[\w.-]+)(?:@(?P<ranges>\d+:\d+-\d+(?:,\d+:\d+-\d+)*))?")
_ANSWER_SECONDS = 30
_SILENCE_SECONDS = 120
_MESSAGES = 5_000  # that are taken at a time, of those that come within
_WAIT_SECONDS = 0.1


@dataclass(frozen=True)
class _Range:
    """Messages of one partition: from the offset `first` up to `end`, which is not part of it."""

    partition: int
    first: int
    end: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.first}-{self.end}"


def stage_topic(source: str, span: Timespan, scratch: Path) -> tuple[SourceFile, str]:
    """The messages at ``kafka://HOST:PORT/TOPIC`` as JSON lines, and the address that reads the same ones again.

    Each value is a JSON object; its partition, offset and time come along as columns ``kafka.…``. What comes after the
    start is not read, nor what lies before the window `span` where that is of ``kafka.time``. Order: by partition, and
    in each by offset. A message without a value (a tombstone) is no row. Nothing is committed, so that no other
    reader misses anything.

    Raises:
        UserError: when there is no such topic, its messages are no JSON objects, or the offsets are no longer there.
        PlatformError: when the brokers do not answer.
    """
    found = _ADDRESS.fullmatch(source)
    if not found:
        raise UserError(
            f"'{redact(source)}' is no address of a topic; expected kafka://HOST:PORT/TOPIC, and for certain offsets "
            f"kafka://HOST:PORT/TOPIC@PARTITION:FIRST-END,… (a login stands in the properties of {SETTINGS})"
        )
    name = f"{SCHEME}://{found['servers']}/{found['topic']}"
    try:
        from confluent_kafka import KafkaException
    except ImportError:
        raise missing(source, "confluent-kafka", "kafka") from None
    path = scratch / "topic.jsonl"
    with closing(_consumer(found["servers"])) as consumer, Progress(f"reading '{name}'", unit="bytes") as progress:
        transfer = Transfer(name, scratch, progress)
        topic = _Topic(consumer, found["topic"], name, min(_ANSWER_SECONDS, transfer.seconds))
        try:
            ranges = topic.ranges(found["ranges"] or "", span)
            with path.open("wb") as file:
                for each in ranges:
                    for message in topic.messages(each, transfer):
                        file.write(_line(message, name))
        except KafkaException as error:
            raise PlatformError(f"'{name}' cannot be read ({error.args[0].str()}); try again later") from None
    if not path.stat().st_size:
        raise UserError(f"'{name}' has no message in {listed(map(str, ranges), 20)} (partition:first-end); choose more")
    return SourceFile(name, path, "json"), f"{name}@{','.join(map(str, ranges))}"


def _consumer(servers: str) -> "Consumer":
    from confluent_kafka import Consumer, KafkaException

    settings: dict[str, Any] = {
        "bootstrap.servers": servers,
        "group.id": "kubeline-load",  # of rights alone: no offset is committed
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "queued.max.messages.kbytes": 16_384,
        "log_level": 0,  # what matters is raised
    }
    try:
        return Consumer(settings | client_properties())
    except KafkaException as error:
        raise UserError(f"the client properties of {SETTINGS} do not fit ({error.args[0].str()}); fix them") from None


def client_properties() -> dict[str, str]:
    """The client properties of the environment, or of the file that it names: ``name=value`` in each line.

    Raises:
        UserError: when that file cannot be read.
    """
    given = os.environ.get(SETTINGS, "")
    try:
        text = given if "=" in given or not given else mounted_text(given)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UserError(
            f"the file that {SETTINGS} names cannot be read ({reason}); give one of lines such as security.protocol=SSL"
        ) from error
    lines = [line.strip() for line in text.splitlines()]
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {name.strip(): value.strip() for name, _, value in pairs}


@dataclass(frozen=True)
class _Topic:
    """A topic, and how many `seconds` the brokers may take for an answer; `name` is for messages."""

    consumer: "Consumer"
    topic: str
    name: str
    seconds: int

    def ranges(self, asked: str, span: Timespan) -> list[_Range]:
        """What to read: the offsets that were asked for, or what the window holds, or all."""
        there = self._there()
        if asked:
            return [self._within(there, *map(int, re.split("[:-]", each))) for each in asked.split(",")]
        if span.column != TIME:
            return list(there.values())
        return self._since(there, span.since)

    def _there(self) -> dict[int, _Range]:
        """All that each partition holds."""
        from confluent_kafka import KafkaException, TopicPartition

        try:
            known = self.consumer.list_topics(self.topic, timeout=self.seconds).topics[self.topic]
        except KafkaException:
            raise PlatformError(
                f"'{self.name}' did not answer within {self.seconds} s; check host, network and login"
            ) from None
        if known.error is not None or not known.partitions:
            raise UserError(f"there is no topic '{self.topic}' at '{self.name}'; check the address and the rights")
        there = {}
        for partition in sorted(known.partitions):
            ends = self.consumer.get_watermark_offsets(TopicPartition(self.topic, partition), timeout=self.seconds)
            there[partition] = _Range(partition, *ends)
        return there

    def _within(self, there: dict[int, _Range], partition: int, first: int, end: int) -> _Range:
        """A range that was asked for, when all of it is there."""
        known = there.get(partition)
        if known is None or first < known.first or end > known.end or first > end:
            raise UserError(
                f"'{self.name}' does not hold the messages {partition}:{first}-{end} (partition:first-end); there are: "
                f"{listed(map(str, there.values()), 20)}"
            )
        return _Range(partition, first, end)

    def _since(self, there: dict[int, _Range], moment: datetime | None) -> list[_Range]:
        """Each partition from its first message at or after a moment, to its end: a message may come late."""
        from confluent_kafka import TopicPartition

        if moment is None:
            return list(there.values())
        millis = int(moment.timestamp() * 1000)
        asked = [TopicPartition(self.topic, partition, millis) for partition in there]
        found = self.consumer.offsets_for_times(asked, timeout=self.seconds)
        firsts = {each.partition: each.offset if each.offset >= 0 else there[each.partition].end for each in found}
        return [replace(each, first=max(each.first, firsts[each.partition])) for each in there.values()]

    def messages(self, wanted: _Range, transfer: Transfer) -> Iterator["Message"]:
        """The messages of a range, to its end: the log has gaps, where messages were compacted or taken back."""
        from confluent_kafka import TopicPartition

        place, last = wanted.first, time.monotonic()
        if place < wanted.end:
            self.consumer.assign([TopicPartition(self.topic, wanted.partition, place)])
        while place < wanted.end:
            transfer.check_time()
            for message in self.consumer.consume(_MESSAGES, timeout=_WAIT_SECONDS):
                last = time.monotonic()
                place = self._behind(message)
                if message.error() is None and place <= wanted.end:
                    transfer.take(len(message.value() or b""))
                    yield message
            if time.monotonic() - last > _SILENCE_SECONDS:
                raise PlatformError(f"'{self.name}' sent nothing for {_SILENCE_SECONDS} s; try again later")

    def _behind(self, message: "Message") -> int:
        """The offset that comes next; the end of a partition comes as a message with an error."""
        from confluent_kafka import KafkaError

        error = message.error()
        if error is None:
            return int(message.offset() or 0) + 1
        if error.code() == KafkaError._PARTITION_EOF:  # its public name
            return int(message.offset() or 0)
        raise PlatformError(f"'{self.name}' cannot be read ({error.str()}); try again later")


def _line(message: "Message", name: str) -> bytes:
    """A message as a line of JSON: the value as it is, so that numbers keep their digits, behind where it stood."""
    value: bytes | None = message.value()
    if value is None:
        return b""
    place = f"message {message.offset():,} of partition {message.partition()} of '{name}'"
    try:
        fields = json.loads(value)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise UserError(f"{place} is not a JSON object; expected one in each message")
    if not fields.keys().isdisjoint({TIME, PARTITION, OFFSET}):
        raise UserError(f"{place} has a field of the name {TIME}, {PARTITION} or {OFFSET}; rename it")
    moment = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC).isoformat(timespec="milliseconds")
    head = {PARTITION: message.partition(), OFFSET: message.offset(), TIME: moment}
    body = value.strip().replace(b"\n", b" ").replace(b"\r", b" ")  # inside of strings, JSON has no line ends
    return json.dumps(head).encode()[:-1] + (b", " if fields else b"") + body[1:] + b"\n"
