"""The listening sockets: all addresses with one port, and what is said when they cannot be had."""

import socket

import pytest

from broker.server import listener
from broker.server.listener import ListenError, bind, close_all


def families(sockets: list[socket.socket]) -> list[int]:
    return [each.family for each in sockets]


def test_all_interfaces_share_one_free_port() -> None:
    sockets = bind("*", 0)
    try:
        ports = {each.getsockname()[1] for each in sockets}
        assert len(ports) == 1
        assert 0 not in ports
        assert families(sockets)[0] == socket.AF_INET
        assert len(set(families(sockets))) == len(sockets)
    finally:
        close_all(sockets)


def test_one_address_is_one_socket() -> None:
    sockets = bind("127.0.0.1", 0)
    try:
        assert [each.getsockname()[0] for each in sockets] == ["127.0.0.1"]
    finally:
        close_all(sockets)


def test_a_port_in_use_is_told_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=f"^cannot listen on 127.0.0.1:{port}: address already in use$"):
            bind("127.0.0.1", port)


def test_a_free_port_that_another_address_has_taken_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    bind_all = listener.bind_all
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = iter((taken.getsockname()[1], 0))
        monkeypatch.setattr(listener, "bind_all", lambda wanted, _port: bind_all(wanted, next(ports)))
        sockets = bind("127.0.0.1", 0)
        try:
            assert sockets[0].getsockname()[1] != taken.getsockname()[1]
        finally:
            close_all(sockets)
    assert list(ports) == []


def test_an_unknown_host_is_told_in_one_line() -> None:
    with pytest.raises(ListenError, match=r"^cannot listen on no\.such\.host\.invalid:5672: no such host \("):
        bind("no.such.host.invalid", 5672)


def test_a_host_that_is_no_name_is_told_in_one_line() -> None:
    with pytest.raises(ListenError, match="no such host"):
        bind("x" * 300, 5672)


def test_an_address_of_another_machine_is_told_in_one_line() -> None:
    with pytest.raises(ListenError, match=r"^cannot listen on 192\.0\.2\.1:0: "):
        bind("192.0.2.1", 0)
