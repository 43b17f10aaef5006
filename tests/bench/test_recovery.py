"""Recovery is measured of a broker that is killed, stopped and started again with its data."""

import json
import sys
from pathlib import Path

import pytest

from bench import __main__ as command
from bench import peers
from bench.recovery import BODY_OCTETS, MessagesMissing, _message, measure_recovery

FORGETFUL = "--durability memory"


def test_all_messages_are_counted_after_a_kill_and_after_a_stop() -> None:
    told: list[str] = []
    found = measure_recovery("leveret", peers.start_command_of(peers.LEVERET), 2500, told.append)
    assert found.message_count == 2500
    assert min(found.filled_s, found.after_kill_s, found.stopped_s, found.after_stop_s) > 0
    assert found.resident_octets > 1 << 20
    assert len(told) == 3


def test_a_broker_that_forgets_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.recovery.COUNT_LIMIT_S", 0.5)
    with pytest.raises(MessagesMissing, match="there are 0 messages, not 10"):
        measure_recovery("leveret", f"{peers.start_command_of(peers.LEVERET)} {FORGETFUL}", 10, lambda text: None)


def test_no_two_messages_are_alike_and_neighbours_go_elsewhere() -> None:
    messages = [_message(number) for number in range(20)]
    assert len(set(messages)) == 20
    assert {len(message) for message in messages} == {len(messages[0])}
    assert len(messages[0]) > BODY_OCTETS
    assert messages[0].split(b"\x01\x01\x01")[0].count(b"bench-recovery-0") == 1
    assert messages[1].count(b"bench-recovery-1") == 1


def test_the_command_prints_a_row_a_broker_and_writes_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started = peers.start_command_of(peers.LEVERET)
    file = tmp_path / "figures.json"
    monkeypatch.setattr(sys, "argv", ["bench", "--recovery", "50", "--start-command", started, "--json", str(file)])
    assert command.main() == 0
    assert "| back after kill -9, s |" in capsys.readouterr().out
    (figures,) = json.loads(file.read_text())
    assert (figures["name"], figures["message_count"]) == (started, 50)
