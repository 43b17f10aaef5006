"""What is published: pre-encoded octets, in chunks that one send hands to the kernel.

A chunk is whole messages (publish method, content header, content body) and their number. Everything is made
before the run; only the topic stream changes digits of its keys between sends, so that no key ever comes
again.
"""

import json
import random
import struct
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle

from bench import wire

Chunk = tuple[bytes | bytearray, int]
"""Octets to send, and the messages in them."""

PERSISTENT_FLAGS = 0x1000
CELERY_FLAGS = 0x8000 | 0x4000 | 0x2000 | 0x1000 | 0x0800 | 0x0400 | 0x0200
"""content-type, content-encoding, headers, delivery-mode, priority, correlation-id, reply-to."""

TOPIC_WORDS = 1000
CELERY_MESSAGES = 4000


@dataclass(frozen=True, slots=True)
class Stream:
    """An endless stream of chunks and the bodies that it repeats, in order."""

    chunks: Iterator[Chunk]
    bodies: list[bytes]


def same_messages(exchange: str, routing_key: str, body_octets: int, *, persistent: bool, chunk_octets: int) -> Stream:
    """One message again and again; at least one in a chunk."""
    body = random.Random(body_octets).randbytes(body_octets)
    flags, properties = (PERSISTENT_FLAGS, b"\x02") if persistent else (0, b"")
    message = wire.encode_publish(exchange, routing_key) + wire.encode_content(flags, properties, body)
    count = max(1, chunk_octets // len(message))
    return Stream(cycle([(message * count, count)]), [body])


def celery_messages(
    exchange: str, routing_key: str, *, persistent: bool, chunk_octets: int, priorities: Sequence[int] = (0,)
) -> Stream:
    """4,000 messages as Celery's task protocol 2 writes them, each with ids, headers, size of its own."""
    source = random.Random(2)
    publish = wire.encode_publish(exchange, routing_key)
    bodies, messages = [], []
    for number in range(CELERY_MESSAGES):
        properties, body = _celery_task(source, number, 2 if persistent else 1, source.choice(priorities))
        bodies.append(body)
        messages.append(publish + wire.encode_content(CELERY_FLAGS, properties, body))
    return Stream(cycle(list(_cut_chunks(messages, chunk_octets))), bodies)


def _cut_chunks(messages: list[bytes], chunk_octets: int) -> Iterator[Chunk]:
    chunk: list[bytes] = []
    octets = 0
    for message in messages:
        chunk.append(message)
        octets += len(message)
        if octets >= chunk_octets:
            yield b"".join(chunk), len(chunk)
            chunk, octets = [], 0
    if chunk:
        yield b"".join(chunk), len(chunk)


def _celery_task(source: random.Random, number: int, delivery_mode: int, priority: int) -> tuple[bytes, bytes]:
    """Properties and body of one task message; sizes are log-normal, median about 200 octets of argument."""
    task_id, root_id, reply_to = (str(uuid.UUID(int=source.getrandbits(128), version=4)) for _ in range(3))
    text_octets = min(8000, int(source.lognormvariate(5.3, 1.0)))
    arguments = [number, source.randbytes(text_octets // 2).hex()]
    headers: dict[str, wire.FieldValue] = {
        "lang": "py",
        "task": source.choice(
            ["shop.tasks.send_mail", "shop.tasks.resize", "reports.build", "billing.tasks.charge_card"]
        ),
        "id": task_id,
        "shadow": None,
        "eta": None,
        "expires": None,
        "group": None,
        "group_index": None,
        "retries": source.choice([0, 0, 0, 1, 2]),
        "timelimit": [None, None],
        "root_id": root_id,
        "parent_id": source.choice([None, root_id]),
        "argsrepr": repr(tuple(arguments))[:100],
        "kwargsrepr": "{}",
        "origin": f"gen{source.randrange(1000, 99999)}@worker-{source.randrange(20)}",
        "ignore_result": False,
        "replaced_task_nesting": 0,
        "stamped_headers": None,
        "stamps": {},
    }
    body = json.dumps([arguments, {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]).encode()
    properties = (
        wire.encode_shortstr("application/json")
        + wire.encode_shortstr("utf-8")
        + wire.encode_table(headers)
        + bytes([delivery_mode, priority])
        + wire.encode_shortstr(task_id)
        + wire.encode_shortstr(reply_to)
    )
    return properties, body


def topic_patterns() -> list[str]:
    """1,000 binding keys, both wildcards among them; each key of ``topic_messages`` matches exactly one."""
    forms = ["eu.order.s{:03}.#", "*.*.s{:03}.*.end", "eu.*.s{:03}.*.*", "#.s{:03}.*.end"]
    return [forms[word % 4].format(word) for word in range(TOPIC_WORDS)]


def topic_messages(exchange: str, body_octets: int) -> Stream:
    """1,000 messages a chunk, each to another binding; a key comes again after 10^9 messages."""
    words = list(range(TOPIC_WORDS))
    random.Random(3).shuffle(words)
    body = random.Random(body_octets).randbytes(body_octets)
    content = wire.encode_content(0, b"", body)
    messages = [
        wire.encode_publish(exchange, f"eu.order.s{word:03}.000000{number:03}.end") + content
        for number, word in enumerate(words)
    ]
    digits_at = messages[0].index(b".000000") + 1
    return Stream(_topic_chunks(bytearray().join(messages), len(messages[0]), digits_at), [body])


def _topic_chunks(chunk: bytearray, step: int, digits_at: int) -> Iterator[Chunk]:
    number = 0
    while True:
        for place, digit in enumerate(struct.unpack("6c", b"%06d" % (number % 1_000_000))):
            chunk[digits_at + place :: step] = digit * TOPIC_WORDS
        yield chunk, TOPIC_WORDS
        number += 1
