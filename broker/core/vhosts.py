"""A virtual host: its exchanges, queues and bindings, and the rules for declaring, binding and deleting them.

Handlers call it with what clients asked for; errors are RabbitMQ's, code and text. What is durable goes out
through ``define`` at the moment it is applied, and comes back through ``restore``. It knows no connection but as
the owner of exclusive queues, no clock and no socket. Spec: AMQP 0-9-1, 3.1; RabbitMQ: Virtual Hosts.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, cast

from broker.core.access.access import Access
from broker.core.access.limits import MAX_QUEUES, NO_LIMITS, limit_reached
from broker.core.access.vhost_metadata import NO_METADATA, VirtualHostMetadata
from broker.core.arguments import check_queue_arguments, check_queue_properties, queue_kind, refuse_server_name
from broker.core.bindings import Binding, Bindings, Destination, DestinationKind, arguments_identity
from broker.core.compat import PERMISSIVE, Compat
from broker.core.definitions import (
    Define,
    exchange_definition,
    fields_of,
    queue_definition,
    table_from_json,
    table_to_json,
)
from broker.core.exchanges.direct import DefaultExchange
from broker.core.exchanges.exchange import Exchange, ExchangeProperties
from broker.core.exchanges.kept import ExchangeContext
from broker.core.exchanges.types import EXCHANGE_TYPES, exchange_type
from broker.core.later import NotYet
from broker.core.names import QueueNames, exchange_text, is_reserved, queue_text
from broker.core.policies.policies import Policies
from broker.core.publish.addressed import REPLY_TO
from broker.core.publish.routable import LooksAt, Routable
from broker.core.publish.routing import find_queues, reachable
from broker.core.queues.claims import check_equivalent_queue, check_open_to
from broker.core.queues.classic import ClassicQueue
from broker.core.queues.coming import DeletedQueue, MakeQueue
from broker.core.queues.reply import ReplyQueue
from protocol.errors import AccessRefused, CommandInvalid, NotFound, PreconditionFailed
from protocol.tables import FieldTable
from storage.definitions import Definition

PREDECLARED = (
    ("amq.direct", "direct", False),
    ("amq.fanout", "fanout", False),
    ("amq.topic", "topic", False),
    ("amq.headers", "headers", False),
    ("amq.match", "headers", False),
    ("amq.rabbitmq.trace", "topic", True),
)
"""Name, type, internal: the exchanges that every virtual host has. Spec: 3.1.3; RabbitMQ: Firehose Tracer."""


class VirtualHost:
    """One virtual host.

    ``topology_version`` grows with every change that can alter a route: who keeps routes keeps it beside them.
    ``make_queue`` has a maker for each x-queue-type; ``next_queue_id`` gives out ids that never return.
    ``exchange_context`` is for exchanges that keep messages, which cannot be without it.
    """

    __slots__ = (
        "_bindings",
        "_define",
        "_exchange_context",
        "_exclusive",
        "_looks_at",
        "_looks_at_version",
        "_make_queue",
        "_next_queue_id",
        "_queue_names",
        "compat",
        "counts",
        "exchanges",
        "limits",
        "metadata",
        "name",
        "policies",
        "queues",
        "reply_queues",
        "topology_version",
    )

    def __init__(
        self,
        name: str,
        *,
        make_queue: Mapping[str, MakeQueue],
        next_queue_id: Callable[[], int],
        queue_names: QueueNames,
        define: Define,
        exchange_context: ExchangeContext | None = None,
        compat: Compat = PERMISSIVE,
    ) -> None:
        self.name = name
        self.queues: dict[str, ClassicQueue] = {}
        self.reply_queues: dict[str, ReplyQueue] = {}
        self.exchanges: dict[str, Exchange] = {"": DefaultExchange(name, self.queues, self.reply_queues)}
        self.topology_version = 1
        self.counts: object = None
        self.compat = compat
        self.limits = NO_LIMITS
        self.metadata: VirtualHostMetadata = NO_METADATA
        self.policies = Policies(
            name, self.queues, self.exchanges, define=define, routes_changed=self._routes_changed, compat=compat
        )
        self._make_queue = make_queue
        self._next_queue_id = next_queue_id
        self._queue_names = queue_names
        self._define = define
        self._exchange_context = exchange_context
        self._bindings = Bindings()
        self._exclusive: dict[object, dict[ClassicQueue, None]] = {}
        self._looks_at: dict[Exchange, LooksAt] = {}
        self._looks_at_version = 0
        for exchange, kind, internal in PREDECLARED:
            properties = ExchangeProperties(durable=True, internal=internal)
            self.exchanges[exchange] = EXCHANGE_TYPES[kind](exchange, name, properties)

    # Route

    def exchange_to_publish(self, name: str) -> Exchange:
        """Return the exchange that clients may publish to by ``name``.

        Raises NotFound (404), and AccessRefused (403) for an internal one. Ref: basic.publish.
        """
        exchange = self._exchange(name)
        if exchange.internal:
            raise AccessRefused(f"cannot publish to internal {exchange}")
        return exchange

    def route(self, exchange: Exchange, routing_key: str, headers: FieldTable | None) -> list[ClassicQueue]:
        """Return the queues for a message, each once, in an order that depends on the bindings alone.

        ``headers`` may be None where ``looks_at`` says that the key is all that matters.
        """
        matched = exchange.match(routing_key, headers)
        is_direct = exchange.fed_exchange_count == 0 and exchange.observer is None
        if is_direct and (matched or not exchange.alternate):
            return cast(list[ClassicQueue], matched)
        return find_queues(self.exchanges, exchange, Routable((routing_key,), headers))

    def route_keys(self, exchange: Exchange, routing_keys: list[str], headers: FieldTable | None) -> list[ClassicQueue]:
        """As ``route``, for a message with several keys. RabbitMQ: Sender-selected Distribution."""
        return self.route_message(exchange, Routable(routing_keys, headers))

    def route_message(self, exchange: Exchange, message: Routable) -> list[ClassicQueue]:
        """As ``route``, for messages whose header is at hand; where ``looks_at`` says so, for one alone."""
        return find_queues(self.exchanges, exchange, message)

    def looks_at(self, exchange: Exchange) -> LooksAt:
        """How much of a message may decide what ``route`` finds: the most that any exchange on the way looks at."""
        if self._looks_at_version != self.topology_version:
            self._looks_at.clear()
            self._looks_at_version = self.topology_version
        known = self._looks_at.get(exchange)
        if known is None:
            known = max(each.looks_at for each in reachable(self.exchanges, exchange))
            self._looks_at[exchange] = known
        return known

    def _routes_changed(self) -> None:
        self.topology_version += 1

    # Exchanges

    def declare_exchange(
        self,
        name: str,
        type_name: str,
        *,
        passive: bool = False,
        durable: bool = False,
        auto_delete: bool = False,
        internal: bool = False,
        arguments: FieldTable,
        access: Access | None = None,
    ) -> Exchange:
        """Return the exchange ``name``, made if there is none; a passive declare only looks.

        Raises AccessRefused (403) for a reserved name, the default exchange and what ``access`` refuses, NotFound
        (404) when passive, PreconditionFailed (406) for other properties than it has, CommandInvalid (503) for an
        unknown type. Ref: exchange.declare.
        """
        if passive:
            _refuse_default(name)
            return self._exchange(name)
        try:
            make = exchange_type(type_name)
        except CommandInvalid as unknown:
            raise self.compat.profile.unknown_exchange_type(unknown.detail) from None
        _refuse_default(name)
        if access is not None:
            access.check("configure", "exchange", name)
        properties = ExchangeProperties(durable, auto_delete, internal, arguments)
        exchange = self.exchanges.get(name)
        if exchange is not None:
            exchange.check_equivalent(type_name, properties)
            return exchange
        if is_reserved(name):
            raise AccessRefused(f"exchange name '{name}' contains reserved prefix 'amq.*'")
        if access is not None:
            access.check_new_exchange(name, arguments)
        make.check_arguments(exchange_text(name, self.name), arguments)
        exchange = self._add_exchange(make(name, self.name, properties), self._next_queue_id)
        if not self.policies.is_empty:
            self.policies.govern_exchange(exchange)
        self.topology_version += 1
        if durable:
            self._define(("exchange", self.name, name), exchange_definition(exchange))
        return exchange

    def _add_exchange(self, exchange: Exchange, new_id: Callable[[], int]) -> Exchange:
        if self._exchange_context is not None:
            exchange.join(self._exchange_context, new_id)
        self.exchanges[exchange.name] = exchange
        return exchange

    def delete_exchange(self, name: str, *, if_unused: bool = False) -> bool:
        """Delete the exchange ``name``, if there is one, with all bindings from and to it; True if it was durable.

        Raises AccessRefused (403) for a predeclared or the default exchange, PreconditionFailed (406) with
        ``if_unused`` where a binding leads from it. Ref: exchange.delete.
        """
        _refuse_default(name)
        if is_reserved(name):
            raise AccessRefused(f"deletion of system {exchange_text(name, self.name)} not allowed")
        exchange = self.exchanges.get(name)
        if exchange is None:
            return False
        if if_unused and exchange.bindings:
            raise PreconditionFailed(f"{exchange} in use")
        self._remove_exchanges([exchange])
        return exchange.durable

    def _exchange(self, name: str) -> Exchange:
        exchange = self.exchanges.get(name)
        if exchange is None:
            raise NotFound(f"no {exchange_text(name, self.name)}")
        return exchange

    def _remove_exchanges(self, going: list[Exchange]) -> None:
        """Remove exchanges, and those that delete themselves as they lose their last binding by it."""
        self.topology_version += 1
        while going:
            exchange = going.pop()
            if self.exchanges.get(exchange.name) is not exchange:
                continue
            del self.exchanges[exchange.name]
            for binding in list(exchange.bindings.values()):
                self._drop(binding)
            going += self._drop_bindings_to(exchange)
            exchange.stop()
            if exchange.durable:
                self._define(("exchange", self.name, exchange.name), None)

    # Queues

    def declare_queue(
        self,
        name: str,
        *,
        owner: object,
        passive: bool = False,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
        arguments: FieldTable,
        access: Access | None = None,
    ) -> ClassicQueue:
        """Return the queue ``name``, made if there is none, with a name made up for ""; passive only looks.

        ``owner`` is the connection that asks. An exclusive queue ends with it and so is never durable.
        Raises AccessRefused (403) for a reserved name and what ``access`` refuses, NotFound (404) when passive,
        ResourceLocked (405) for another connection's, PreconditionFailed (406) for other properties than it has,
        wrong arguments, or one queue too many.
        Ref: queue.declare.
        """
        if passive:
            found = self.queue_for(name, owner)
            found.use()
            return found
        if is_reserved(name):
            raise AccessRefused(f"queue name '{name}' contains reserved prefix 'amq.*'")
        durable = durable and not exclusive
        queue = self.queues.get(name)
        name = name or self._new_name_of_queue(arguments)
        if access is not None:
            access.check("configure", "queue", name)
        if queue is not None:
            check_equivalent_queue(queue, owner if exclusive else None, durable, auto_delete, arguments)
            queue.use()
            return queue
        self._check_queue_count(name)
        if access is not None:
            access.check_new_queue(name, arguments)
        kind = check_queue_arguments(queue_text(name, self.name), arguments)
        check_queue_properties(queue_text(name, self.name), kind, durable, exclusive, auto_delete)
        self.compat.check_new_queue(queue_text(name, self.name), durable, exclusive, arguments)
        queue = self._make_queue[kind.type_name](
            name,
            self.name,
            self._next_queue_id(),
            durable=durable,
            exclusive_owner=owner if exclusive else None,
            auto_delete=auto_delete,
            arguments=arguments,
        )
        self._add_queue(queue)
        if durable:
            self._define(("queue", self.name, name), queue_definition(queue))
        return queue

    def queue_for(self, name: str, owner: object) -> ClassicQueue:
        """Return the queue ``name`` for the connection ``owner``.

        Raises NotFound (404), and ResourceLocked (405) where another connection has it for itself.
        """
        queue = self.queues.get(name)
        if queue is None:
            raise NotFound(f"no {queue_text(name, self.name)}")
        check_open_to(queue, owner)
        return queue

    def delete_queue(
        self, name: str, *, owner: object, if_unused: bool = False, if_empty: bool = False
    ) -> DeletedQueue:
        """Delete the queue ``name``, if there is one, with its messages and bindings.

        The caller tells the consumers, after its own reply. Raises ResourceLocked (405) for another connection's,
        PreconditionFailed (406) where it is not unused or empty as asked, NotYet while its dead letters wait.
        """
        if name not in self.queues:
            return DeletedQueue(0, [], False)
        queue = self.queue_for(name, owner)
        queue.check_delete(if_unused=if_unused, if_empty=if_empty)
        if queue.is_burying:
            raise NotYet(queue.when_buried)
        return self._remove_queue(queue)

    def add_reply_queue(self, reply_queue: ReplyQueue) -> None:
        """Let replies find a direct reply-to consumer. RabbitMQ: Direct Reply-to."""
        self.reply_queues[reply_queue.name] = reply_queue

    def has_replies(self, name: str) -> bool:
        """Whether ``name`` is the pseudo-queue of direct reply-to, or leads to a consumer of it."""
        return name == REPLY_TO or name in self.reply_queues

    def remove_reply_queue(self, reply_queue: ReplyQueue) -> None:
        """Let replies find it no more; routes that were kept are of no use then."""
        del self.reply_queues[reply_queue.name]
        self.topology_version += 1

    def queue_unused(self, queue: ClassicQueue) -> None:
        """Delete ``queue``, whose last consumer went, if it is to. Ref: queue.declare, "auto-delete"."""
        if queue.auto_delete and self.queues.get(queue.name) is queue and not queue.consumers:
            if queue.is_burying:
                queue.when_buried(partial(self.queue_unused, queue))
            else:
                self._remove_queue(queue)

    def expire_queue(self, queue: ClassicQueue) -> None:
        """Delete ``queue``, which nobody has used for long enough. RabbitMQ: Queue TTL."""
        if self.queues.get(queue.name) is queue:
            self._remove_queue(queue)

    def delete_exclusive(self, owner: object) -> None:
        """Delete the queues that the connection ``owner`` had for itself, as it ends. Spec: 3.1.4."""
        for queue in list(self._exclusive.get(owner, ())):
            for consumer in self._remove_queue(queue).consumers:
                consumer.cancelled()

    def delete_all(self) -> None:
        """Delete queues, exchanges, bindings and policies, as the virtual host itself goes."""
        for queue in list(self.queues.values()):
            for consumer in self._remove_queue(queue).consumers:
                consumer.cancelled()
        for exchange in self.exchanges.values():
            for binding in list(exchange.bindings.values()):
                self._drop(binding)
        self._remove_exchanges([each for each in self.exchanges.values() if each.name and not is_reserved(each.name)])
        self.policies.clear_all()

    def _check_queue_count(self, name: str) -> None:
        """Refuse a new queue where there are as many as there may be. RabbitMQ: Virtual Hosts, "Limits"."""
        limit = limit_reached(self.limits, MAX_QUEUES, len(self.queues))
        if limit is not None:
            text = f"cannot declare queue '{name}': queue limit in vhost '{self.name}' ({limit}) is reached"
            raise PreconditionFailed(text)

    def _new_name_of_queue(self, arguments: FieldTable) -> str:
        refuse_server_name(queue_text("", self.name), arguments)
        name = self._queue_names.new()
        while name in self.queues:
            name = self._queue_names.new()
        return name

    def _add_queue(self, queue: ClassicQueue) -> None:
        self.queues[queue.name] = queue
        if not self.policies.is_empty:
            self.policies.govern_queue(queue)
        self.topology_version += 1
        if queue.exclusive_owner is not None:
            self._exclusive.setdefault(queue.exclusive_owner, {})[queue] = None

    def _remove_queue(self, queue: ClassicQueue) -> DeletedQueue:
        count = queue.message_count
        del self.queues[queue.name]
        self.topology_version += 1
        if queue.exclusive_owner is not None:
            owned = self._exclusive[queue.exclusive_owner]
            del owned[queue]
            if not owned:
                del self._exclusive[queue.exclusive_owner]
        self._remove_exchanges(self._drop_bindings_to(queue))
        consumers = queue.stop()
        if queue.durable:
            self._define(("queue", self.name, queue.name), None)
        return DeletedQueue(count, consumers, queue.durable)

    # Bindings

    def bind_queue(
        self, queue_name: str, exchange_name: str, routing_key: str, arguments: FieldTable, *, owner: object
    ) -> bool:
        """Bind a queue to an exchange, if it is not; True if the binding is durable.

        Raises NotFound (404) for the exchange or else the queue, AccessRefused (403) for the default exchange,
        ResourceLocked (405) for another connection's queue, PreconditionFailed (406) for arguments that the
        exchange's type cannot work with. Ref: queue.bind.
        """
        _refuse_default(exchange_name)
        source = self._exchange(exchange_name)
        if queue_name in self.queues:
            source.check_binding(routing_key, arguments)
        return self._bind(source, "queue", self.queue_for(queue_name, owner), routing_key, arguments)

    def unbind_queue(
        self, queue_name: str, exchange_name: str, routing_key: str, arguments: FieldTable, *, owner: object
    ) -> bool:
        """Remove a binding, if there is one; True if it was durable.

        Raises AccessRefused (403) for the default exchange, ResourceLocked (405) where another connection's queue
        would lose one. Ref: queue.unbind.
        """
        _refuse_default(exchange_name)
        source, queue = self.exchanges.get(exchange_name), self.queues.get(queue_name)
        if source is not None and (queue, routing_key, arguments_identity(arguments)) in source.bindings:
            self.queue_for(queue_name, owner)
        return self._unbind(source, queue, routing_key, arguments)

    def bind_exchange(self, destination: str, source: str, routing_key: str, arguments: FieldTable) -> bool:
        """Let the exchange ``source`` feed ``destination``, which may be itself; True if the binding is durable.

        Raises NotFound (404) for the source or else the destination, AccessRefused (403) for the default exchange,
        PreconditionFailed (406) as ``bind_queue``. RabbitMQ: Exchange to Exchange Bindings.
        """
        _refuse_default(destination)
        _refuse_default(source)
        exchange, fed = self._exchange(source), self._exchange(destination)
        exchange.check_binding(routing_key, arguments)
        return self._bind(exchange, "exchange", fed, routing_key, arguments)

    def unbind_exchange(self, destination: str, source: str, routing_key: str, arguments: FieldTable) -> bool:
        """Remove a binding between exchanges, if there is one; True if it was durable.

        Raises AccessRefused (403) for the default exchange. RabbitMQ: Exchange to Exchange Bindings.
        """
        _refuse_default(destination)
        _refuse_default(source)
        return self._unbind(self.exchanges.get(source), self.exchanges.get(destination), routing_key, arguments)

    def bindings_to(self, destination: Destination) -> list[Binding]:
        """Return the bindings that lead to a queue or exchange, without the default exchange's."""
        return self._bindings.to(destination)

    def _bind(
        self,
        source: Exchange,
        kind: DestinationKind,
        destination: Destination,
        routing_key: str,
        arguments: FieldTable,
    ) -> bool:
        binding = Binding(source, kind, destination, routing_key, arguments)
        if self._bindings.add(binding):
            self.topology_version += 1
            if binding.is_durable:
                self._define(self._binding_key(binding), {"arguments": table_to_json(arguments)})
            source.bound(binding)
        return binding.is_durable

    def _unbind(
        self, source: Exchange | None, destination: Destination | None, routing_key: str, arguments: FieldTable
    ) -> bool:
        if source is None or destination is None:
            return False
        binding = source.bindings.get((destination, routing_key, arguments_identity(arguments)))
        if binding is None:
            return False
        self.topology_version += 1
        self._drop(binding)
        if source.auto_delete and not source.bindings:
            self._remove_exchanges([source])
        return binding.is_durable

    def _drop(self, binding: Binding) -> None:
        self._bindings.remove(binding)
        if binding.is_durable:
            self._define(self._binding_key(binding), None)

    def _drop_bindings_to(self, destination: Destination) -> list[Exchange]:
        """Remove all bindings to ``destination``; return the exchanges that are to delete themselves for it."""
        unused: dict[Exchange, None] = {}
        for binding in self._bindings.to(destination):
            self._drop(binding)
            source = binding.source
            if source.auto_delete and not source.bindings:
                unused[source] = None
        return list(unused)

    def _binding_key(self, binding: Binding) -> tuple[str, ...]:
        return (
            "binding",
            self.name,
            binding.source.name,
            binding.destination_kind,
            binding.destination.name,
            binding.routing_key,
            binding.arguments_digest,
        )

    # Recovery

    def logged_queues(self) -> Iterator[ClassicQueue]:
        """Yield all that may have messages in the log: queues, and what exchanges keep."""
        yield from self.queues.values()
        for exchange in self.exchanges.values():
            if exchange.kept_messages is not None:
                yield exchange.kept_messages

    def restore(self, definitions: Iterable[Definition]) -> list[str]:
        """Take back what ``define`` was given in earlier lives; other virtual hosts' definitions are passed over.

        Return, for the log, what had to be left out: bindings without one of their ends. Raises ValueError, or an
        AmqpError, for definitions that this version cannot read.
        """
        mine = [Definition(key, value) for key, value in definitions if len(key) > 1 and key[1] == self.name]
        for key, value in mine:
            if key[0] == "exchange":
                self._restore_exchange(key[2], fields_of(key, value))
            elif key[0] == "queue":
                self._restore_queue(key[2], fields_of(key, value))
        self.policies.restore(mine)
        left_out = [
            f"binding {key[2:]} has lost an end"
            for key, value in mine
            if key[0] == "binding" and not self._restore_binding(key, fields_of(key, value))
        ]
        self.topology_version += 1
        return left_out

    def _restore_exchange(self, name: str, fields: Mapping[str, Any]) -> None:
        make = EXCHANGE_TYPES.get(fields["type"])
        if make is None:
            raise ValueError(f"{exchange_text(name, self.name)} is of the unknown type '{fields['type']}'")
        arguments = table_from_json(fields["arguments"])
        properties = ExchangeProperties(True, fields["auto_delete"], fields["internal"], arguments)
        self._add_exchange(make(name, self.name, properties), lambda: int(fields["id"]))

    def _restore_queue(self, name: str, fields: Mapping[str, Any]) -> None:
        arguments = table_from_json(fields["arguments"])
        kind = queue_kind(queue_text(name, self.name), arguments)
        self.queues[name] = self._make_queue[kind.type_name](
            name,
            self.name,
            fields["id"],
            durable=True,
            exclusive_owner=None,
            auto_delete=fields["auto_delete"],
            arguments=arguments,
        )
        self.queues[name].restore_fields(fields)

    def _restore_binding(self, key: tuple[str, ...], fields: Mapping[str, Any]) -> bool:
        _, _, source_name, kind, destination_name, routing_key, _ = key
        source = self.exchanges.get(source_name)
        ends: Mapping[str, Destination] = self.queues if kind == "queue" else self.exchanges
        destination = ends.get(destination_name)
        if source is None or destination is None:
            return False
        arguments = table_from_json(fields["arguments"])
        self._bindings.add(Binding(source, cast(DestinationKind, kind), destination, routing_key, arguments))
        return True


def _refuse_default(exchange: str) -> None:
    if not exchange:
        raise AccessRefused("operation not permitted on the default exchange")
