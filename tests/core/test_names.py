"""Server-made names, and names as clients may send them."""

import re
from random import Random

import pytest

from broker.core.names import ConsumerTags, QueueNames, is_reserved, stripped


def test_queue_names_have_rabbitmqs_form() -> None:
    names = QueueNames(Random(1))
    made = {names.new() for _ in range(200)}
    assert len(made) == 200
    assert all(re.fullmatch(r"amq\.gen-[A-Za-z0-9_-]{22}", name) for name in made)


def test_consumer_tags_have_rabbitmqs_form() -> None:
    assert re.fullmatch(r"amq\.ctag-[A-Za-z0-9_-]{22}", ConsumerTags(Random(1)).new())


def test_names_repeat_with_the_seed() -> None:
    assert QueueNames(Random(5)).new() == QueueNames(Random(5)).new()


@pytest.mark.parametrize(("sent", "kept"), [("a\r\nb", "ab"), ("\n", ""), ("a b\t|é\x00", "a b\t|é\x00"), ("", "")])
def test_line_breaks_are_stripped_and_nothing_else(sent: str, kept: str) -> None:
    assert stripped(sent) == kept


def test_reserved_are_names_that_start_with_the_prefix() -> None:
    assert is_reserved("amq.x")
    assert not is_reserved("amqx")
    assert not is_reserved("AMQ.x")
