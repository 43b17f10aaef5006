"""Data in the volume: kept when the container is removed, killed, or replaced by a new one."""

from collections.abc import Callable

import pika

from tests.container.engine import Container

MOUNTED = "/var/lib/rabbitmq"
PERSISTENT = pika.BasicProperties(delivery_mode=2)


def fill(container: Container, count: int) -> None:
    """Publish messages, each confirmed, to the durable queue ``kept``."""
    with container.connect() as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("kept", durable=True)
        for number in range(count):
            channel.basic_publish("", "kept", b"%d" % number, PERSISTENT)


def drain(container: Container) -> list[int]:
    """Take all messages out of ``kept``."""
    with container.connect() as connection:
        channel = connection.channel()
        count = channel.queue_declare("kept", durable=True).method.message_count
        return [int(channel.basic_get("kept", auto_ack=True)[2]) for _ in range(count)]


def test_data_are_kept_over_rm_and_run(run: Callable[..., Container], volume: str) -> None:
    first = run(f"--volume={volume}:{MOUNTED}")
    fill(first, 20)
    assert first.stop()[0] == 0
    first.remove()
    second = run(f"--volume={volume}:{MOUNTED}")
    assert drain(second) == list(range(20))


def test_data_are_kept_over_kill(run: Callable[..., Container], volume: str) -> None:
    first = run(f"--volume={volume}:{MOUNTED}")
    fill(first, 20)
    first.signal("KILL")
    assert first.wait_end() == 137
    first.remove()
    second = run(f"--volume={volume}:{MOUNTED}")
    assert drain(second) == list(range(20))


def test_data_are_kept_over_kill_and_start(run: Callable[..., Container]) -> None:
    container = run()
    fill(container, 5)
    container.signal("KILL")
    container.wait_end()
    container.engine.command("start", container.container_id)
    container.wait_ready(starts=2)
    assert drain(container) == list(range(5))


def test_two_containers_do_not_share_a_volume(run: Callable[..., Container], volume: str) -> None:
    run(f"--volume={volume}:{MOUNTED}")
    second = run(f"--volume={volume}:{MOUNTED}", is_awaited=False)
    assert second.wait_end() == 69
    assert "in use" in second.logs
