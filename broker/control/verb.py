"""A verb of the command line as data, and what its function gets to work with."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from broker.control.client import Client
from broker.control.failures import DATA, Failure, Refused, UsageFailure
from broker.control.output import Output

NO_OPTIONS: Final[Mapping[str, str]] = MappingProxyType({})


class Session:
    """One call of one verb: its arguments and options, whom to ask and where to write."""

    __slots__ = ("arguments", "client", "known_node", "options", "output", "verb")

    def __init__(
        self, verb: "Verb", arguments: list[str], options: Mapping[str, str], client: Client, output: Output
    ) -> None:
        self.verb = verb
        self.arguments = arguments
        self.options = options
        self.client = client
        self.output = output
        self.known_node = ""

    @property
    def vhost(self) -> str:
        """The virtual host that ``-p`` names, else ``/``."""
        return self.options.get("vhost", "/")

    @property
    def node(self) -> str:
        """The name of the node that answers. Asks for it once, if ``-n`` did not give it."""
        if not self.known_node:
            given = self.options.get("node", "")
            self.known_node = given or str(self.facts()["node"])
        return self.known_node

    def facts(self) -> dict[str, Any]:
        """Return what every node tells of itself: node, listeners (each with port and protocol), running."""
        if self.client.place.is_local:
            facts: dict[str, Any] = self.client.control("status")
            return facts
        overview = self.client.get("overview")
        return {
            "node": overview["node"],
            "release": overview["rabbitmq_version"],
            "is_running": True,
            "listeners": [each for each in overview.get("listeners", ()) if each.get("protocol") != "clustering"],
        }

    def doing(self, text: str) -> None:
        """Say what is being done."""
        self.output.doing(text)

    def wrong(self, text: str) -> UsageFailure:
        """Return the failure for an argument that makes no sense."""
        return UsageFailure(text, self.verb.usage_line)


class Verb(NamedTuple):
    """What may be asked for. ``most`` None is any number of arguments.

    ``options`` are long names: to what they take, "" for a switch.
    """

    name: str
    usage: str
    summary: str
    run: Callable[[Session], int | None]
    least: int = 0
    most: int | None = 0
    options: Mapping[str, str] = NO_OPTIONS
    group: str = "Other"

    @property
    def usage_line(self) -> str:
        """The verb with its arguments."""
        return f"{self.name} {self.usage}".rstrip()


def grouped(group: str, *verbs: Verb) -> tuple[Verb, ...]:
    """Return verbs as those of one group, under whose name the help has them."""
    return tuple(verb._replace(group=group) for verb in verbs)


def found_or(session: Session, exit_code: int, text: str, *path: str) -> Any:
    """Return what is at a path. Raises Failure with ``exit_code`` and ``text`` where there is nothing."""
    return failing(404, exit_code, text, lambda: session.client.get(*path))


def failing(status: int, exit_code: int, text: str, ask: Callable[[], Any]) -> Any:
    """Return what ``ask`` does. Raises Failure with a code and words of our own where the answer is ``status``."""
    try:
        return ask()
    except Refused as refused:
        if refused.status != status:
            raise
        raise Failure(exit_code, text) from None


def need_vhost(session: Session, exit_code: int = DATA, name: str | None = None) -> None:
    """Raise Failure with ``exit_code`` where the virtual host does not exist: that of ``name``, else that of ``-p``."""
    name = session.vhost if name is None else name
    found_or(session, exit_code, f"Virtual host '{name}' does not exist", "vhosts", name)
