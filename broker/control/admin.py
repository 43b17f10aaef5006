"""``rabbitmqadmin`` with the arguments of its first version: ``declare queue name=q``, ``publish``, ``get``, ``list``.

Those of the second are made into them (admin_options.py), and what only that has is in admin_second.py.
It talks HTTP as that one does, as guest to localhost:15672, and prints its words. RabbitMQ: Management CLI.
"""

import argparse
import base64
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import urlencode

from broker.control import admin_help, admin_second
from broker.control.admin_connection import FAILED, TIMEOUT_S, configured, url_of
from broker.control.admin_kinds import CLOSED, DECLARED, DELETED, GET, PUBLISH, PURGED, STREAM_ARGUMENTS, Kind
from broker.control.admin_options import GROUPS, OTHER_GROUPS, in_first_form
from broker.control.client import Client, Place
from broker.control.failures import Failure, Refused
from broker.control.tables import show

DEFAULT_VHOST: Final = "/"

LISTS: Final[Mapping[str, tuple[str, ...]]] = {
    "connections": ("name", "user", "channels"),
    "channels": ("name", "user"),
    "consumers": (),
    "exchanges": ("name", "type"),
    "queues": ("name", "messages"),
    "bindings": ("source", "destination", "routing_key"),
    "users": (),
    "vhosts": ("name", "messages"),
    "permissions": (),
    "nodes": ("name", "type", "mem_used"),
    "parameters": (),
    "policies": (),
    "operator_policies": (),
    "vhost_limits": (),
    "user_limits": (),
    "global_parameters": (),
    "feature_flags": ("name", "state"),
    "deprecated_features": ("name", "deprecation_phase"),
    "streams": ("name", "messages"),
}
"""What can be listed, and the columns shown unless others are wanted; () for all."""

PAGING: Final[tuple[str, ...]] = ("page", "page_size")
LIST_OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("connections", "channels", "exchanges", "queues", "users"), PAGING),
    "user_limits": ("user",),
    "parameters": ("component", "in_vhost"),
    **dict.fromkeys(("policies", "operator_policies"), ("apply-to", "in_vhost")),
}
"""What a list may have besides columns."""

IN_VHOST: Final = ("consumers", "exchanges", "queues", "bindings")
OVERVIEW: Final = ("rabbitmq_version", "cluster_name", "queue_totals.messages", "object_totals.queues")


HELP: Final = {"-h", "--help"}
STYLES: Final = ("modern", "borderless", "ascii", "dots", "psql", "markdown", "sharp")

EPILOG: Final = """subcommands:
  list <kind> [<column> ...]     {lists}
  show overview [<column> ...]
  declare <kind> key=value ...   {declared}
  delete <kind> key=value ...    {deleted}
  close connection name=...
  purge queue name=...
  publish routing_key=... [exchange=... payload=... properties=... payload_encoding=...]
  get queue=... [count=... ackmode=... payload_file=... encoding=...]
  export <file> | import <file>

Or as with the second version, whose exit codes are then its own (2, 65, 69, 74):
  declare queue --name q --type quorum, queues declare --name q, queues list, --non-interactive queues list
  groups: {groups}
"""


class AdminParser(argparse.ArgumentParser):
    """Tells what is wrong in one line; exit code 1, as rabbitmqadmin, or 2, as its second version."""

    exit_code: int = FAILED

    def error(self, message: str) -> NoReturn:
        self.exit(self.exit_code, f"*** {message} (see {self.prog} --help)\n")


