"""A long recovery says how far it is; a quick one says nothing but that it is done."""

import subprocess
import sys
from pathlib import Path

import pika
from structlog.testing import capture_logs

from broker.server.clock import ManualClock
from broker.server.recovery_progress import INTERVAL_MS, RecoveryProgress
from tests.brokers import STOP_S, RunningBroker, clean_environment
from tests.storage.driving import Driver
from tests.storage.simulated_disk import SimulatedDisk

DIRECTORY = Path("/data")
IMPATIENT_START = """
import sys
from broker.server import recovery_progress
recovery_progress.INTERVAL_MS = 0
from broker.cli import main
main(sys.argv[1:])
"""


def test_one_line_an_interval_with_the_share_that_is_done() -> None:
    clock = ManualClock()
    with capture_logs() as lines:
        progress = RecoveryProgress(clock, "log, in octets")
        for done in range(0, 1001, 10):
            clock.advance(INTERVAL_MS // 20)
            progress.reached(done, 1000)
    assert [line["percent"] for line in lines] == [19, 39, 59, 79, 99]
    assert {(line["event"], line["log_level"], line["what"]) for line in lines} == {
        ("recovering", "info", "log, in octets")
    }
    assert [line["elapsed_ms"] for line in lines] == [INTERVAL_MS * each for each in range(1, 6)]


def test_what_is_quick_is_not_told() -> None:
    with capture_logs() as lines:
        progress = RecoveryProgress(ManualClock(), "messages into queues")
        progress.more(5, 10)
        progress.more(5, 10)
    assert lines == []


def test_the_store_tells_after_each_segment_and_reaches_the_end() -> None:
    disk = SimulatedDisk()
    driver = Driver(DIRECTORY, disk, 300)
    for step in range(5):
        driver.publish((1,), [b"body %d" % step] * 10)
        driver.wait_durable()
    told: list[tuple[int, int]] = []
    after = Driver(DIRECTORY, disk.after_kill(), 300, on_progress=lambda done, whole: told.append((done, whole)))
    assert len(told) == after.store.recovery.segments > 2
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert {whole for _, whole in told} == {after.store.recovery.octets}
    assert told[-1][0] == after.store.recovery.octets


def test_the_broker_logs_both_stages_before_it_is_ready(tmp_path: Path) -> None:
    with RunningBroker(tmp_path / "data") as broker:
        with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.queue_declare("q", durable=True)
            for _ in range(3):
                channel.basic_publish("", "q", b"x", pika.BasicProperties(delivery_mode=2))
        broker.kill()
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", IMPATIENT_START, "--host", "127.0.0.1", "--port", "0"),
            *("--data-dir", str(tmp_path / "data"), "--log-format", "json"),
        ],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env=clean_environment(),
    )
    try:
        assert process.stdout is not None
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if "Server startup complete" in line:
                break
    finally:
        process.terminate()
        process.communicate(timeout=STOP_S)
    whats = [what for line in lines for what in ("log, in octets", "messages into queues") if what in line]
    assert whats[0] == "log, in octets"
    assert whats[-1] == "messages into queues"
    (line,) = [line for line in lines if '"done": 3, "whole": 3' in line or '"done":3,"whole":3' in line]
    assert '"percent"' in line
