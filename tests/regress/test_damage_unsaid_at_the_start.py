"""After an orderly stop the log is not read at the start but for queues that must see their messages. What was damaged
meanwhile was left out there without a word.
"""

from pathlib import Path

import pika

from tests.brokers import RunningBroker

PERSISTENT = pika.BasicProperties(delivery_mode=2, priority=1)
COUNT, OCTETS = 18, 1 << 20  # a log that is long enough to have its index written


def test_what_a_priority_queue_lost_is_logged_and_all_else_is_there(tmp_path: Path) -> None:
    data = tmp_path / "data"
    bodies = [b"%02d" % number * (OCTETS // 2) for number in range(COUNT)]
    with RunningBroker(data) as broker:
        with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.queue_declare("q", durable=True, arguments={"x-max-priority": 2})
            for body in bodies:
                channel.basic_publish("", "q", body, PERSISTENT)
        broker.stop()
        assert (data / "index").exists()
        (segment,) = (data / "log").iterdir()
        octets = segment.read_bytes()
        at = octets.index(b"07" * 100)
        segment.write_bytes(octets[:at] + b"x" + octets[at + 1 :])
        broker.start()
        told = broker.events("messages cannot be read back")
        assert told
        assert all(event["level"] == "error" for event in told)
        assert "are lost" in str(told[0]["damage"])
        with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
            channel = connection.channel()
            found = [channel.basic_get("q", auto_ack=True)[2] for _ in range(COUNT)]
        assert found == [*bodies[:7], *bodies[8:], None]