class Admin:
    """One call: the broker's HTTP API, the options, and the words after them."""

    def __init__(
        self,
        client: Client,
        options: argparse.Namespace,
        *,
        is_second: bool = False,
        completion_for: Callable[[str], str] | None = None,
    ) -> None:
        self.client: Client = client
        self.completion_for = completion_for
        self.options: argparse.Namespace = options
        self._is_second = is_second

    @property
    def vhost(self) -> str:
        """The virtual host that is meant where one must be."""
        return self.options.declare_vhost or self.options.vhost or DEFAULT_VHOST

    def run(self, subcommand: str, words: list[str]) -> None:
        """Do what is asked for. Raises Failure."""
        does = {
            "list": self.list_kind,
            "show": self.show_overview,
            "declare": self.declare,
            "delete": self.delete,
            "close": self.close,
            "purge": self.purge,
            "publish": self.publish,
            "get": self.get,
            "export": self.export,
            "import": self.import_file,
        }.get(subcommand)
        if self._is_second and admin_second.run(self, subcommand, words):
            return
        if does is None:
            text = f"{subcommand} {words[0]}" if self._is_second and words else subcommand
            raise Failure(FAILED, f"Subcommand {text} not recognised")
        does(words)

    def done(self, text: str) -> None:
        """Say that something was done, unless nobody wants to know: the second version never says it."""
        if not self._is_second:
            self.say(text)

    def say_rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Show objects with all that they have."""
        show(rows, [], self.options)

    def parsed(self, text: str) -> Any:
        """Return a value that is JSON. Raises Failure."""
        return parsed(text)

    def say(self, text: str) -> None:
        """Write a line, unless nobody wants to know."""
        if not self.options.quiet:
            print(text)  # noqa: T201 - the command's own output

    # Lists

    def list_kind(self, words: list[str]) -> None:
        """List all of a kind."""
        if not words or words[0] not in LISTS:
            raise Failure(FAILED, f"Don't know how to list {words[0] if words else 'nothing'}")
        kind, *rest = words
        columns, given = self._taken(kind, rest)
        columns = columns or self._default(LISTS[kind])
        paging = {key: given[key] for key in PAGING if key in given}
        if paging:
            paging.setdefault("page", "1")
        path = [kind.replace("_", "-")]
        if kind == "streams":
            path = ["queues"]
        if kind == "parameters" and "in_vhost" in given and "component" not in given:
            raise Failure(FAILED, "--component is required")
        path += [given[key] for key in ("user", "component") if key in given]
        if (kind in (*IN_VHOST, "streams") and self.options.vhost) or "in_vhost" in given:
            path.append(self.vhost)
        looked_at = {"type"} if kind == "streams" else {"apply-to"} & {*given}
        rows = self._asked(path, [*columns, *looked_at] if columns else columns, paging)
        if kind == "streams":
            rows = [each for each in rows if each["type"] == "stream"]
        if "apply-to" in given:
            rows = [each for each in rows if each["apply-to"] == given["apply-to"]]
        show(rows, columns, self.options)

    def _taken(self, kind: str, words: list[str]) -> tuple[list[str], dict[str, str]]:
        """Return the columns, and the options for a list. Raises Failure for one of the second version's it has not."""
        columns = [word for word in words if "=" not in word]
        given = dict(word.partition("=")[::2] for word in words if "=" in word)
        columns += [name for name in given.pop("columns", "").split(",") if name]
        allowed = LIST_OPTIONS.get(kind, ())
        for key in given if self._is_second else ():
            if key not in allowed:
                raise Failure(FAILED, f'Argument "{key}" not recognised')
            if key in PAGING and not (given[key].isascii() and given[key].isdigit() and int(given[key])):
                raise Failure(FAILED, f"--{key.replace('_', '-')} must be a whole number above 0")
        return columns, {key: value for key, value in given.items() if key in allowed}

    def show_overview(self, words: list[str]) -> None:
        """Show the overview."""
        if not words or words[0] != "overview":
            raise Failure(FAILED, f"Don't know how to show {words[0] if words else 'nothing'}")
        columns, _ = self._taken("overview", words[1:])
        columns = columns or self._default(OVERVIEW)
        show(self._asked(["overview"], columns, {}), columns, self.options)

    def _default(self, columns: Sequence[str]) -> list[str]:
        return list(columns) if self.options.depth == 1 and "json" not in self.options.format else []

    def _asked(self, path: list[str], columns: list[str], paging: Mapping[str, str]) -> list[dict[str, Any]]:
        query = dict(paging)
        if columns:
            query["columns"] = ",".join("type" if name == "queue_type" else name for name in columns)
        if self.options.sort:
            query["sort"] = self.options.sort
        if self.options.sort_reverse:
            query["sort_reverse"] = "true"
        found = self.client.get(*path, query=urlencode(query))
        rows = found["items"] if paging else found if isinstance(found, list) else [found]
        return [with_queue_type(each) for each in rows] if "queue_type" in columns else list(rows)

    # Objects

    def declare(self, words: list[str]) -> None:
        """Make an object."""
        name, kind, rest = pick(DECLARED, words)
        path, body = self._parse(kind, rest)
        if "queue_type" in body:
            body["arguments"] = {**body.get("arguments", {}), "x-queue-type": body["queue_type"]}
        if name == "stream":
            given = {STREAM_ARGUMENTS[key]: body.pop(key) for key in STREAM_ARGUMENTS if key in body}
            body["arguments"] = {**body.get("arguments", {}), **given, "x-queue-type": "stream"}
            body["durable"] = "true"
        self.client.request("POST" if name == "binding" else "PUT", path, body)
        self.done(f"{name} declared")

    def delete(self, words: list[str]) -> None:
        """Delete an object."""
        self._gone(DELETED, words, "deleted")

    def close(self, words: list[str]) -> None:
        """Close a connection."""
        self._gone(CLOSED, words, "closed")

    def purge(self, words: list[str]) -> None:
        """Purge a queue."""
        self._gone(PURGED, words, "purged")

    def _gone(self, kinds: Mapping[str, Kind], words: list[str], done: str) -> None:
        name, kind, rest = pick(kinds, words)
        path, _ = self._parse(kind, rest)
        self.client.delete(*path)
        self.done(f"{name} {done}")

    # Messages

    def publish(self, words: list[str]) -> None:
        """Publish a message; its body comes from the standard input if it is not given."""
        path, body = self._parse(PUBLISH, words)
        if "payload" not in body:
            body["payload"] = base64.b64encode(sys.stdin.buffer.read()).decode()
            body["payload_encoding"] = "base64"
        routed = self.client.request("POST", path, body)["routed"]
        self.say("Message published" if routed else "Message published but NOT routed")

    def get(self, words: list[str]) -> None:
        """Show messages, and take them out of the queue if the ackmode says so."""
        path, body = self._parse(GET, ["ackmode=ack_requeue_false", *words] if self._is_second else words)
        file = body.pop("payload_file", None)
        if file is not None and body["count"] != "1":
            raise Failure(FAILED, "Cannot get multiple messages using payload_file")
        messages = self.client.request("POST", path, body)
        if file is None:
            show(messages, [], self.options)
            return
        for message in messages:
            payload = message["payload"]
            octets = base64.b64decode(payload) if message["payload_encoding"] == "base64" else payload.encode()
            Path(file).write_bytes(octets)
        columns = ["routing_key", "exchange", "message_count", "payload_bytes", "redelivered"]
        show(messages, columns, self.options)

    # Definitions

    def export(self, words: list[str]) -> None:
        """Write the definitions to a file."""
        path = self._file(words)
        definitions = self.client.get("definitions", *self._vhost_if_given())
        Path(path).write_text(json.dumps(definitions, ensure_ascii=False), encoding="utf-8")
        self.say(f'Exported definitions for {self.options.host} to "{path}"')

    def import_file(self, words: list[str]) -> None:
        """Take over the definitions in a file."""
        path = self._file(words)
        self.client.request("POST", ("definitions", *self._vhost_if_given()), Path(path).read_bytes())
        self.say(f'Uploaded definitions from "{path}" to {self.options.host}.')

    def _file(self, words: list[str]) -> str:
        """Return the one file that is named. Raises Failure, also for ``export --file`` without ``definitions``."""
        path = only(words)
        if self._is_second and "=" in path:
            raise Failure(FAILED, f'Argument "{path.partition("=")[0]}" not recognised')
        return path

    def _vhost_if_given(self) -> tuple[str, ...]:
        return (self.options.vhost,) if self.options.vhost else ()

    def _parse(self, kind: Kind, words: list[str]) -> tuple[tuple[str, ...], dict[str, Any]]:
        """Return path and body. Raises Failure for a key that is missing or unknown."""
        body: dict[str, Any] = {key: value for key, value in kind.may.items() if value is not None}
        allowed = {key for needed in kind.needs for key in needed.split("|")} | set(kind.may) | {"vhost"}
        for word in words:
            key, equals, value = word.partition("=")
            if not equals:
                raise Failure(FAILED, f'Argument "{word}" not in the form name=value')
            if key not in allowed:
                raise Failure(FAILED, f'Argument "{key}" not recognised')
            body[key] = parsed(value) if key in kind.json_keys else value
        if self._is_second and "tags" in kind.needs:
            body.setdefault("tags", "")
        if "vhost" in kind.needs and self.options.vhost:
            body.setdefault("vhost", self.options.vhost)
        for needed in kind.needs:
            if not any(key in body for key in needed.split("|")):
                raise Failure(FAILED, f'mandatory argument "{needed.replace("|", " or ")}" is required')
        values = {"vhost": self.vhost, "destination_char": str(body.get("destination_type", "q"))[:1], **body}
        path = tuple(part.format_map(Plain(values)) if part.startswith("{") else part for part in kind.path)
        return path, body


