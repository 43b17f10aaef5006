"""Clients that say what others said before: let in undecoded, and never when they would not be let in otherwise."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp import commands

from broker.server.connection import Connection
from broker.server.returning import LOGINS_KEPT, OPENINGS_KEPT, ReturningClient
from protocol import handshake
from protocol.constants import PROTOCOL_HEADER
from protocol.errors import ConnectionForced
from protocol.methods import build, decode_method, encode_method
from tests.server.wired import Client, Node, running_node

CAPABILITIES = {"capabilities": {"authentication_failure_close": True, "connection.blocked": True}}


def frame(method: type[Any], channel: int = 0, **fields: object) -> bytes:
    return encode_method(channel, build(method, **fields))


def start_ok(user: str = "guest", password: str = "guest") -> bytes:
    return frame(
        commands.Connection.StartOk,
        client_properties=CAPABILITIES,
        mechanism="PLAIN",
        response=f"\0{user}\0{password}",
        locale="en_US",
    )


TUNE_OK = frame(commands.Connection.TuneOk, channel_max=100, frame_max=8192, heartbeat=0)
OPEN = frame(commands.Connection.Open, virtual_host="/")
CLOSE = frame(commands.Connection.Close, reply_code=200, reply_text="done")
IN_TWO, IN_THREE = (start_ok(), TUNE_OK + OPEN), (start_ok(), TUNE_OK, OPEN)
WELCOME = ["Connection.Tune", "Connection.OpenOk"]


def come(node: Node, *reads: bytes) -> tuple[Client, list[str]]:
    """Send reads after the header; return the client and what it was answered, once a refusal would be told."""
    client = Client(node)
    for octets in reads:
        client.feed(octets)
    names = client.names()
    if names != WELCOME:
        node.clock.advance(300)
        names += client.names()
    return client, names


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of methods that handshakes had decoded, as they come."""
    names: list[str] = []

    def note(payload: bytes) -> Any:
        method = decode_method(payload)
        names.append(method.name)
        return method

    monkeypatch.setattr(handshake, "decode_method", note)
    return names


@pytest.mark.parametrize("first", [IN_TWO, IN_THREE])
@pytest.mark.parametrize("second", [IN_TWO, IN_THREE])
def test_who_says_the_same_again_is_let_in_undecoded_and_as_before(
    tmp_path: Path, decoded: list[str], first: tuple[bytes, ...], second: tuple[bytes, ...]
) -> None:
    with running_node(tmp_path) as node:
        one, names = come(node, *first)
        assert names == WELCOME
        assert len(decoded) == 3
        other, names = come(node, *second)
        assert names == WELCOME
        assert len(decoded) == 3
        for name in ("user", "frame_max", "channel_max", "negotiated", "is_open", "vhost"):
            assert getattr(other.connection, name) == getattr(one.connection, name)
        assert other.connection.has_capability("connection.blocked")
        assert other.connection.sent_octets == one.connection.sent_octets
        assert node.broker.admission.logins.succeeded == 2
        assert node.broker.counters.connections_opened == 2
        assert set(node.broker.admission.of_user("guest")) == {one.connection, other.connection}
        other.send(commands.Channel.Open)
        assert other.names() == ["Channel.OpenOk"]


def change_password(node: Node) -> None:
    node.broker.access_control.users.set_password("guest", "other")


def make_anew_with_another_password(node: Node) -> None:
    control = node.broker.access_control
    control.delete_user("guest")
    control.users.add("guest", "other")
    control.set_permission("/", "guest", configure="", write="", read="")


def delete_user(node: Node) -> None:
    node.broker.access_control.delete_user("guest")


def take_permission(node: Node) -> None:
    node.broker.access_control.clear_permission("/", "guest")


def limit_user(node: Node) -> None:
    node.broker.access_control.users.set_limits("guest", {"max-connections": 0})


def limit_vhost(node: Node) -> None:
    node.broker.access_control.set_vhost_limit("/", "max-connections", 0)


def limit_node(node: Node) -> None:
    node.broker.admission.connection_max = 1


def delete_vhost(node: Node) -> None:
    node.broker.access_control.delete_vhost("/")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (change_password, 403),
        (make_anew_with_another_password, 403),
        (delete_user, 403),
        (take_permission, 530),
        (limit_user, 530),
        (limit_vhost, 530),
        (limit_node, 530),
        (delete_vhost, 530),
    ],
)
@pytest.mark.parametrize("reads", [IN_TWO, IN_THREE])
def test_who_is_not_let_in_any_more_is_told_what_a_stranger_is_told(
    tmp_path: Path, change: Callable[[Node], None], code: int, reads: tuple[bytes, ...]
) -> None:
    def told(client: Client, *octets: bytes) -> list[tuple[object, ...]]:
        for each in octets:
            if not client.connection._is_closing:
                client.feed(each)
        node.clock.advance(300)
        return [(m.name, getattr(m, "reply_code", 0), getattr(m, "reply_text", "")) for m in client.received()]

    with running_node(tmp_path) as node:
        stays, _ = come(node, *reads)
        change(node)
        stays.received()
        back = told(Client(node), *reads)
        stranger = Client(node)
        assert stranger.connection._returning is not None
        stranger.connection._begin_handshake(stranger.connection._returning)  # as if it were known by nothing
        assert back == told(stranger, *reads)
        assert back[-1][:2] == ("Connection.Close", code)
        if code == 403:
            assert node.broker.admission.logins.failed == 2


