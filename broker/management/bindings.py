"""Bindings: list, look at, make, remove. RabbitMQ: HTTP API, ``/api/bindings``.

One binding among those between two ends is named by its ``properties_key``: routing key and hash of the arguments.
"""

from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal
from urllib.parse import quote_plus, unquote_plus

from broker.core.bindings import Binding
from broker.core.exchanges.erlang_hash import hash_of_table
from broker.core.json_tables import json_of, table_of
from broker.core.names import exchange_text, queue_text, stripped
from broker.core.vhosts import VirtualHost
from broker.management.call import NO_CONTENT, Call, Empty, Handler, Listing, found, text_in
from broker.management.errors import NothingToActOn, NotThere, Unauthorised
from broker.management.exchanges import exchange_name
from broker.management.routing import Row

Kind = Literal["queue", "exchange"]


def properties_key(routing_key: str, arguments: dict[str, Any]) -> str:
    """Return what names a binding between its two ends. RabbitMQ's own, but for arguments with lists or tables."""
    if not routing_key and not arguments:
        return "~"
    key = _quoted(routing_key)
    if not arguments:
        return key
    octets = hash_of_table(arguments).to_bytes(4)
    return f"{key}~{urlsafe_b64encode(octets).rstrip(b'=').decode()}"


def _quoted(text: str) -> str:
    return quote_plus(text.encode("utf-8", "surrogateescape"), safe="").replace("~", "%7E")


def describe_binding(vhost: str, binding: Binding) -> dict[str, Any]:
    """Return a binding."""
    return {
        "source": binding.source.name,
        "vhost": vhost,
        "destination": binding.destination.name,
        "destination_type": binding.destination_kind,
        "routing_key": binding.routing_key,
        "arguments": json_of(binding.arguments),
        "properties_key": properties_key(binding.routing_key, binding.arguments),
    }


def default_binding(vhost: str, queue: str) -> dict[str, Any]:
    """Return the binding to the default exchange that every queue has."""
    return {
        "source": "",
        "vhost": vhost,
        "destination": queue,
        "destination_type": "queue",
        "routing_key": queue,
        "arguments": {},
        "properties_key": _quoted(queue),
    }


def bindings_of(vhost: VirtualHost) -> Iterator[dict[str, Any]]:
    """Yield the bindings of a virtual host, those of the default exchange first."""
    for queue in sorted(vhost.queues):
        yield default_binding(vhost.name, queue)
    for name in sorted(vhost.exchanges):
        for binding in vhost.exchanges[name].bindings.values():
            yield describe_binding(vhost.name, binding)


def _listing(described: Iterable[dict[str, Any]]) -> Listing:
    return Listing(list(described), dict, name_of=lambda each: str(each["source"]))


def list_bindings(call: Call) -> Listing:
    return _listing(each for vhost in call.visible_vhosts() for each in bindings_of(vhost))


def list_vhost_bindings(call: Call) -> Listing:
    return _listing(bindings_of(call.vhost()))


def list_queue_bindings(call: Call) -> Listing:
    vhost = call.vhost()
    if stripped(call["queue"]) not in vhost.queues:
        raise NotThere
    return _listing(_to(vhost, "queue", stripped(call["queue"])))


def _to(vhost: VirtualHost, kind: Kind, name: str) -> Iterator[dict[str, Any]]:
    if kind == "queue" and name in vhost.queues:
        yield default_binding(vhost.name, name)
    destination = (vhost.queues if kind == "queue" else vhost.exchanges).get(name)
    if destination is not None:
        for binding in vhost.bindings_to(destination):
            yield describe_binding(vhost.name, binding)


def list_from_exchange(call: Call) -> Listing:
    vhost, name = call.vhost(), exchange_name(call["exchange"])
    exchange = found(vhost.exchanges.get(name))
    if not name:
        return _listing(default_binding(vhost.name, queue) for queue in sorted(vhost.queues))
    return _listing(describe_binding(vhost.name, binding) for binding in exchange.bindings.values())


def list_to_exchange(call: Call) -> Listing:
    vhost, name = call.vhost(), exchange_name(call["exchange"])
    found(vhost.exchanges.get(name))
    return _listing(_to(vhost, "exchange", name))


# Between two ends