def with_queue_type(row: dict[str, Any]) -> dict[str, Any]:
    """Return an object with its type under the second version's name for it as well."""
    return {**row, "queue_type": row.get("type", "")}


class Plain(dict[str, Any]):
    """Values of a path, as texts."""

    def __getitem__(self, key: str) -> str:
        return str(super().__getitem__(key))


def pick(kinds: Mapping[str, Kind], words: list[str]) -> tuple[str, Kind, list[str]]:
    """Return the kind that the first word names, and the other words. Raises Failure."""
    if not words:
        raise Failure(FAILED, "Type not specified")
    if words[0] not in kinds:
        raise Failure(FAILED, f"Type {words[0]} not recognised")
    return words[0], kinds[words[0]], words[1:]


def only(words: list[str]) -> str:
    """Return the one word that there is. Raises Failure."""
    if len(words) != 1:
        raise Failure(FAILED, "Exactly one argument required")
    return words[0]


def parsed(text: str) -> Any:
    """Return a value that is JSON. Raises Failure."""
    try:
        return json.loads(text)
    except ValueError:
        raise Failure(FAILED, f"Could not parse JSON: {text}") from None


def parser(program: str) -> AdminParser:
    """Return the parser of the options, which are rabbitmqadmin's."""
    made = AdminParser(
        prog=program,
        usage="%(prog)s [options] subcommand",
        add_help=True,
        allow_abbrev=False,
        conflict_handler="resolve",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EPILOG.format(
            lists=" ".join(LISTS),
            declared=" ".join(DECLARED),
            deleted=" ".join(DELETED),
            groups=" ".join(sorted((*GROUPS, *OTHER_GROUPS))),
        ),
    )
    made.add_argument("-c", "--config", help="file with options, by default ~/.rabbitmqadmin.conf")
    made.add_argument("-N", "--node", help="section of that file (default)")
    made.add_argument("-H", "--host", "--hostname", help="host (localhost)")
    made.add_argument("-P", "--port", help="port (15672)")
    made.add_argument("-V", "--vhost", help="virtual host (all for list, / else)")
    made.add_argument("-u", "--username", help="user (guest)")
    made.add_argument("-p", "--password", help="its password (guest)")
    made.add_argument("-U", "--base-uri", help="http://host:port, instead of the above")
    made.add_argument("--path-prefix", help="what comes before /api")
    made.add_argument("-q", "--quiet", action="store_true", help="say nothing but the answer")
    made.add_argument("-s", "--ssl", "--use-tls", action="store_true", help="use HTTPS")
    made.add_argument(
        *("-k", "--ssl-insecure", "--insecure", "--disable-tls-peer-verification"),
        action="store_true",
        help="accept any certificate",
    )
    made.add_argument("--ssl-ca-cert-file", "--tls-ca-cert-file", help="authorities of the broker's certificate")
    made.add_argument("--ssl-cert-file", "--tls-cert-file", help="certificate to show")
    made.add_argument("--ssl-key-file", "--tls-key-file", help="its key")
    made.add_argument("-t", "--request-timeout", "--timeout", type=float, help=f"seconds ({TIMEOUT_S:g})")
    made.add_argument("-f", "--format", help="table, long, tsv, kvp, raw_json, pretty_json, bash")
    made.add_argument("--non-interactive", action="store_true", help="tables without frames and heads")
    made.add_argument("--table-style", choices=STYLES, help="of the second version; borderless has no frames")
    made.add_argument("-S", "--sort", help="column to sort by")
    made.add_argument("-R", "--sort-reverse", action="store_true", help="the other way round")
    made.add_argument("-d", "--depth", type=int, default=1, help="how deep objects are shown")
    made.add_argument("--version", action="store_true", help="tell the version")
    made.add_argument("subcommand", nargs="?", help=argparse.SUPPRESS)
    made.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    made.set_defaults(declare_vhost=None)
    return made