def test_a_limit_counts_those_who_return(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        node.broker.access_control.users.set_limits("guest", {"max-connections": 2})
        first, _ = come(node, *IN_TWO)
        _, names = come(node, *IN_TWO)
        assert names == WELCOME
        _, names = come(node, *IN_TWO)
        assert names == ["Connection.Tune", "Connection.Close"]
        first.disconnect()
        _, names = come(node, *IN_TWO)
        assert names == WELCOME


def test_a_user_for_this_machine_alone_does_not_return_from_elsewhere(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        assert come(node, *IN_TWO)[1] == WELCOME
        client = Client(node)
        client.connection.login._is_local = False
        client.feed(start_ok())
        node.clock.advance(300)
        assert client.names() == ["Connection.Close"]


def test_the_newest_password_is_learnt_after_the_old_one(tmp_path: Path, decoded: list[str]) -> None:
    with running_node(tmp_path) as node:
        come(node, *IN_TWO)
        node.broker.access_control.users.set_password("guest", "other")
        node.broker.access_control.users.set_password("guest", "guest")
        decoded.clear()
        assert come(node, *IN_TWO)[1] == WELCOME
        assert len(decoded) == 3
        assert come(node, *IN_TWO)[1] == WELCOME
        assert len(decoded) == 3


def test_a_client_that_goes_on_otherwise_is_understood_from_there_on(tmp_path: Path, decoded: list[str]) -> None:
    with running_node(tmp_path) as node:
        node.broker.access_control.add_vhost("second", creator="guest")
        come(node, *IN_TWO)
        elsewhere = frame(commands.Connection.Open, virtual_host="second")
        decoded.clear()
        for reads in ((start_ok(), TUNE_OK, elsewhere), (start_ok(), TUNE_OK + elsewhere)):
            client, names = come(node, *reads)
            assert names == WELCOME
            assert client.connection.vhost.name == "second"
            assert client.connection.frame_max == 8192
        assert decoded == ["Connection.TuneOk", "Connection.Open"]  # of the first; then it was known
        assert node.broker.admission.logins.succeeded == 3


def test_what_comes_with_the_open_is_handled_too(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        come(node, *IN_TWO)
        _, names = come(node, start_ok(), TUNE_OK + OPEN + frame(commands.Channel.Open, 1))
        assert names == [*WELCOME, "Channel.OpenOk"]


@given(cuts=st.lists(st.integers(1, 400), max_size=6))
@settings(max_examples=60, deadline=None)
def test_however_the_octets_are_cut_the_answers_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    octets = start_ok() + TUNE_OK + OPEN + frame(commands.Channel.Open, 1) + CLOSE
    places = sorted({0, *(cut for cut in cuts if cut < len(octets)), len(octets)})
    reads = [octets[start:stop] for start, stop in pairwise(places)]
    with running_node(tmp_path_factory.mktemp("node")) as node:
        come(node, *IN_TWO)
        _, names = come(node, *reads)
        assert names == [*WELCOME, "Channel.OpenOk", "Connection.CloseOk"]


def test_a_header_in_pieces_is_a_header(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        come(node, *IN_TWO)
        client = Client(node)
        connection = Connection(node.broker)
        connection.connection_made(client.wire)  # type: ignore[arg-type]
        connection.data_received(PROTOCOL_HEADER[:3])
        connection.data_received(PROTOCOL_HEADER[3:] + start_ok())
        assert client.names() == ["Connection.Start", "Connection.Tune"]


@pytest.mark.parametrize("reads", [(), (start_ok(),), (start_ok(), TUNE_OK)])
def test_who_stops_halfway_runs_out_of_time(tmp_path: Path, reads: tuple[bytes, ...]) -> None:
    with running_node(tmp_path) as node:
        come(node, *IN_TWO)
        client = Client(node)
        for octets in reads:
            client.feed(octets)
        assert isinstance(client.connection._returning, ReturningClient)
        node.clock.advance(9_999)
        assert client.wire.is_open
        node.clock.advance(1_001)
        assert not client.wire.is_open
        assert client.connection.reason == "handshake timeout"


@pytest.mark.parametrize("reads", [(start_ok(),), (start_ok(), TUNE_OK)])
def test_who_has_logged_in_is_told_that_the_broker_goes(tmp_path: Path, reads: tuple[bytes, ...]) -> None:
    with running_node(tmp_path) as node:
        come(node, *IN_TWO)
        client = Client(node)
        for octets in reads:
            client.feed(octets)
        client.connection.close(ConnectionForced("shutdown"))
        assert client.names() == ["Connection.Tune", "Connection.Close"]


def test_what_is_remembered_is_bounded_and_holds_no_password(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        returning = node.broker.returning
        for number in range(LOGINS_KEPT + 10):
            login = frame(
                commands.Connection.StartOk,
                client_properties={**CAPABILITIES, "connection_name": str(number)},
                mechanism="PLAIN",
                response="\0guest\0guest",
                locale="en_US",
            )
            assert come(node, login, TUNE_OK + OPEN)[1] == WELCOME
        assert len(returning._logins) == LOGINS_KEPT
        assert all(len(digest) == 32 for digest in returning._logins)
        for heartbeat_s in range(1000, 1000 + OPENINGS_KEPT + 5):
            tune_ok = frame(commands.Connection.TuneOk, channel_max=1, frame_max=4096, heartbeat=heartbeat_s)
            assert come(node, login, tune_ok + OPEN)[1] == WELCOME
        assert max(len(known.openings) for known in returning._logins.values()) <= OPENINGS_KEPT
