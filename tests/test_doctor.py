"""``leveret doctor`` on directories in every state: what it says, its exit code, and that nothing changes."""

import json
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pika
import pytest

from broker.cli import main
from tests.brokers import RunningBroker

PERSISTENT = pika.BasicProperties(delivery_mode=2)


def contents(directory: Path) -> dict[str, tuple[int, int, str]]:
    """Of everything in the tree: what it is and may, when it was changed, and a hash of what is in it."""
    found = {}
    for path in [directory, *sorted(directory.rglob("*"))]:
        about = path.stat()
        octets = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (about.st_mode, about.st_mtime_ns, sha256(octets).hexdigest())
    return found


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


def test_live_and_dead_octets_are_told_by_segment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    with RunningBroker(data, "--segment-octets", "100000") as broker:
        with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            for queue in ("kept", "taken"):
                channel.queue_declare(queue, durable=True)
            for queue in ["kept", "taken", "kept", "taken", "kept"] * 10:
                channel.basic_publish("", queue, bytes(8000), PERSISTENT)
            for _ in range(18):
                channel.basic_get("taken", auto_ack=True)
        broker.stop()
    exit_code, report = examine(data, capsys)
    segments = report["segments"]
    assert exit_code == 0
    assert messages_of(report) == {"kept": 30, "taken": 2}
    assert len(segments) >= 3
    assert [each["number"] for each in segments] == list(range(segments[0]["number"], segments[-1]["number"] + 1))
    for each in segments:
        assert each["octets"] == each["live_octets"] + each["dead_octets"]
        assert (data / "log" / f"{each['number']:020d}.segment").stat().st_size == each["octets"]
    for name in ("octets", "live_octets", "dead_octets"):
        assert report[name] == sum(each[name] for each in segments)
    assert 32 * 8000 < report["live_octets"] < 34 * 8000
    assert 17 * 8000 < report["dead_octets"] < 20 * 8000
    assert all(each["live_octets"] for each in segments[:-1])
    assert segments[0]["dead_octets"] > segments[0]["octets"] // 3, "of five messages two were taken"
    assert main(["doctor", str(data)]) == 0
    text = capsys.readouterr().out
    for each in segments:
        assert f"segment {each['number']}: {each['octets']:,} octets" in text
        assert f"{each['live_octets']:,} live, {each['dead_octets']:,} dead" in text
    assert "queue 'kept' in '/': 30 messages" in text


def test_beside_a_broker_that_does_nothing_nothing_changes_either(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with RunningBroker(tmp_path / "data") as broker:
        publish(broker)
        broker.process.send_signal(signal.SIGSTOP)
        try:
            exit_code, report = examine(tmp_path / "data", capsys)
        finally:
            broker.process.send_signal(signal.SIGCONT)
    assert (exit_code, report["state"]) == (0, "in use")


def test_each_damaged_file_is_told_by_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    with RunningBroker(data) as broker:
        publish(broker)
        broker.stop()
    for folder in ("log", "definitions"):
        (segment,) = (data / folder).iterdir()
        octets = segment.read_bytes()
        for at in (5, len(octets) // 2, len(octets) - 1):  # in the header, in the middle, at the end
            segment.write_bytes(octets[:at] + bytes([octets[at] ^ 16]) + octets[at + 1 :])
            exit_code, report = examine(data, capsys)
            assert (exit_code, report["is_sound"]) == (1, False), (folder, at)
            assert any(what.startswith(("log", folder)) for what in report["damage"])
            assert report["damaged_places"]
        segment.write_bytes(octets)
    assert examine(data, capsys)[0] == 0


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
