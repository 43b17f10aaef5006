"""What the log says of connections: who came, who was refused and why, who went; and nothing of messages."""

import socket

import pika
import pytest
from pika.exceptions import AMQPConnectionError

from tests.brokers import RunningBroker


def _address_of_this_machine() -> str:
    """Return an address of this machine that is not loopback, or 127.0.0.1 where it has none; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def _lines_about_connections(broker: RunningBroker) -> list[str]:
    """Return what was logged with a peer: lines about the node itself may come at any time."""
    return [line for line in broker.output if '"peer"' in line]


def test_a_connection_is_two_lines_whatever_it_carries(own_broker: RunningBroker) -> None:
    parameters = pika.URLParameters(own_broker.url)
    parameters.client_properties = {"connection_name": "tester"}
    connection = pika.BlockingConnection(parameters)
    channel = connection.channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    opened = own_broker.wait_for_event("connection opened")
    for _ in range(50):
        channel.basic_publish("", queue, b"x")
    for _ in range(50):
        assert channel.basic_get(queue, auto_ack=True)[0]
    connection.close(200, "done")
    closed = own_broker.wait_for_event("connection closed")
    assert len(_lines_about_connections(own_broker)) == 2
    assert opened["client"]["connection_name"] == "tester"
    assert closed["reason"] == "client closed it: 200 done"
    for event in (opened, closed):
        assert (event["user"], event["vhost"]) == ("guest", "/")
        assert event["peer"].startswith("127.0.0.1:")
    assert opened["peer"] == closed["peer"]


def test_a_wrong_password_is_told_apart_in_the_log_alone(own_broker: RunningBroker) -> None:
    with pytest.raises(AMQPConnectionError):
        pika.BlockingConnection(pika.URLParameters(own_broker.url.replace("guest:guest", "guest:wrong")))
    assert own_broker.wait_for_event("connection error")["why"] == "invalid credentials"


def test_guest_from_elsewhere_is_refused_and_the_log_says_why(own_broker: RunningBroker) -> None:
    address = _address_of_this_machine()
    if address == "127.0.0.1":
        pytest.skip("this machine has no address but loopback")
    own_broker.stop()
    own_broker.flags = ("--host", address)
    own_broker.start()
    with pytest.raises(AMQPConnectionError, match="ACCESS_REFUSED"):
        pika.BlockingConnection(pika.URLParameters(own_broker.url.replace("127.0.0.1", address)))
    assert "can only connect from the broker's own machine" in own_broker.wait_for_event("connection error")["why"]


def test_another_protocol_is_one_line_and_a_look_at_the_port_none(own_broker: RunningBroker) -> None:
    socket.create_connection(("127.0.0.1", own_broker.port), 10).close()
    with socket.create_connection(("127.0.0.1", own_broker.port), 10) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert client.recv(8) == b"AMQP\x00\x00\x09\x01"
    refused = own_broker.wait_for_event("connection refused")
    assert refused["reason"] == "not the protocol header of AMQP 0-9-1: b'GET / HT'"
    assert len(_lines_about_connections(own_broker)) == 1
