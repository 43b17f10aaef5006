"""``leveret install-names DIR``: links by which the command is called as RabbitMQ's are, for a container image."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from broker.control.failures import DATA, OK, USAGE

NAMES: Final = (
    "rabbitmqctl",
    "rabbitmq-diagnostics",
    "rabbitmqadmin",
    "rabbitmq-plugins",
    "rabbitmq-queues",
    "rabbitmq-streams",
    "rabbitmq-upgrade",
    "rabbitmq-server",
)
"""RabbitMQ's commands that this one answers as."""


def install(arguments: Sequence[str]) -> int:
    """Make the links; what is there under such a name and is no link of ours stays, and is an error."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("Usage: leveret install-names DIR\n\nMakes links to this command in DIR: " + ", ".join(NAMES))  # noqa: T201
        return OK if arguments in (["--help"], ["-h"]) else USAGE
    directory, target = Path(arguments[0]), Path(sys.argv[0]).resolve()
    try:
        for name in NAMES:
            link = directory / name
            if link.is_symlink() and link.resolve() == target:
                continue
            os.symlink(target, link)
    except OSError as error:
        print(f"leveret install-names: {error.filename2 or error.filename}: {error.strerror}", file=sys.stderr)  # noqa: T201
        return DATA
    return OK
