"""rabbitmqadmin's second version, as far as its arguments differ: ``--routing-key k`` for ``routing_key=k``.

They are made into those of the first, for what scripts call: declare, delete, purge, close, publish and get. RabbitMQ:
rabbitmqadmin v2.
"""

from collections.abc import Collection, Sequence
from typing import Final

SUBCOMMANDS: Final = ("declare", "delete", "purge", "close", "publish", "get")
NOUNS: Final = {"publish": "message", "get": "messages"}
"""What stands behind a subcommand that has one object only."""
KINDS: Final = {"permissions": "permission"}
KEYS: Final = {"ack_mode": "ackmode", "apply_to": "apply-to"}
"""What is not the option's name with another sign between its words."""


def in_first_form(arguments: Sequence[str], switches: Collection[str], valued: Collection[str]) -> list[str]:
    """Return a command line in the first version's form; one that is in it already stays as it is.

    ``switches`` and ``valued`` are the options that the first version knows, with their hyphens; these take a value.
    """
    place = subcommand_at(arguments, valued)
    if place is None or arguments[place] not in SUBCOMMANDS:
        return list(arguments)
    subcommand, *tail = arguments[place:]
    if not any(word.startswith("--") and word.partition("=")[0] not in (*switches, *valued) for word in tail):
        return list(arguments)
    if tail[:1] == [NOUNS.get(subcommand)]:
        del tail[0]
    elif tail and not tail[0].startswith("-"):
        tail[0] = KINDS.get(tail[0], tail[0])
    kind = tail[0] if tail else ""
    return [*arguments[:place], subcommand, *pairs(tail, kind)]


def subcommand_at(arguments: Sequence[str], valued: Collection[str]) -> int | None:
    """Return where the first word is that is neither an option nor an option's value."""
    is_value = False
    for place, word in enumerate(arguments):
        if not is_value and not word.startswith("-"):
            return place
        is_value = not is_value and word in valued
    return None


def pairs(words: Sequence[str], kind: str) -> list[str]:
    """Return options and their values as ``key=value``. A virtual host stays an option, unless it is what is meant."""
    made: list[str] = []
    rest = iter(words)
    for word in rest:
        if not word.startswith("--"):
            made.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        if not equals:
            following = next(rest, None)
            if following is None:
                made.append(name)
                continue
            value = following
        key = KEYS.get(name.replace("-", "_"), name.replace("-", "_"))
        if kind == "queue" and key == "type":
            key = "queue_type"
        made.append(f"--vhost={value}" if key == "vhost" else f"{key}={value}")
    return made