def main(
    arguments: Sequence[str], program: str = "rabbitmqadmin", completion_for: Callable[[str], str] | None = None
) -> int:
    """Run the command; return the exit code. ``completion_for`` gives a shell's script, where Leveret is installed."""
    made = parser(program)
    known = {name: action for action in made._actions for name in action.option_strings}
    switches = [name for name, action in known.items() if action.nargs == 0]
    valued = [name for name in known if name not in switches]
    line = in_first_form(arguments, switches, valued)
    made.exit_code = admin_second.USAGE if line.is_second else FAILED
    if HELP & {*line.arguments}:
        told = admin_help.told([word for word in line.arguments if word not in HELP], valued, is_second=line.is_second)
        if told:
            print(told)  # noqa: T201
            return 0
    options = made.parse_intermixed_args(line.arguments)
    if options.version:
        print("rabbitmqadmin (of Leveret)")  # noqa: T201
        return 0
    if options.subcommand in (None, "help"):
        made.print_help()
        return 0 if options.subcommand else FAILED
    client: Client | None = None
    try:
        configured(options, os.environ)
        client = Client(
            Place(url=url_of(options)),
            options.request_timeout,
            options.ssl_ca_cert_file,
            is_tls_checked=not options.ssl_insecure,
            tls_certificate=(options.ssl_cert_file, options.ssl_key_file) if options.ssl_cert_file else None,
        )
        admin = Admin(client, options, is_second=line.is_second, completion_for=completion_for)
        admin.run(options.subcommand, options.words)
        sys.stdout.flush()  # Here, where it is caught if nobody reads any more.
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except (Failure, OSError) as error:
        if line.is_idempotent and isinstance(error, Refused) and error.status == 404:
            return 0
        print(f"*** {error}", file=sys.stderr)  # noqa: T201
        return admin_second.exit_code(error) if line.is_second else FAILED
    finally:
        if client is not None:
            client.close()
    return 0
