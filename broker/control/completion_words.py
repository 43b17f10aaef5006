"""What there is to complete, before it becomes a shell's script: commands, verbs, options and their values."""

from collections.abc import Mapping
from typing import Final, NamedTuple

COMMANDS: Final[Mapping[str, str]] = {
    "serve": "Run the broker",
    "ctl": "Command a running broker, as rabbitmqctl and rabbitmq-diagnostics",
    "admin": "rabbitmqadmin",
    "plugins": "rabbitmq-plugins",
    "doctor": "Look at a data directory",
    "install-names": "Make links with RabbitMQ's names",
    "completion": "Write this for a shell",
}
"""The first arguments of the command, and what they do."""

SHELLS: Final = ("bash", "zsh", "fish")
TOOLS: Final = {
    "ctl": ("rabbitmqctl", "rabbitmq-diagnostics", "rabbitmq-queues", "rabbitmq-streams", "rabbitmq-upgrade"),
    "plugins": ("rabbitmq-plugins",),
    "admin": ("rabbitmqadmin",),
}
"""Commands that have verbs, and the names under which they are called as well."""


class Flag(NamedTuple):
    """An option: its name without hyphens, what it takes (nothing, anything, one of some words), and what it does."""

    name: str
    is_switch: bool = False
    choices: tuple[str, ...] = ()
    text: str = ""


class Word(NamedTuple):
    """A verb, its own options and the words that may follow it."""

    text: str
    flags: tuple[Flag, ...] = ()
    following: tuple[str, ...] = ()


class Tool(NamedTuple):
    """A command with verbs, and the options of every verb."""

    words: Mapping[str, Word]
    common: tuple[Flag, ...]
