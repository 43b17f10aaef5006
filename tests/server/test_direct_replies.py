"""Direct reply-to on the octets: each request carries its client's own address, whatever else its header holds."""

from pathlib import Path

import pytest
from pamqp import commands

from protocol.content import short_string
from protocol.headers import properties_of
from tests.protocol.octets import message
from tests.server.wired import running_node

REPLY_TO, CORRELATION_ID, EXPIRATION, DELIVERY_MODE = 1 << 9, 1 << 10, 1 << 8, 1 << 12
PSEUDO_QUEUE = short_string(b"amq.rabbitmq.reply-to")


def header(correlation_id: bytes = b"", *, expires: bool = False, persistent: bool = False) -> bytes:
    """Property flags and properties of a request."""
    flags, properties = REPLY_TO, b""
    if persistent:
        flags, properties = flags | DELIVERY_MODE, b"\x02"
    if correlation_id:
        flags, properties = flags | CORRELATION_ID, properties + short_string(correlation_id)
    properties += PSEUDO_QUEUE
    if expires:
        flags, properties = flags | EXPIRATION, properties + short_string(b"60000")
    return flags.to_bytes(2) + properties


def headers_in(octets: bytes) -> list[dict[int, bytes]]:
    found = []
    while octets:
        kind, size = octets[0], int.from_bytes(octets[3:7])
        if kind == 2:
            found.append(properties_of(octets[7 : 7 + size]))
        octets = octets[8 + size :]
    return found


@pytest.mark.parametrize("at_once", [True, False])
def test_requests_reach_the_server_with_an_address_that_leads_back(tmp_path: Path, at_once: bool) -> None:
    requests = [header(), header(), header()]
    requests += [header(b"%d" % number) for number in range(3)]
    requests += [header(b"e", expires=True), header(b"p", persistent=True), header(b"e", expires=True)]
    with running_node(tmp_path) as node:
        client, server = node.connect(), node.connect()
        client.send(commands.Basic.Consume, queue="amq.rabbitmq.reply-to", consumer_tag="r", no_ack=True)
        server.declare("q")
        server.send(commands.Basic.Consume, queue="q", consumer_tag="c", no_ack=True)
        server.received(), client.received()
        frames = [message(b"%d" % number, properties=each) for number, each in enumerate(requests)]
        for octets in [b"".join(frames)] if at_once else frames:
            client.feed(octets)
        arrived = headers_in(bytes(server.wire.written))
        server.received()
        assert server.bodies == [b"%d" % number for number in range(len(requests))]
        (address,) = {properties[REPLY_TO] for properties in arrived}
        assert address[1:].startswith(b"amq.rabbitmq.reply-to.")
        for properties, sent in zip(arrived, requests, strict=True):
            assert {**properties, REPLY_TO: PSEUDO_QUEUE} == properties_of(bytes(12) + sent)
        server.feed(message(b"answer", address[1:]))
        client.received()
        assert client.bodies == [b"answer"]


def test_request_of_a_client_that_waits_for_no_replies_is_refused(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        client = node.connect()
        client.declare("q")
        client.publish(b"first")
        client.feed(message(b"request", properties=header()))
        (close,) = client.received()
        assert isinstance(close, commands.Channel.Close)
        assert (close.reply_code, close.reply_text) == (
            406,
            "PRECONDITION_FAILED - fast reply consumer does not exist",
        )
