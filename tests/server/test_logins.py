"""The door as time goes by: refusals that are late, tokens that are good for long, keys that are waited for."""

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pamqp import commands

from broker.core.access.control import AccessControl, AccessEvents
from broker.server.admission import SOURCES_MAX, Admission
from broker.server.limits import REFUSED_CLOSE_MS
from broker.server.login import LOOK_MS_MAX
from broker.server.refusals import KeysWanted, Refused
from broker.server.signing_keys import PAUSE_MS, STALE_MS
from protocol.methods import build, encode_method
from tests.server.wired import Client, Node, running_node
from tests.tokens import key_set, public_key_file, rsa_key, token

DAY_MS = 86_400_000
ISSUED_S = 1_700_000_000
"""When the node's clock begins."""


def start_ok(password: str) -> dict[str, Any]:
    return {
        "client_properties": {"capabilities": {"authentication_failure_close": True}},
        "mechanism": "PLAIN",
        "response": f"\0guest\0{password}",
        "locale": "en_US",
    }


def good_for(days: float) -> str:
    return token(seconds=0, exp=ISSUED_S + int(days * 86_400))


def test_refusal_is_told_late(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        client = Client(node)
        client.send(commands.Connection.StartOk, 0, **start_ok("wrong"))
        node.clock.advance(REFUSED_CLOSE_MS - 1)
        assert client.received() == []
        node.clock.advance(1)
        (close,) = client.received()
        assert isinstance(close, commands.Connection.Close)
        assert close.reply_code == 403
        client.send(commands.Connection.CloseOk, 0)
        assert not client.wire.is_open


def test_client_that_leaves_before_its_refusal_is_forgotten(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        client = Client(node)
        client.send(commands.Connection.StartOk, 0, **start_ok("wrong"))
        client.disconnect()
        node.clock.advance(REFUSED_CLOSE_MS)
        assert client.received() == []
        assert not node.broker.connections


def test_logins_by_source_are_kept_for_the_latest_only() -> None:
    control = AccessControl({}, lambda name: None, lambda key, value: None, _NOBODY)  # type: ignore[arg-type, return-value]
    admission = Admission(control, ())
    for number in range(SOURCES_MAX + 50):
        with contextlib.suppress(Refused):
            admission.log_in(f"user{number}", b"x", is_local=True, source="192.0.2.1", protocol="http")
    assert len(admission.sources) == SOURCES_MAX
    assert ("192.0.2.1", "user49", "http") not in admission.sources
    assert admission.sources["192.0.2.1", "user50", "http"].failed == 1
    assert admission.logins.failed == SOURCES_MAX + 50


def test_what_tokens_need_is_not_loaded_without_them() -> None:
    looked_at = "import sys, broker.server.lifecycle; print({'jwt', 'cryptography'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", looked_at], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"


def test_users_of_the_own_machine_are_so_by_token_and_certificate_too(tmp_path: Path) -> None:
    with running_node(tmp_path / "data", **oauth2(tmp_path)) as node:
        text = token(seconds=0, exp=ISSUED_S + 60, user="guest").encode()
        admission = node.broker.admission
        assert admission.log_in("", text, is_local=True, source="::1", protocol="http").name == "guest"
        with pytest.raises(Refused, match="loopback_users"):
            admission.log_in("", text, is_local=False, source="192.0.2.1", protocol="http")
        with pytest.raises(Refused):
            # The node's own users are asked only where auth_backends says so.
            admission.log_in_by_certificate("guest", is_local=True, source="::1", protocol="amqp091")
        with pytest.raises(Refused):
            admission.log_in("guest", b"guest", is_local=True, source="::1", protocol="amqp091")


_NOBODY = AccessEvents(lambda user: None, lambda vhost: None)


def oauth2(tmp_path: Path, **settings: Any) -> dict[str, Any]:
    pem = f"k1={public_key_file(tmp_path)}"
    keys = settings or {"oauth2_signing_keys": pem}
    return {"auth_backends": ("oauth2",), "oauth2_resource_server_id": "rabbitmq", **keys}


def opened(node: Node, password: str) -> Client:
    client = Client(node)
    client.send(commands.Connection.StartOk, 0, **start_ok(password))
    client.send(commands.Connection.TuneOk, 0, channel_max=10, frame_max=131072, heartbeat=0)
    client.send(commands.Connection.Open, 0, virtual_host="/")
    assert client.names() == ["Connection.Tune", "Connection.OpenOk"]
    return client


def test_token_that_is_good_for_days_closes_its_connection_on_time(tmp_path: Path) -> None:
    with running_node(tmp_path / "data", **oauth2(tmp_path)) as node:
        client = opened(node, good_for(days=3))
        for _ in range(2):
            node.clock.advance(LOOK_MS_MAX)
            assert client.received() == []
        node.clock.advance(DAY_MS - 1)
        assert client.received() == []
        node.clock.advance(1)
        (close,) = client.received()
        assert isinstance(close, commands.Connection.Close)
        assert (close.reply_code, close.reply_text) == (320, "CONNECTION_FORCED - credential expired")


def test_next_token_moves_the_end_and_the_last_one_has_none(tmp_path: Path) -> None:
    with running_node(tmp_path / "data", **oauth2(tmp_path)) as node:
        client = opened(node, good_for(days=1))
        for text in (good_for(days=2), token(seconds=0, exp=None)):
            client.send(commands.Connection.UpdateSecret, 0, new_secret=text, reason="soon over")
            assert client.names() == ["Connection.UpdateSecretOk"]
        node.clock.advance(100 * DAY_MS)
        assert client.received() == []


def test_expiry_that_no_clock_reaches_is_no_trouble(tmp_path: Path) -> None:
    with running_node(tmp_path / "data", **oauth2(tmp_path)) as node:
        client = opened(node, token(seconds=0, exp=10**300))
        node.clock.advance(DAY_MS)
        assert client.received() == []


class Fetches:
    """Stands in for the loop's threads: fetches wait until ``run``."""

    def __init__(self, node: Node) -> None:
        self._waiting: list[Any] = []
        loop: Any = node.turns
        loop.run_in_executor = lambda _, call: self._waiting.append(call)
        loop.call_soon_threadsafe = lambda call, *arguments: call(*arguments)

    def run(self) -> int:
        """Make the fetches that wait, and say how many there were."""
        waiting, self._waiting = self._waiting, []
        for fetch in waiting:
            fetch()
        return len(waiting)


def test_what_a_client_sends_meanwhile_waits_for_the_keys(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(key_set(k1=rsa_key()))
    with running_node(tmp_path / "data", **oauth2(tmp_path, oauth2_jwks_url=file.as_uri())) as node:
        fetches = Fetches(node)
        clients = [Client(node), Client(node)]
        for client in clients:
            client.feed(
                encode_method(0, build(commands.Connection.StartOk, **start_ok(good_for(days=1))))
                + encode_method(0, build(commands.Connection.TuneOk, channel_max=10, frame_max=131072, heartbeat=0))
                + encode_method(0, build(commands.Connection.Open, virtual_host="/"))
            )
            assert client.received() == []
            assert not client.wire.is_read
        clients[1].disconnect()
        assert fetches.run() == 1
        assert clients[0].names() == ["Connection.Tune", "Connection.OpenOk"]
        assert clients[0].wire.is_read
        assert clients[1].received() == []


def test_handshake_ends_though_the_issuer_never_answers(tmp_path: Path) -> None:
    with running_node(tmp_path / "data", **oauth2(tmp_path, oauth2_jwks_url="https://issuer.example")) as node:
        Fetches(node)
        client = Client(node)
        client.send(commands.Connection.StartOk, 0, **start_ok(good_for(days=1)))
        node.clock.advance(20_000)
        assert not client.wire.is_open


def test_invented_key_ids_bring_no_more_fetches_than_one_in_a_while(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(key_set(k1=rsa_key()))
    with running_node(tmp_path / "data", **oauth2(tmp_path, oauth2_jwks_url=file.as_uri())) as node:
        fetches = Fetches(node)
        tokens = node.broker.admission.tokens
        assert tokens is not None

        def check(kid: str) -> object:
            try:
                return tokens.check(token(seconds=0, exp=ISSUED_S + DAY_MS, kid=kid).encode())
            except KeysWanted:
                tokens.keys.fetch(lambda: None)
                return "wanted"

        assert check("k1") == "wanted"
        assert check("other") == "wanted"
        assert fetches.run() == 1
        assert check("invented") == "its key is not known"
        assert fetches.run() == 0
        node.clock.advance(PAUSE_MS)
        assert check("invented") == "wanted"
        assert fetches.run() == 1
        # A key that is known counts while it is fetched again, as an issuer that has withdrawn it wants.
        node.clock.advance(STALE_MS)
        file.write_bytes(key_set(k2=rsa_key("2")))
        assert not isinstance(check("k1"), str)
        assert fetches.run() == 1
        assert check("k1") == "its key is not known"


def test_keys_stay_when_a_fetch_fails(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(key_set(k1=rsa_key()))
    with running_node(tmp_path / "data", **oauth2(tmp_path, oauth2_jwks_url=file.as_uri())) as node:
        fetches = Fetches(node)
        keys = node.broker.admission.tokens.keys  # type: ignore[union-attr]
        keys.fetch(lambda: None)
        fetches.run()
        for broken in (b"{}", b"", None):
            if broken is None:
                file.unlink()
            else:
                file.write_bytes(broken)
            keys.fetch(lambda: None)
            assert fetches.run() == 1
            assert keys.key("k1") is not None
