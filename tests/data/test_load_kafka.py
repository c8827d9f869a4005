"""Topics of Kafka are read from offset to offset, or within a window of time, once and in order."""

import datetime as dt
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from kubeline.data.dataset import open_dataset
from kubeline.errors import PlatformError, UserError
from tests.support.loading import Load
from tests.support.real_servers import free_port, kafka

START = dt.datetime(2013, 1, 1, tzinfo=dt.UTC)
ROWS = 30  # in each of two partitions, one a minute


@pytest.fixture(scope="module")
def broker() -> Iterator[Any]:
    with kafka() as servers:
        create(servers, "flights", 2)
        rows = [
            (partition, minute, {"id": 1_000 * partition + minute, "exact": 9_007_199_254_740_993, "carrier": "UA"})
            for minute in range(ROWS)
            for partition in range(2)
        ]
        produce(servers, "flights", [(partition, minute, json.dumps(row)) for partition, minute, row in rows])
        yield f"kafka://{servers}/flights"


def create(servers: str, topic: str, partitions: int = 1) -> None:
    admin = AdminClient({"bootstrap.servers": servers})
    for made in admin.create_topics([NewTopic(topic, partitions, 1)]).values():
        made.result(30)


def produce(servers: str, topic: str, messages: list[tuple[int, int, str | None]]) -> None:
    """Send messages, each with its partition and the minute of its time."""
    # This broker gives a batch one offset, whatever it holds.
    producer = Producer({"bootstrap.servers": servers, "batch.num.messages": 1})
    for partition, minute, value in messages:
        at = int((START + dt.timedelta(minutes=minute)).timestamp() * 1000)
        producer.produce(topic, value, partition=partition, timestamp=at)
    assert producer.flush(30) == 0


def topic(broker: str, name: str, messages: list[str | None]) -> str:
    """The address of a topic of one partition with these messages."""
    servers = broker.split("/")[2]
    create(servers, name)
    produce(servers, name, [(0, minute, value) for minute, value in enumerate(messages)])
    return f"kafka://{servers}/{name}"


def ids(loaded: Any) -> list[int]:
    return open_dataset(loaded.path).to_table()["id"].to_pylist()


def test_a_topic_is_read_to_its_end_by_partition_and_offset(broker: str, load: Load) -> None:
    loaded = load(broker)
    assert ids(loaded) == [*range(ROWS), *range(1_000, 1_000 + ROWS)]
    assert loaded.metadata["source"] == f"{broker}@0:0-{ROWS},1:0-{ROWS}"
    first = open_dataset(loaded.path).to_table().slice(0, 1).to_pylist()[0]
    assert first == {
        "kafka.partition": 0,
        "kafka.offset": 0,
        "kafka.time": START,
        "id": 0,
        "exact": 9_007_199_254_740_993,
        "carrier": "UA",
    }


def test_the_address_in_the_metadata_reads_the_same_rows_when_more_have_come(broker: str, load: Load) -> None:
    source = topic(broker, "growing", ['{"id": 1}', '{"id": 2}'])
    loaded = load(source)
    produce(broker.split("/")[2], "growing", [(0, 9, '{"id": 3}')])
    again = load(loaded.metadata["source"])
    assert again.metadata["fingerprint"] == loaded.metadata["fingerprint"]
    assert ids(load(source)) == [1, 2, 3]


def test_certain_offsets_of_a_topic_are_read(broker: str, load: Load) -> None:
    assert ids(load(f"{broker}@1:5-7,0:28-30")) == [1_005, 1_006, 28, 29]


def test_a_window_of_time_of_a_topic_is_read(broker: str, load: Load) -> None:
    loaded = load(broker, time="kafka.time", at="2013-01-01T00:20:00Z", length="5m")
    assert ids(loaded) == [*range(15, 20), *range(1_015, 1_020)]
    assert load(broker, time="kafka.time", at="2013-01-01T00:02:00Z").metadata["rows"] == 4


def test_a_message_that_comes_late_is_in_its_window(broker: str, load: Load) -> None:
    servers = broker.split("/")[2]
    create(servers, "late")
    produce(servers, "late", [(0, minute, json.dumps({"id": minute})) for minute in (1, 7, 3, 9, 4)])
    late = load(f"kafka://{servers}/late", time="kafka.time", at="2013-01-01T00:05:00Z", length="3m")
    assert ids(late) == [3, 4]


def test_messages_are_kept_as_they_are_but_for_line_ends(broker: str, load: Load) -> None:
    values = ['{\n "id": 1,\r\n "x": 0.12345678901234567890}', None, "{}", '{"id": 2, "text": "a\\nb"}']
    loaded = load(topic(broker, "spread", values))
    assert loaded.frame["kafka.offset"].tolist() == [0, 2, 3]  # one has no value
    assert loaded.frame["text"].tolist() == [None, None, "a\nb"]


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("[1]", "^message 1 of partition 0 of 'kafka://.*' is not a JSON object; expected one in each message$"),
        ("id=1", "^message 1 of partition 0 of 'kafka://.*' is not a JSON object"),
        (
            '{"kafka.time": 1}',
            "^message 1 of partition 0 of 'kafka://.*' has a field of the name kafka.time, .*; rename",
        ),
    ],
)
def test_a_message_that_is_no_row_is_reported(value: str, sentence: str, broker: str, load: Load) -> None:
    with pytest.raises(UserError, match=sentence):
        load(topic(broker, f"bad-{abs(hash(value))}", ['{"id": 1}', value]))


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("@0:0-31", r"^'kafka://.*' does not hold the messages 0:0-31 .*; there are: 0:0-30, 1:0-30$"),
        ("@7:0-1", r"^'kafka://.*' does not hold the messages 7:0-1 "),
        ("@5", r"^'kafka://.*' is no address of a topic; expected kafka://HOST:PORT/TOPIC"),
        ("@0:4-4", r"^'kafka://.*' has no message in 0:4-4 "),
    ],
)
def test_offsets_that_are_not_there_are_reported(place: str, sentence: str, broker: str, load: Load) -> None:
    with pytest.raises(UserError, match=sentence):
        load(f"{broker}{place}")


def test_a_topic_that_is_not_there_is_reported(broker: str, load: Load) -> None:
    with pytest.raises(UserError, match=r"^there is no topic 'nothing' at 'kafka://"):
        load(broker.replace("flights", "nothing"))


def test_a_broker_that_is_not_there_is_reported(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBELINE_LOAD_LIMITS", str(1 / (12 * 3600)))  # 12 hours become a second
    with pytest.raises(PlatformError, match=r"^'kafka://.*' did not answer within 1 s; check host, network and login$"):
        load(f"kafka://127.0.0.1:{free_port()}/flights")


@pytest.mark.parametrize("is_file", [True, False])
def test_client_properties_come_from_the_environment_or_a_file(
    is_file: bool, broker: str, load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    properties = "# a login\nsecurity.protocol=SASL_SSL\nsasl.mechanisms = WRONG\n"
    (tmp_path / "client.properties").write_text(properties)
    monkeypatch.setenv("KAFKA_CONFIG", str(tmp_path / "client.properties") if is_file else properties)
    with pytest.raises(UserError, match=r"^the client properties of KAFKA_CONFIG do not fit \(.*WRONG.*; fix them$"):
        load(broker)


def test_the_library_of_kafka_is_named_where_it_is_missing(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(
        PlatformError, match=r"the package confluent-kafka is missing; use an image with kubeline.kafka.$"
    ):
        load("kafka://127.0.0.1:1/flights")
