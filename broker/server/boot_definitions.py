"""Definitions that are imported at every start, from a JSON file or a directory of them. RabbitMQ: Definition Export.

They are in force before the first client is let in. Where they are given, no default user is made, unless they leave
the broker without any user and virtual host.
"""

import json
from pathlib import Path
from typing import Final

import structlog

from broker.core.access.errors import AccessError
from broker.core.definitions_file import import_definitions
from broker.core.policies.keys import PolicyError
from broker.server.broker import Broker
from protocol.errors import AmqpError

log = structlog.get_logger("leveret.definitions")

_KEPT_ONLY: Final = ("shovel", "federation-upstream", "federation-upstream-set")
"""Parameters that definitions may bring, so that those of a RabbitMQ come over, and that do nothing here."""


class DefinitionsError(Exception):
    """Definitions that cannot be imported; one line that says which and why. Nothing of that file is in force."""

    exit_code: Final = 65


def load_definitions(node: Broker, path: Path) -> None:
    """Import the file, or all ``*.json`` of the directory in the order of their names. Raises DefinitionsError."""
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    for file in files:
        try:
            definitions = json.loads(file.read_text(encoding="utf-8"))
            import_definitions(node.access_control, node.parameters, definitions)
        except OSError as error:
            raise DefinitionsError(f"load_definitions: cannot read {str(file)!r} ({error.strerror})") from None
        except (ValueError, RecursionError) as error:
            raise DefinitionsError(f"load_definitions: {str(file)!r} is no JSON ({error})") from None
        except (AccessError, PolicyError, AmqpError) as error:
            text = error.detail if isinstance(error, AmqpError) else " ".join(str(error).split())
            raise DefinitionsError(f"load_definitions: {str(file)!r}: {text}") from None
        log.info("definitions imported", file=str(file))
    warn_of_idle_parameters(node)
    node.make_default_if_empty()
    node.store.flush()


def warn_of_idle_parameters(node: Broker) -> None:
    """Log shovels and federation upstreams that definitions have brought: this broker connects to no other."""
    for key, _ in node.parameters.listed():
        if key.component in _KEPT_ONLY:
            log.warning("kept, but without effect", component=key.component, name=key.name, vhost=key.vhost)
