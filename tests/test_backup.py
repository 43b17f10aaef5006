"""The copy of a running broker's data that docs/operating.md describes, made by its script while clients publish."""

import os
import re
import subprocess
import sysconfig
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pika

from tests.brokers import RunningBroker

PAGE = Path(__file__).parents[1] / "docs" / "operating.md"
SCRIPT = re.compile(r"```sh\n( *data=.*?)\n *```", re.DOTALL)
PLACES = "data=/var/lib/leveret copy=/backup/leveret"
SECONDS = 120
COUNT = 200
PERSISTENT = pika.BasicProperties(delivery_mode=2)


@contextmanager
def publisher(broker: RunningBroker, queue: str) -> Iterator[Callable[[int], None]]:
    """A function that publishes a number and returns when it is confirmed."""
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare(queue, durable=True)
        yield lambda number: channel.basic_publish("", queue, b"%d" % number, PERSISTENT)


def test_copy_of_a_working_broker_has_all_that_was_confirmed_before(
    start_broker: Callable[..., RunningBroker], tmp_path: Path
) -> None:
    found = SCRIPT.search(PAGE.read_text(encoding="utf-8"))
    assert found is not None
    script = textwrap.dedent(found[1])
    assert PLACES in script
    broker, copy = start_broker(), tmp_path / "copy"
    with publisher(broker, "before") as publish:
        for number in range(COUNT):
            publish(number)
    has_copied, has_begun = threading.Event(), threading.Event()

    def work() -> None:
        with publisher(broker, "meanwhile") as publish:
            while not has_copied.is_set():
                publish(0)
                has_begun.set()

    working = threading.Thread(target=work)
    working.start()
    try:
        assert has_begun.wait(SECONDS)
        done = subprocess.run(
            ["bash", "-c", script.replace(PLACES, f"data='{broker.data_dir}' copy='{copy}'")],
            capture_output=True,
            encoding="utf-8",
            env=os.environ | {"PATH": f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}"},
            timeout=SECONDS,
            check=False,
        )
    finally:
        has_copied.set()
        working.join(SECONDS)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    restored = RunningBroker(copy)
    with restored, pika.BlockingConnection(pika.URLParameters(restored.url)) as connection:
        channel = connection.channel()
        assert [int(channel.basic_get("before", auto_ack=True)[2]) for _ in range(COUNT)] == list(range(COUNT))
        channel.queue_declare("meanwhile", passive=True)
