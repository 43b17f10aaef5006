"""The workloads: who publishes what to whom, as data. docs/performance.md explains each in words."""

from dataclasses import dataclass
from typing import Final, Literal

from bench import wire
from bench.client import Client
from bench.messages import Stream, celery_messages, same_messages, topic_messages, topic_patterns

DEFAULT_CHUNK_OCTETS: Final = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One workload; the same for every broker."""

    name: str
    title: str
    queues: int = 1
    producers: int = 1
    """Connections that publish."""
    consumers: int = 1
    """Connections that consume; the first takes the first queue and so on, round and round."""
    producer_processes: int = 1
    consumer_processes: int = 1
    exchange_type: Literal["", "fanout", "topic"] = ""
    """Empty: the default exchange."""
    messages: Literal["same", "celery"] = "same"
    priorities: tuple[int, ...] = (0,)
    """Each Celery-like message has one of these, by chance."""
    body_octets: int = 16
    is_durable: bool = False
    """Durable queues and persistent messages."""
    confirm_window: int = 0
    """Unconfirmed publishes a producer allows itself; 0: no confirms."""
    prefetch_count: int = 0
    """Single acknowledgements under this prefetch; 0: auto-ack."""
    chunk_octets: int = DEFAULT_CHUNK_OCTETS
    """Octets handed to one send; 1: one message a send."""
    waiting_limit: int = 100_000
    """Publishing pauses while more messages than this are between producers and consumers."""

    @property
    def copies(self) -> int:
        """Deliveries of each message."""
        return self.queues if self.exchange_type == "fanout" else 1

    @property
    def exchange(self) -> str:
        return f"bench-{self.name}" if self.exchange_type else ""

    def queue_name(self, index: int) -> str:
        """The queue of consumer or, with the default exchange, producer ``index``."""
        return f"bench-{self.name}-{index % self.queues}"

    def subscriptions(self, consumer_index: int) -> list[tuple[str, str]]:
        """Queue and consumer tag, equally long, of all consumers on connection ``consumer_index``."""
        return [(self.queue_name(consumer_index), "c")]

    def queue_arguments(self) -> dict[str, wire.FieldValue]:
        """Of each queue."""
        return {}

    def stream(self, producer_index: int) -> Stream:
        """What producer connection ``producer_index`` publishes."""
        if self.exchange_type == "topic":
            return topic_messages(self.exchange, self.body_octets)
        routing_key = "" if self.exchange_type else self.queue_name(producer_index)
        if self.messages == "celery":
            return celery_messages(
                self.exchange,
                routing_key,
                persistent=self.is_durable,
                chunk_octets=self.chunk_octets,
                priorities=self.priorities,
            )
        return same_messages(
            self.exchange,
            routing_key,
            self.body_octets,
            persistent=self.is_durable,
            chunk_octets=self.chunk_octets,
        )

    def remove(self, client: Client) -> None:
        """Delete its queues and exchange, if they are there."""
        for index in range(self.queues):
            client.delete_queue(self.queue_name(index))
        if self.exchange:
            client.delete_exchange(self.exchange)

    def declare(self, client: Client) -> None:
        """Make its queues, exchange and bindings anew."""
        self.remove(client)
        for index in range(self.queues):
            client.declare_queue(self.queue_name(index), durable=self.is_durable, arguments=self.queue_arguments())
        if not self.exchange:
            return
        client.declare_exchange(self.exchange, self.exchange_type)
        self.bind(client)

    def bind(self, client: Client) -> None:
        """Make its bindings."""
        patterns = topic_patterns() if self.exchange_type == "topic" else [""] * self.queues
        for index, pattern in enumerate(patterns):
            client.bind_queue(self.queue_name(index), self.exchange, pattern)

    def waiting_count(self, client: Client) -> int:
        """Messages ready in its queues."""
        return sum(
            client.declare_queue(self.queue_name(index), durable=self.is_durable, passive=True)
            for index in range(self.queues)
        )


WORKLOADS: Final = {
    workload.name: workload
    for workload in (
        Workload(name="A", title="transient, auto-ack, 16 B"),
        Workload(
            name="B",
            title="confirms + single acks, prefetch 1000, 16 B",
            confirm_window=2000,
            prefetch_count=1000,
        ),
        Workload(name="C", title="transient, auto-ack, 1 KiB", body_octets=1024, chunk_octets=1 << 17),
        Workload(
            name="D",
            title="durable, persistent, confirms + acks, 1 KiB",
            body_octets=1024,
            is_durable=True,
            confirm_window=2000,
            prefetch_count=1000,
        ),
        Workload(
            name="E",
            title="10 producers, 10 consumers, 5 queues, one message a send, acks, 128 B",
            queues=5,
            producers=10,
            consumers=10,
            producer_processes=2,
            body_octets=128,
            prefetch_count=1000,
            chunk_octets=1,
        ),
        Workload(
            name="V",
            title="Celery-like, durable, confirms + acks",
            messages="celery",
            is_durable=True,
            confirm_window=2000,
            prefetch_count=1000,
        ),
        Workload(name="W", title="Celery-like, transient, auto-ack", messages="celery"),
        Workload(
            name="M",
            title="as W with mixed priorities",
            messages="celery",
            priorities=(0, 0, 0, 5),
        ),
        Workload(
            name="F",
            title="fanout to 10 queues, 10 consumers, auto-ack, 16 B (deliveries)",
            queues=10,
            consumers=10,
            exchange_type="fanout",
        ),
        Workload(
            name="G",
            title="topic, 1,000 bindings on 10 queues, keys that hardly repeat, auto-ack, 16 B",
            queues=10,
            consumers=10,
            exchange_type="topic",
        ),
    )
}
