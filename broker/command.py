"""The way in for every command: to the broker, or to what an operator asks of it, by name or by first argument.

Which of the two it is decides what is loaded: a broker takes a third of a second of it, a health check must not.
Called under the name of one of RabbitMQ's commands (a link, as in the container image), it answers as that one.
"""

import os
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from broker.control.names import NAMES, install
from broker.loading import loading_quickly

if TYPE_CHECKING:
    from broker.control.completion_words import Flag

CONFIGURATION: Final[Mapping[str, Path]] = {
    "RABBITMQ_CONFIG_FILE": Path("/etc/rabbitmq/rabbitmq.conf"),
    "RABBITMQ_CONFIG_FILES": Path("/etc/rabbitmq/conf.d"),
}
"""Where RabbitMQ's packages and images have it, by the variable that names another place."""


def main(arguments: Sequence[str] | None = None, name: str | None = None) -> int:
    """Run the command; return the exit code. ``name`` is the one that it is called under."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    called = Path(sys.argv[0] if name is None else name).name.removesuffix(".exe")
    if called in NAMES and called != "rabbitmq-server":
        return operate(called, given)
    first = given[0] if given else ""
    if first == "ctl":
        return operate("leveret ctl", given[1:])
    if first == "admin":
        return operate("rabbitmqadmin", given[1:], "leveret admin")
    if first == "plugins":
        return operate("rabbitmq-plugins", given[1:], "leveret plugins")
    if first == "install-names":
        return install(given[1:])
    if first == "completion":
        from broker.control.completion import show

        return show(given[1:], serve_flags)
    if called == "rabbitmq-server":
        find_configuration(os.environ)
    if arguments is None and first != "doctor":
        leave_when_told()
    with loading_quickly():
        from broker import cli

    return cli.main([each for each in given if each != "-detached"] if called == "rabbitmq-server" else given)


def find_configuration(environment: MutableMapping[str, str]) -> None:
    """Name RabbitMQ's own configuration where it lies, unless something else is named: who starts that, wants it read.

    As ``leveret`` it is not looked for: a RabbitMQ beside may have it for itself.
    """
    for variable, path in CONFIGURATION.items():
        if os.path.exists(path):
            environment.setdefault(variable, str(path))


def serve_flags() -> "Sequence[Flag]":
    """Return the broker's own flags, for a shell to complete."""
    from broker.cli import flags

    return flags()


def completion_for(shell: str) -> str:
    """Return what a shell completes all commands by; "" for a shell that is not known."""
    from broker.control.completion import script

    return script(shell, serve_flags)


def leave_when_told() -> None:
    """End at once, and well, when told to while loading, which is most of a start: nothing has been done so far.

    Process 1 of a container would not even hear of it. The lifecycle takes the signals over.
    """
    import signal

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))


def operate(what: str, arguments: list[str], program: str | None = None) -> int:
    """Run one of the operator's commands."""
    if what == "rabbitmqadmin":
        from broker.control.admin import main as admin

        return admin(arguments, program or what, completion_for)
    if what == "rabbitmq-plugins":
        from broker.control.plugins import main as plugins

        return plugins(arguments, program or what)
    from broker.control.commands import main as verbs

    return verbs(arguments, program or what)
