"""The workloads whose queues, idle queues, consumers, bindings or priorities grow in the series."""

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle

from bench import wire
from bench.client import Client
from bench.messages import Chunk, Stream
from bench.pipeline import call_many
from bench.workloads import Workload

BODY = bytes(range(128))
CHUNK_MESSAGES = 1000
CHUNK_COUNT = 10
MESSAGE_ID_FLAG = 0x0080
PRIORITY_FLAG = 0x0800
_digits = struct.Struct("6c")


def _content(number: int, priority: int | None = None) -> bytes:
    """Content of message ``number``; all are equally long."""
    message_id = wire.encode_shortstr(f"{number:016x}")
    if priority is None:
        return wire.encode_content(MESSAGE_ID_FLAG, message_id, BODY)
    return wire.encode_content(PRIORITY_FLAG | MESSAGE_ID_FLAG, bytes([priority]) + message_id, BODY)


def _stream(messages: list[bytes]) -> Stream:
    chunks: list[Chunk] = [
        (b"".join(messages[first : first + CHUNK_MESSAGES]), CHUNK_MESSAGES)
        for first in range(0, len(messages), CHUNK_MESSAGES)
    ]
    return Stream(cycle(chunks), [BODY])


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowingQueues(Workload):
    """``size`` queues with a consumer each, all on one channel; each message goes to one of them by chance."""

    size: int

    def queue_name(self, index: int) -> str:
        return f"bench-{self.name}-{index % self.queues:06}"

    def subscriptions(self, consumer_index: int) -> list[tuple[str, str]]:
        return [(self.queue_name(index), f"c{index:06}") for index in range(self.queues)]

    def stream(self, producer_index: int) -> Stream:
        source = random.Random(self.size)
        publishes = [wire.encode_publish("", self.queue_name(index)) for index in range(self.queues)]
        return _stream([source.choice(publishes) + _content(number) for number in range(CHUNK_MESSAGES * CHUNK_COUNT)])


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowingIdle(Workload):
    """One queue in use, and ``size`` others that are empty and have no consumer."""

    size: int

    def idle_names(self) -> list[str]:
        return [f"bench-{self.name}-unused-{index:06}" for index in range(self.size)]

    def stream(self, producer_index: int) -> Stream:
        publish = wire.encode_publish("", self.queue_name(0))
        return _stream([publish + _content(number) for number in range(CHUNK_MESSAGES * CHUNK_COUNT)])

    def declare(self, client: Client) -> None:
        # The zero argument of super() looks in the class before slots were added to it.
        Workload.declare(self, client)
        call_many(client, (client.encode_declare(name) for name in self.idle_names()))

    def remove(self, client: Client) -> None:
        Workload.remove(self, client)
        call_many(client, (client.encode_delete(name) for name in self.idle_names()))


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowingConsumers(Workload):
    """``size`` consumers of one queue, all on one channel."""

    size: int

    def subscriptions(self, consumer_index: int) -> list[tuple[str, str]]:
        return [(self.queue_name(0), f"c{index:06}") for index in range(self.size)]

    def stream(self, producer_index: int) -> Stream:
        publish = wire.encode_publish("", self.queue_name(0))
        return _stream([publish + _content(number) for number in range(CHUNK_MESSAGES * CHUNK_COUNT)])


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowingPriorities(Workload):
    """A queue with ``size`` priorities; each message has one of them by chance."""

    size: int

    def queue_arguments(self) -> dict[str, wire.FieldValue]:
        return {"x-max-priority": self.size}

    def stream(self, producer_index: int) -> Stream:
        source = random.Random(self.size)
        publish = wire.encode_publish("", self.queue_name(0))
        return _stream(
            [publish + _content(number, source.randint(0, self.size)) for number in range(CHUNK_MESSAGES * CHUNK_COUNT)]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowingBindings(Workload):
    """``size`` bindings on 10 queues; each message matches one, by a key that does not come again for long."""

    size: int

    def subscriptions(self, consumer_index: int) -> list[tuple[str, str]]:
        return [(self.queue_name(index), f"c{index:06}") for index in range(self.queues)]

    def bindings(self) -> list[str]:
        forms = ["eu.order.s{:06}.#", "*.*.s{:06}.*.end", "eu.*.s{:06}.*.*", "#.s{:06}.*.end"]
        return [forms[word % 4].format(word) for word in range(self.size)]

    def bind(self, client: Client) -> None:
        call_many(
            client,
            (
                client.encode_bind(self.queue_name(index), self.exchange, pattern)
                for index, pattern in enumerate(self.bindings())
            ),
        )

    def stream(self, producer_index: int) -> Stream:
        return Stream(self._chunks(), [BODY])

    def _chunks(self) -> Iterator[Chunk]:
        """The six digits of a chunk's number are written into its keys each time it is sent."""
        source = random.Random(self.size)
        messages = [
            wire.encode_publish(self.exchange, f"eu.order.s{source.randrange(self.size):06}.000000{number:05}.end")
            + _content(number)
            for number in range(CHUNK_MESSAGES * CHUNK_COUNT)
        ]
        step, digits_at = len(messages[0]), messages[0].index(b".000000") + 1
        chunks = [
            bytearray().join(messages[first : first + CHUNK_MESSAGES])
            for first in range(0, len(messages), CHUNK_MESSAGES)
        ]
        number = 0
        while True:
            for chunk in chunks:
                for place, digit in enumerate(_digits.unpack(b"%06d" % (number % 1_000_000))):
                    chunk[digits_at + place :: step] = digit * CHUNK_MESSAGES
                yield chunk, CHUNK_MESSAGES
            number += 1
