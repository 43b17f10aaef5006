"""The socket was closed right after connection.close-ok; with a second close or a heartbeat still on the way from the
client, the kernel answered that with a reset, and the client lost the close-ok that it had not read yet."""

from tests.brokers import RunningBroker
from tests.faults.clients import log_in

CLOSE = b"\x01\x00\x00\x00\x00\x00\x0b\x00\x0a\x00\x32\x00\xc8\x00\x00\x00\x00\x00\xce"
CLOSE_OK = b"\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x33\xce"
HEARTBEAT = b"\x08\x00\x00\x00\x00\x00\x00\xce"


def test_close_ok_reaches_a_client_that_still_sends(own_broker: RunningBroker) -> None:
    with log_in(own_broker) as client:
        client.sendall(CLOSE)
        own_broker.wait_for_event("connection opened")
        for _ in range(3):
            client.sendall(HEARTBEAT)
        client.sendall(CLOSE)
        received = b""
        while len(received) < 2 * len(CLOSE_OK):
            more = client.recv(4096)
            assert more, "closed"
            received += more
        assert received == 2 * CLOSE_OK