class Between:
    """The resources of bindings from an exchange to destinations of one kind."""

    def __init__(self, kind: Kind) -> None:
        self.kind: Kind = kind

    def _destination(self, call: Call) -> str:
        return stripped(call["destination"]) if self.kind == "queue" else exchange_name(call["destination"])

    def _bindings(self, call: Call) -> list[Binding]:
        source = call.vhost().exchanges.get(exchange_name(call["exchange"]))
        name = self._destination(call)
        return [
            binding
            for binding in (source.bindings.values() if source is not None else ())
            if binding.destination_kind == self.kind and binding.destination.name == name
        ]

    def list_all(self, call: Call) -> Listing:
        vhost, name = call.vhost(), self._destination(call)
        if not exchange_name(call["exchange"]) and self.kind == "queue":
            return _listing([default_binding(vhost.name, name)] if name in vhost.queues else [])
        return _listing(describe_binding(vhost.name, each) for each in self._bindings(call))

    def _named(self, call: Call) -> Binding:
        """Return the binding; some clients quote its key twice in the path, others once, and RabbitMQ takes both."""
        props = call["props"]
        routing_key, _, mark = props.partition("~")
        quoted_once = None
        for binding in self._bindings(call):
            key = properties_key(binding.routing_key, binding.arguments)
            if key == props:
                return binding
            if binding.routing_key == unquote_plus(routing_key) and key.partition("~")[2] == mark:
                quoted_once = binding
        if quoted_once is None:
            raise NotThere
        return quoted_once

    def get(self, call: Call) -> dict[str, Any]:
        vhost, name = call.vhost(), self._destination(call)
        if not exchange_name(call["exchange"]) and self.kind == "queue" and call["props"] == _quoted(name):
            found(vhost.queues.get(name))
            return default_binding(vhost.name, name)
        return describe_binding(vhost.name, self._named(call))

    def bind(self, call: Call) -> Empty:
        vhost, source, destination = call.vhost(), exchange_name(call["exchange"]), self._destination(call)
        fields = call.fields()
        routing_key, arguments = text_in(fields, "routing_key", ""), table_of(fields.get("arguments"))
        if source not in vhost.exchanges:
            raise NothingToActOn(f"no {exchange_text(source, vhost.name)}")
        if self.kind == "queue" and destination not in vhost.queues:
            raise NothingToActOn(f"no {queue_text(destination, vhost.name)}")
        if self.kind == "exchange" and destination not in vhost.exchanges:
            raise NothingToActOn(f"no {exchange_text(destination, vhost.name)}")
        self._check(call, source, destination, routing_key)
        if self.kind == "queue":
            vhost.bind_queue(destination, source, routing_key, arguments, owner=call)
        else:
            vhost.bind_exchange(destination, source, routing_key, arguments)
        key = properties_key(routing_key, arguments)
        return Empty(201, f"{_quoted(destination)}/{quote_plus(key, safe='')}")

    def unbind(self, call: Call) -> Empty:
        binding = self._named(call)
        vhost, source, destination = call.vhost(), binding.source.name, binding.destination.name
        self._check(call, source, destination, binding.routing_key)
        if self.kind == "queue":
            vhost.unbind_queue(destination, source, binding.routing_key, binding.arguments, owner=call)
        else:
            vhost.unbind_exchange(destination, source, binding.routing_key, binding.arguments)
        return NO_CONTENT

    def _check(self, call: Call, source: str, destination: str, routing_key: str) -> None:
        if not source or not destination:
            raise Unauthorised
        access = call.access()
        if access is not None:
            access.check_binding(self.kind, destination, source, call.vhost().exchanges, routing_key)


def _rows_between(letter: str, handlers: Between) -> tuple[Row, ...]:
    path = f"/api/bindings/{{vhost}}/e/{{exchange}}/{letter}/{{destination}}"
    bind: Handler = handlers.bind
    return (
        Row("GET", path, handlers.list_all, "Bindings between two ends"),
        Row("POST", path, bind, "Make a binding; its path is in the header Location"),
        Row("GET", path + "/{props}", handlers.get, "One binding"),
        Row("DELETE", path + "/{props}", handlers.unbind, "Remove a binding"),
    )


ROWS: Final = (
    Row("GET", "/api/bindings", list_bindings, "All bindings"),
    Row("GET", "/api/bindings/{vhost}", list_vhost_bindings, "Bindings of a virtual host"),
    Row("GET", "/api/queues/{vhost}/{queue}/bindings", list_queue_bindings, "Bindings of a queue"),
    Row("GET", "/api/exchanges/{vhost}/{exchange}/bindings/source", list_from_exchange, "Bindings from an exchange"),
    Row("GET", "/api/exchanges/{vhost}/{exchange}/bindings/destination", list_to_exchange, "Bindings to an exchange"),
    *_rows_between("q", Between("queue")),
    *_rows_between("e", Between("exchange")),
)
