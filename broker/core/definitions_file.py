"""Definitions as RabbitMQ exports them, version 3 or 4: all of it is checked before any of it is applied.

So a file is imported whole or not at all, and to import it again changes nothing. What exists already keeps its
properties, as with RabbitMQ; users, permissions, policies, parameters and limits are replaced. RabbitMQ: Definitions.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from broker.core.access.control import AccessControl
from broker.core.access.errors import AccessError, Unacceptable
from broker.core.access.limits import USER_LIMITS, VHOST_LIMITS, check_limits
from broker.core.access.passwords import DEFAULT_ALGORITHM, check_hash
from broker.core.access.permissions import Permission, TopicPermission
from broker.core.access.vhost_metadata import check_metadata
from broker.core.arguments import check_queue_arguments, check_queue_properties
from broker.core.exchanges.exchange import Exchange, ExchangeProperties
from broker.core.exchanges.types import EXCHANGE_TYPES, exchange_type
from broker.core.json_tables import table_of
from broker.core.names import exchange_text, is_reserved, queue_text
from broker.core.parameters import ParameterKey, Parameters
from broker.core.policies.keys import PolicyError, check_definition
from broker.core.policies.policies import Policy, PolicyKind
from broker.core.vhosts import PREDECLARED, VirtualHost
from protocol.errors import AmqpError

Fields = Mapping[str, Any]
Step = Callable[[], object]

SECTIONS: Final = (
    *("users", "vhosts", "permissions", "topic_permissions", "parameters", "global_parameters"),
    *("policies", "queues", "exchanges", "bindings"),
)


class DefinitionsImport:
    """One import into a node; ``vhost`` is the virtual host that a file of one virtual host is for, else None."""

    def __init__(self, control: AccessControl, parameters: Parameters, vhost: str | None = None) -> None:
        self._control = control
        self._parameters = parameters
        self._vhost = vhost
        self._steps: list[Step] = []
        self._users: set[str] = {user.name for user in control.users.listed()}
        self._vhosts: set[str] = set(control.vhosts)
        self._queues: dict[tuple[str, str], bool] = {}
        self._exchanges: dict[tuple[str, str], Exchange] = {}

    def check(self, definitions: object) -> None:
        """Find everything that is wrong with a file. Raises Unacceptable, with nothing changed."""
        if not isinstance(definitions, Mapping):
            raise Unacceptable("definitions should be an object")
        for section in SECTIONS:
            if self._vhost is not None and section in ("users", "vhosts", "permissions", "global_parameters"):
                continue
            take = getattr(self, f"_take_{section.removesuffix('s').replace('policie', 'policy')}")
            for fields in _objects(definitions, section):
                try:
                    take(fields)
                except (AmqpError, PolicyError) as error:
                    text = error.detail if isinstance(error, AmqpError) else str(error)
                    raise Unacceptable(f"{section}: {text}") from None
                except (KeyError, TypeError, ValueError) as error:
                    raise Unacceptable(f"{section}: {_problem(error, fields)}") from None

    def apply(self) -> None:
        """Do what was checked."""
        for step in self._steps:
            step()

    # Each takes the fields of one object, checks them, and notes what is to be done

    def _take_user(self, fields: Fields) -> None:
        name = _text(fields, "name")
        if "tags" not in fields:
            raise Unacceptable("tags_not_present")
        tags = words_of(fields["tags"])
        limits = fields.get("limits") or {}
        check_limits(limits, USER_LIMITS)
        password, password_hash = fields.get("password"), fields.get("password_hash")
        algorithm = fields.get("hashing_algorithm") or DEFAULT_ALGORITHM
        given: dict[str, Any] = {"password": _text(fields, "password")} if password is not None else {}
        if password is None and password_hash is not None:
            check_hash(_text(fields, "password_hash"), algorithm)
            given = {"password_hash": password_hash, "hashing_algorithm": algorithm}
        self._users.add(name)

        def step() -> None:
            self._control.put_user(name, tags=tags, **given)
            if limits:
                self._control.users.set_limits(name, limits)

        self._steps.append(step)

    def _take_vhost(self, fields: Fields) -> None:
        name = _text(fields, "name")
        metadata = fields.get("metadata") if isinstance(fields.get("metadata"), Mapping) else {}
        told: dict[str, Any] = {**(metadata or {}), **fields}
        changes: dict[str, Any] = {}
        if isinstance(told.get("description"), str):
            changes["description"] = told["description"]
        if told.get("tags") is not None:
            changes["tags"] = words_of(told["tags"])
        kind = told.get("default_queue_type")
        if kind not in (None, "", "undefined"):
            changes["default_queue_type"] = kind
        check_metadata(changes.get("description", ""), changes.get("tags", ()), changes.get("default_queue_type"))
        if not name:
            raise Unacceptable("a virtual host has a name")
        self._vhosts.add(name)

        def step() -> None:
            if name not in self._control.vhosts:
                self._control.add_vhost(name, **changes)
            elif changes:
                self._control.update_vhost(name, **changes)
            if isinstance(told.get("protected_from_deletion"), bool):
                self._control.protect_vhost(name, told["protected_from_deletion"])

        self._steps.append(step)

    def _take_permission(self, fields: Fields) -> None:
        user, vhost = self._place(fields)
        patterns = {name: _text(fields, name) for name in ("configure", "write", "read")}
        Permission(user, vhost, **patterns)
        self._steps.append(lambda: self._control.set_permission(vhost, user, **patterns))

    def _take_topic_permission(self, fields: Fields) -> None:
        user, vhost = self._place(fields)
        exchange, write, read = (_text(fields, name) for name in ("exchange", "write", "read"))
        TopicPermission(user, vhost, exchange, write, read)
        self._steps.append(lambda: self._control.set_topic_permission(vhost, user, exchange, write=write, read=read))

    def _take_parameter(self, fields: Fields) -> None:
        vhost, component, name = self._vhost_of(fields), _text(fields, "component"), _text(fields, "name")
        value = fields["value"]
        if component == "vhost-limits":
            check_limits(value, VHOST_LIMITS)
            self._steps.append(lambda: self._control.set_vhost_limits(vhost, value))
        elif component == "operator_policy":
            self._take_policy_of("operator-policy", vhost, {**value, "name": name})
        else:
            key = ParameterKey(vhost, component, name)
            self._steps.append(lambda: self._parameters.set(key, value))

    def _take_global_parameter(self, fields: Fields) -> None:
        name, value = _text(fields, "name"), fields["value"]
        self._steps.append(lambda: self._parameters.set_global(name, value))

    def _take_policy(self, fields: Fields) -> None:
        self._take_policy_of("policy", self._vhost_of(fields), fields)

    def _take_policy_of(self, kind: PolicyKind, vhost: str, fields: Fields) -> None:
        definition, apply_to = fields["definition"], fields.get("apply-to") or "all"
        if not isinstance(definition, Mapping):
            raise Unacceptable("definition should be an object")
        name, pattern = _text(fields, "name"), _text(fields, "pattern")
        policy = Policy(name, pattern, dict(definition), fields.get("priority", 0), apply_to, kind)
        check_definition(policy.definition, is_operator=kind == "operator-policy")
        self._steps.append(lambda: self._control.vhost(vhost).policies.set(policy))

    def _take_queue(self, fields: Fields) -> None:
        vhost, name = self._vhost_of(fields), _text(fields, "name")
        if is_reserved(name) or not name:
            return  # Server-named, so of nobody who could come back to it.
        self._queues[vhost, name] = durable = _truth(fields, "durable")
        if name in self._there(vhost, "queues"):
            return
        auto_delete, arguments = _truth(fields, "auto_delete"), table_of(fields.get("arguments"))
        if isinstance(fields.get("type"), str) and "x-queue-type" not in arguments and fields["type"] != "classic":
            arguments["x-queue-type"] = fields["type"]
        text = queue_text(name, vhost)
        check_queue_properties(text, check_queue_arguments(text, arguments), durable, False, auto_delete)
        self._steps.append(
            lambda: self._control.vhost(vhost).declare_queue(
                name, owner=self, durable=durable, auto_delete=auto_delete, arguments=arguments
            )
        )

    def _take_exchange(self, fields: Fields) -> None:
        vhost, name, kind = self._vhost_of(fields), _text(fields, "name"), _text(fields, "type")
        if name in self._there(vhost, "exchanges") or is_reserved(name) or not name:
            return
        arguments = table_of(fields.get("arguments"))
        make = exchange_type(kind)
        make.check_arguments(exchange_text(name, vhost), arguments)
        durable, auto_delete, internal = (_truth(fields, flag) for flag in ("durable", "auto_delete", "internal"))
        self._exchanges[vhost, name] = make(name, vhost, ExchangeProperties(durable, auto_delete, internal, arguments))
        self._steps.append(
            lambda: self._control.vhost(vhost).declare_exchange(
                name, kind, durable=durable, auto_delete=auto_delete, internal=internal, arguments=arguments
            )
        )

    def _take_binding(self, fields: Fields) -> None:
        vhost, source, destination = self._vhost_of(fields), _text(fields, "source"), _text(fields, "destination")
        kind, routing_key = fields.get("destination_type", "queue"), _text(fields, "routing_key")
        arguments = table_of(fields.get("arguments"))
        if not source:
            return  # Every queue has that one.
        exchange = self._exchanges.get((vhost, source)) or self._there(vhost, "exchanges").get(source)
        if exchange is None:
            raise Unacceptable(f"a binding's source is missing: {exchange_text(source, vhost)}")
        if kind == "queue":
            if is_reserved(destination) and destination not in self._there(vhost, "queues"):
                return
            if (vhost, destination) not in self._queues and destination not in self._there(vhost, "queues"):
                raise Unacceptable(f"a binding's destination is missing: {queue_text(destination, vhost)}")
        elif (vhost, destination) not in self._exchanges and destination not in self._there(vhost, "exchanges"):
            raise Unacceptable(f"a binding's destination is missing: {exchange_text(destination, vhost)}")
        exchange.check_binding(routing_key, arguments)

        def step() -> None:
            host = self._control.vhost(vhost)
            if kind != "queue":
                host.bind_exchange(destination, source, routing_key, arguments)
            else:
                owner = host.queues[destination].exclusive_owner
                host.bind_queue(destination, source, routing_key, arguments, owner=owner)

        self._steps.append(step)

    # Places

    def _vhost_of(self, fields: Fields) -> str:
        vhost = self._vhost if self._vhost is not None else _text(fields, "vhost")
        if vhost not in self._vhosts:
            raise Unacceptable(f'Please create virtual host "{vhost}" prior to importing definitions.')
        return vhost

    def _place(self, fields: Fields) -> tuple[str, str]:
        vhost, user = self._vhost_of(fields), _text(fields, "user")
        if user not in self._users:
            raise Unacceptable(f"there is no user '{user}'")
        return user, vhost

    def _there(self, vhost: str, what: str) -> Mapping[str, Any]:
        """Return what a virtual host has already; one that the file makes has the predeclared exchanges."""
        host: VirtualHost | None = self._control.vhosts.get(vhost)
        if host is not None:
            there: Mapping[str, Any] = getattr(host, what)
            return there
        if what == "queues":
            return {}
        return {
            name: EXCHANGE_TYPES[kind](name, vhost, ExchangeProperties(durable=True, internal=internal))
            for name, kind, internal in PREDECLARED
        }


def import_definitions(
    control: AccessControl, parameters: Parameters, definitions: object, vhost: str | None = None
) -> None:
    """Import a file's definitions, all or nothing. Raises Unacceptable for what is wrong with them."""
    importing = DefinitionsImport(control, parameters, vhost)
    importing.check(definitions)
    importing.apply()


