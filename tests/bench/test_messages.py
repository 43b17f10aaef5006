"""What is published is valid AMQP and varies as it claims."""

import re
from itertools import islice

from pamqp import base, body, commands, frame, header

from bench.messages import (
    CELERY_MESSAGES,
    TOPIC_WORDS,
    celery_messages,
    same_messages,
    topic_messages,
    topic_patterns,
)

Message = tuple[commands.Basic.Publish, header.ContentHeader, bytes]


def _decode(octets: bytes) -> list[Message]:
    """By pamqp, so that an independent decoder judges."""
    frames: list[object] = []
    while octets:
        used, channel, decoded = frame.unmarshal(octets)
        assert channel == 1
        frames.append(decoded)
        octets = octets[used:]
    messages: list[Message] = []
    for publish, content, payload in zip(frames[::3], frames[1::3], frames[2::3], strict=True):
        assert isinstance(publish, commands.Basic.Publish)
        assert isinstance(content, header.ContentHeader)
        assert isinstance(payload, body.ContentBody)
        assert isinstance(publish, base.Frame)
        assert content.body_size == len(payload.value or b"")
        messages.append((publish, content, payload.value or b""))
    return messages


def test_same_messages_fill_the_chunk_with_one_message() -> None:
    stream = same_messages("", "q", 16, persistent=True, chunk_octets=1000)
    octets, count = next(stream.chunks)
    messages = _decode(bytes(octets))
    assert len(octets) <= 1000
    assert len(messages) == count > 10
    assert {(publish.exchange, publish.routing_key) for publish, _, _ in messages} == {("", "q")}
    assert {content.properties.delivery_mode for _, content, _ in messages} == {2}
    assert [payload for _, _, payload in messages] == stream.bodies * count


def test_celery_messages_differ_in_ids_headers_and_size() -> None:
    stream = celery_messages("", "celery", persistent=True, chunk_octets=1 << 16)
    messages: list[Message] = []
    while len(messages) < CELERY_MESSAGES:
        octets, count = next(stream.chunks)
        decoded = _decode(bytes(octets))
        assert len(decoded) == count
        messages += decoded
    assert [payload for _, _, payload in messages] == stream.bodies
    properties = [content.properties for _, content, _ in messages]
    assert len({properties.correlation_id for properties in properties}) == CELERY_MESSAGES
    assert len({properties.reply_to for properties in properties}) == CELERY_MESSAGES
    assert all((one.headers or {})["id"] == one.correlation_id for one in properties)
    assert len({len(payload) for payload in stream.bodies}) > 100
    assert {one.delivery_mode for one in properties} == {2}


def test_topic_keys_hardly_repeat_and_match_one_pattern_each() -> None:
    stream = topic_messages("t", 16)
    keys: list[str] = []
    for octets, count in islice(stream.chunks, 3):
        messages = _decode(bytes(octets))
        assert count == len(messages) == TOPIC_WORDS
        keys += [publish.routing_key for publish, _, _ in messages]
    assert len(set(keys)) == 3 * TOPIC_WORDS
    expressions = [_expression(pattern) for pattern in topic_patterns()]
    for key in keys[:: TOPIC_WORDS // 7]:
        assert sum(bool(expression.fullmatch(key)) for expression in expressions) == 1


def _expression(pattern: str) -> re.Pattern[str]:
    """Good for patterns whose ``#`` stands at an end and for at least one word."""
    return re.compile(pattern.replace(".", r"\.").replace("*", r"[^.]+").replace("#", ".+"))
