"""Heartbeats both ways. These wait, so they are slow and run side by side."""

import time

from conformance import codec
from conformance.case import Section, Session
from conformance.wire import Connection, Silence, check

case = Section("heartbeats", "4.2.7")


def _listen(connection: Connection, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    try:
        while True:
            connection.pump(deadline)
    except Silence:
        return


@case(slow=True)
def the_server_sends_one_every_half_interval(session: Session) -> None:
    connection = session.connect(heartbeat=2)
    for _ in range(4):
        _listen(connection, 1.0)
        connection.send_frame(codec.HEARTBEAT, 0, b"")
    _listen(connection, 0.6)
    assert 3 <= connection.heartbeat_count <= 5, f"{connection.heartbeat_count} heartbeats in 4.6 s"


@case(slow=True)
def a_silent_client_is_dropped_after_two_to_three_intervals(session: Session) -> None:
    connection = session.connect(heartbeat=1)
    began = time.monotonic()
    connection.expect_dropped(within_s=6)
    spent_s = time.monotonic() - began
    assert 1.8 <= spent_s <= 4.5, f"dropped after {spent_s:.1f} s"


@case(slow=True)
def a_client_that_sends_heartbeats_is_kept(session: Session) -> None:
    connection = session.connect(heartbeat=1)
    for _ in range(9):
        _listen(connection, 0.5)
        connection.send_frame(codec.HEARTBEAT, 0, b"")
    connection.channel().round_trip()


@case(slow=True)
def any_traffic_counts_as_a_heartbeat(session: Session) -> None:
    connection = session.connect(heartbeat=1)
    channel = connection.channel()
    for _ in range(9):
        _listen(connection, 0.5)
        channel.round_trip()


@case(slow=True)
def with_heartbeat_0_nobody_sends_or_waits(session: Session) -> None:
    connection = session.connect(heartbeat=0)
    _listen(connection, 4.0)
    check(connection.heartbeat_count, 0, "heartbeats")
    connection.channel().round_trip()


@case(slow=True)
def the_unacked_messages_of_a_silent_client_return(session: Session) -> None:
    channel = session.channel()
    queue = session.shared_queue(channel)
    channel.fill(queue, b"x")
    silent = session.connect(heartbeat=1).channel()
    silent.get(queue, no_ack=False)
    silent.connection.expect_dropped(within_s=6)
    channel.wait_ready(queue, 1)
    check(channel.get(queue).redelivered, True)
