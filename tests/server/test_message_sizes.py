"""Sizes of messages are counted where a setting asks for it, each once and in its class; else nobody counts."""

from pathlib import Path

import pika
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from broker.server.message_sizes import BOUNDS, MessageSizes
from protocol.frames import FrameReader
from protocol.runs import PublishRun
from tests.brokers import RunningBroker
from tests.management.client import Api
from tests.protocol.octets import message


@given(st.lists(st.sampled_from([0, 1, 99, 100, 101, 999, 1000, 1001, 20_000]), max_size=30))
def test_each_message_is_counted_once_in_its_class(sizes: list[int]) -> None:
    counted = MessageSizes()
    octets = b"".join(message(bytes(size), key=b"q", properties=b"\x10\x00\x02") for size in sizes)
    for event in FrameReader(131072, 1 << 27).feed(octets):
        assert isinstance(event, PublishRun)
        counted.add(event.shape, event.pieces)
    assert counted.octets == sum(sizes)
    expected = [(str(bound), float(sum(size <= bound for size in sizes))) for bound in BOUNDS]
    assert counted.cumulated() == [*expected, ("+Inf", float(len(sizes)))]


@pytest.mark.parametrize("is_on", [True, False], ids=["on", "off"])
def test_histogram_is_among_the_metrics_if_it_is_wanted(tmp_path: Path, is_on: bool) -> None:
    flags = ("--message-sizes", "on") if is_on else ()
    with RunningBroker(tmp_path / "data", "--management-port", "any", *flags) as broker:
        api = Api(int(broker.wait_for_event("HTTP")["port"]), "")
        with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.queue_declare("q")
            for size in (10, 100, 5000):
                channel.basic_publish("", "q", bytes(size))
        text = api("GET", "/metrics").body
        samples = {
            (sample.name, sample.labels.get("le")): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name.startswith("rabbitmq_message_size_bytes")
        }
    if not is_on:
        assert samples == {}
        return
    assert samples["rabbitmq_message_size_bytes_sum", None] == 5110
    assert samples["rabbitmq_message_size_bytes_count", None] == 3
    assert samples["rabbitmq_message_size_bytes_bucket", "100"] == 2
    assert samples["rabbitmq_message_size_bytes_bucket", "1000"] == 2
    assert samples["rabbitmq_message_size_bytes_bucket", "10000"] == 3
    assert samples["rabbitmq_message_size_bytes_bucket", "+Inf"] == 3
