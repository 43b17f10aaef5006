"""Publish a message, and get some. RabbitMQ: HTTP API, ``/api/exchanges/.../publish``, ``/api/queues/.../get``.

For looking and for tests; who gets messages changes the queue. To look without a trace, see browse.py.
"""

from typing import Any, Final, Literal, cast

from broker.core.later import NotYet
from broker.core.messages import Stretch
from broker.core.publish.addressed import Addressed
from broker.core.publish.checks import check_content
from broker.core.queues.classic import ClassicQueue
from broker.management.call import Call, check_keys, text_in, whole_number
from broker.management.content_json import SHORT_MAX_OCTETS, body_in, describe_message, message_of
from broker.management.errors import ApiError, BadRequest, NothingToActOn, Unauthorised
from broker.management.exchanges import exchange_name
from broker.management.queues import queue_to
from broker.management.routing import Row
from broker.server.firehose import Origin
from protocol.errors import AccessRefused, AmqpError, NotFound

AckMode = Literal["ack_requeue_true", "reject_requeue_true", "ack_requeue_false", "reject_requeue_false"]

ACK_MODES: Final = ("ack_requeue_true", "reject_requeue_true", "ack_requeue_false", "reject_requeue_false")
OVER_HTTP: Final = "HTTP API"
"""What the firehose calls the connection of who publishes and gets by HTTP."""
ANSWER_OCTETS_MAX: Final = 64 << 20
"""No more messages are got once their bodies are larger than this together."""


def publish(call: Call) -> dict[str, bool]:
    fields = call.fields("properties", "routing_key", "payload", "payload_encoding")
    call.check_entry()
    if call.broker.alarms.raised:
        raise ApiError(503, "blocked", call.broker.alarms.text)
    name, routing_key = exchange_name(call["exchange"]), text_in(fields, "routing_key")
    if len(name.encode()) > SHORT_MAX_OCTETS:
        raise BadRequest(f"404 NOT_FOUND - no exchange '{name}' in vhost '{call['vhost']}'")
    body = body_in(fields["payload"], fields["payload_encoding"])
    if len(body) > call.broker.max_message_octets:
        raise BadRequest(f"payload is larger than {call.broker.max_message_octets} octets")
    shape, piece = message_of(name, routing_key, fields["properties"], body)
    try:
        is_routed = _publish(call, name, Addressed(shape, [piece], routing_key))
    except AccessRefused:
        raise Unauthorised from None
    except AmqpError as error:
        raise BadRequest(f"{error.reply_code} {error.reply_text}") from None
    return {"routed": is_routed}


def _publish(call: Call, name: str, message: Addressed) -> bool:
    broker, vhost, access = call.broker, call.vhost(), call.access()
    if access is not None:
        access.check("write", "exchange", name)
    exchange = vhost.exchange_to_publish(name)
    if access is not None:
        access.check_topics("write", exchange, message.routing_keys)
        check_content(message.shape.facts, access)
    queues = vhost.route_message(exchange, message)
    route = broker.enqueuer.route_to(queues, vhost.topology_version)
    if broker.firehose.is_on(vhost):
        origin = Origin(vhost, OVER_HTTP, 1, call.principal.name)
        broker.firehose.published(origin, message.shape, message.pieces, message.routing_keys, queues)
    if route.may_be_refused:
        broker.enqueuer.enqueue_or_refuse(route, message.shape, message.pieces[0])
    elif route.queues:
        broker.enqueuer.enqueue(route, message.shape, message.pieces)
    broker.counters.published(1, route, exchange, vhost)
    return route.reaches_queue()


async def get_messages(call: Call) -> list[dict[str, Any]]:
    fields = call.fields()
    check_keys(fields, ("count", "ackmode", "encoding"))
    count, mode, encoding = whole_number(fields["count"]), fields["ackmode"], fields["encoding"]
    truncate = None if fields.get("truncate") is None else whole_number(fields["truncate"])
    if mode not in ACK_MODES:
        raise BadRequest(f"unsupported ackmode; there are {', '.join(ACK_MODES)}")
    if encoding not in ("auto", "base64"):
        raise BadRequest("Unsupported encoding. Please use auto or base64.")
    if count < 0 or (truncate is not None and truncate < 0):
        raise BadRequest("count and truncate are not negative")
    call.check_entry()
    try:
        queue = queue_to(call, "read")
        return await _get(call, queue, count, cast(AckMode, mode), encoding, truncate)
    except ApiError as missing:
        if missing.status == 404:
            raise NothingToActOn(f"NOT_FOUND - no queue '{call['queue']}' in vhost '{call['vhost']}'") from None
        raise
    except AccessRefused:
        raise Unauthorised from None
    except NotFound as error:
        raise NothingToActOn(error.reply_text) from None
    except AmqpError as error:
        text = error.detail if error.reply_code == 540 else error.reply_text
        raise BadRequest(f"{error.reply_code} {text}") from None


async def _get(
    call: Call, queue: ClassicQueue, count: int, mode: AckMode, encoding: str, truncate: int | None
) -> list[dict[str, Any]]:
    described: list[dict[str, Any]] = []
    taken: list[Stretch] = []
    octets = 0
    vhost, counters = call.vhost(), call.broker.counters
    try:
        while len(described) < count and octets < ANSWER_OCTETS_MAX:
            try:
                stretch = queue.get()
            except NotYet as later:
                await call.until_worth_it(later)
                continue
            if stretch is None:
                counters.got_nothing(queue, None)
                break
            taken.append(stretch)
            if call.broker.firehose.is_on(vhost):
                origin = Origin(vhost, OVER_HTTP, 1, call.principal.name)
                call.broker.firehose.delivered(origin, queue.name, stretch.shape, stretch.pieces, stretch.redelivered)
            counters.got(queue, None, no_ack=mode == "ack_requeue_false", redelivered=stretch.redelivered)
            message = describe_message(stretch, 0, encoding, truncate)
            described.append({**message, "message_count": queue.message_count})
            octets += len(message["payload"])
    finally:
        for stretch in taken:
            if mode == "ack_requeue_false":
                queue.settle(stretch)
            else:
                counters.gave_back(queue, None, 1)
                (queue.requeue if mode.endswith("requeue_true") else queue.reject)(stretch)
    return described


ROWS: Final = (
    Row("POST", "/api/exchanges/{vhost}/{exchange}/publish", publish, "Publish a message"),
    Row("POST", "/api/queues/{vhost}/{queue}/get", get_messages, "Get messages, and put them back or not"),
)