def words_of(value: object) -> list[str]:
    """Return tags, given as a list or as words with commas between. Raises Unacceptable."""
    if isinstance(value, str):
        return [tag.strip() for tag in value.split(",") if tag.strip()]
    if isinstance(value, list) and all(isinstance(tag, str) for tag in value):
        return list(value)
    raise Unacceptable("tags should be a list of words, or words separated by commas")


def _objects(definitions: Mapping[str, Any], section: str) -> Iterator[Fields]:
    listed: object = definitions.get(section) or []
    if not isinstance(listed, Iterable) or isinstance(listed, str | Mapping):
        raise Unacceptable(f"{section} should be a list")
    for fields in listed:
        if not isinstance(fields, Mapping):
            raise Unacceptable(f"{section} should be a list of objects")
        yield fields


def _text(fields: Fields, name: str) -> str:
    value = fields[name]
    if not isinstance(value, str):
        raise Unacceptable(f"{name} should be a text")
    return value


def _truth(fields: Fields, name: str) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise Unacceptable(f"{name} should be true or false")
    return value


def _problem(error: Exception, fields: Fields) -> str:
    shown = fields.get("name", "")
    if isinstance(error, KeyError):
        return f"'{error.args[0]}' is missing{f' in {shown!r}' if shown else ''}"
    return f"{shown!r} makes no sense" if not isinstance(error, AccessError) else str(error)
