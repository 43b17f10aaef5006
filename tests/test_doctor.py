"""``leveret doctor`` on directories in every state: what it says, its exit code, and that nothing changes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pika
import pytest

from broker.cli import main
from tests.brokers import RunningBroker

PERSISTENT = pika.BasicProperties(delivery_mode=2)


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


def publish(broker: RunningBroker) -> None:
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for queue, count in (("full", 5), ("empty", 0)):
            channel.queue_declare(queue, durable=True)
            for i in range(count):
                channel.basic_publish("", queue, b"body %d" % i, PERSISTENT)
        channel.basic_get("full", auto_ack=True)


def examine(directory: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    before = contents(directory)
    exit_code = main(["doctor", str(directory), "--json"])
    assert contents(directory) == before
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return exit_code, report


def messages_of(report: dict[str, Any]) -> dict[str, int]:
    return {queue["name"]: queue["messages"] for queue in report["queues"]}


def test_a_directory_in_use_is_read_beside_the_broker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with RunningBroker(tmp_path / "data") as broker:
        publish(broker)
        exit_code = main(["doctor", str(tmp_path / "data"), "--json"])
        report = json.loads(capsys.readouterr().out)
    assert (exit_code, report["state"]) == (0, "in use")
    assert messages_of(report)["full"] in (4, 5)  # the settlement may not be there yet


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_sound_directory_is_told_with_its_queues(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], end: str
) -> None:
    with RunningBroker(tmp_path / "data") as broker:
        publish(broker)
        getattr(broker, end)()
    exit_code, report = examine(tmp_path / "data", capsys)
    assert (exit_code, report["is_sound"], report["damage"]) == (0, True, [])
    assert report["state"] == ("closed in order" if end == "stop" else "not closed in order")
    assert messages_of(report)["empty"] == 0
    if end == "stop":
        assert messages_of(report)["full"] == report["messages"] == 4
    assert report["octets"] == report["live_octets"] + report["dead_octets"]
    assert [segment["number"] for segment in report["segments"]] == [1]


def test_damage_is_told_and_the_next_start_names_its_copy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with RunningBroker(tmp_path / "data") as broker:
        publish(broker)
        broker.stop()
        (segment,) = (tmp_path / "data" / "log").iterdir()
        octets = bytearray(segment.read_bytes())
        octets[octets.index(b"body 3")] ^= 1
        segment.write_bytes(octets)
        exit_code, report = examine(tmp_path / "data", capsys)
        assert (exit_code, report["is_sound"]) == (1, False)
        assert messages_of(report)["full"] == 3
        assert any("messages" in place for place in report["damaged_places"])
        assert main(["doctor", str(tmp_path / "data")]) == 1
        assert "DAMAGED" in capsys.readouterr().out

        broker.start()
        (event,) = broker.events("damaged octets are not used")
        with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
            channel = connection.channel()
            bodies = [channel.basic_get("full", auto_ack=True)[2] for _ in range(4)]
        assert bodies == [b"body 1", b"body 2", b"body 4", None]
        broker.stop()
    _, report = examine(tmp_path / "data", capsys)
    (name,) = report["quarantine"]
    assert name in event["what"]
    assert b"cody 3"[1:] in (tmp_path / "data" / "quarantine" / name).read_bytes()


def test_an_unfinished_batch_is_no_damage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with RunningBroker(tmp_path / "data") as broker:
        publish(broker)
        broker.kill()
    (segment,) = (tmp_path / "data" / "log").iterdir()
    with segment.open("ab") as file:
        file.write(b"\xb5LvB torn")
    exit_code, report = examine(tmp_path / "data", capsys)
    assert (exit_code, report["unfinished_octets"]) == (0, 9)


@pytest.mark.parametrize(("name", "code"), [("nowhere", 66), ("foreign", 65)])
def test_what_is_no_data_directory_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, code: int
) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "photo.jpg").write_bytes(b"\xff")
    assert main(["doctor", str(tmp_path / name)]) == code
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "nowhere").exists()


def test_without_a_directory_it_says_how_it_is_used() -> None:
    result = subprocess.run([sys.executable, "-m", "broker", "doctor"], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("leveret doctor: ")
