"""Look at a queue's messages without touching them: nothing moves, no redelivered flag is set, no consumer waits.

What RabbitMQ lacks. ``state`` chooses: ready messages, unacked ones with who holds them, or those that wait at a
delayed exchange until they come to this queue. What has left memory is read back for the page that is asked for, and
stays where it is.
"""

from collections.abc import Iterator
from typing import Any, Final

from broker.core.exchanges.delayed import DelayedExchange
from broker.core.messages import Stretch
from broker.core.queues.classic import ClassicQueue
from broker.core.queues.looking import Place, count_at, logged_times, look_at
from broker.core.queues.parked import unparked
from broker.core.queues.stream import StreamQueue
from broker.core.unacked import spread
from broker.management.call import Call, whole_number
from broker.management.content_json import describe_message
from broker.management.describe import channel_name, iso_time
from broker.management.errors import BadRequest
from broker.management.exchanges import named_exchange
from broker.management.queues import named_queue
from broker.management.routing import Row

LIMIT: Final = 50
LIMIT_MAX: Final = 1000
TRUNCATE: Final = 4096
STATES: Final = ("ready", "unacked", "delayed")

PAGE_OCTETS: Final = 16 << 20
"""A page ends after the message with which its bodies are this large together: they are read while others wait."""

Shown = tuple[Place, dict[str, Any]]
"""Messages in one place, and what is to be told of all of them beside themselves."""


def browse_queue(call: Call) -> dict[str, Any]:
    queue = named_queue(call)
    _check_read(call, queue.name)
    state = call.query.get("state", "ready")
    if state not in STATES:
        raise BadRequest(f"state is one of {', '.join(STATES)}")
    if state == "unacked":
        return _page(call, queue, _unacked(call, queue), queue.unacked_count, state)
    if state == "delayed":
        waiting = list(_delayed_for(call, queue))
        return _page(call, queue, iter(waiting), sum(len(stretch.ids) for stretch, _ in waiting), state)
    if isinstance(queue, StreamQueue):
        return _page_of_stream(call, queue)
    return _page(call, queue, ((place, {}) for place in queue.backlog.places()), queue.message_count, state)


def browse_exchange(call: Call) -> dict[str, Any]:
    """Show what waits at a delayed exchange, the first to go on first."""
    exchange = named_exchange(call)
    _check_read(call, exchange.name, "exchange")
    if not isinstance(exchange, DelayedExchange):
        raise BadRequest("only an x-delayed-message exchange has messages")
    return _page(call, exchange.pending, _delayed_at(call, exchange), exchange.pending.message_count, "delayed")


def _check_read(call: Call, name: str, kind: Any = "queue") -> None:
    access = call.access()
    if access is not None:
        access.check("read", kind, name)


def _number(call: Call, name: str, default: int, most: int) -> int:
    value = whole_number(call.query.get(name, default))
    if not 0 <= value <= most:
        raise BadRequest(f"{name} is a number from 0 to {most}")
    return value


def _unacked(call: Call, queue: ClassicQueue) -> Iterator[Shown]:
    for connection in sorted(call.broker.connections, key=lambda each: each.connected_ms):
        for channel in connection.channels.values():
            for delivery in spread(each for each in channel.unacked.open() if each.queue is queue):
                consumer = delivery.consumer
                yield (
                    delivery.stretch,
                    {
                        "holder": {
                            "connection": connection.name,
                            "channel": channel_name(channel),
                            "user": connection.user,
                            "consumer_tag": consumer.tag if consumer is not None else None,
                            "delivery_tag": delivery.first_tag,
                        }
                    },
                )


def _delayed_at(call: Call, exchange: DelayedExchange) -> Iterator[tuple[Stretch, dict[str, Any]]]:
    clock = call.broker.clock
    for due_ms, stretch in exchange.pending.waiting():
        left_ms = due_ms - clock.monotonic_ms()
        yield stretch, {"due_in_ms": left_ms, "due_at": iso_time(clock.wall_ms() + left_ms), "at": exchange.name}


def _delayed_for(call: Call, queue: ClassicQueue) -> Iterator[tuple[Stretch, dict[str, Any]]]:
    for exchange in call.vhost().exchanges.values():
        if isinstance(exchange, DelayedExchange):
            for stretch, facts in _delayed_at(call, exchange):
                if queue in exchange.match(stretch.shape.routing_key, {}):
                    yield stretch, facts


def _page(call: Call, queue: ClassicQueue, shown: Iterator[Shown], total: int, state: str) -> dict[str, Any]:
    """Return the page asked for of what ``queue`` has."""
    offset, limit = _number(call, "offset", 0, 1 << 62), _number(call, "limit", LIMIT, LIMIT_MAX)
    encoding, truncate = call.query.get("encoding", "auto"), _number(call, "truncate", TRUNCATE, 1 << 31)
    position = octets = 0
    items: list[dict[str, Any]] = []
    for place, facts in shown:
        count, start = count_at(place), max(0, offset - position)
        for first, part in look_at(queue, place, start, min(count, start + limit - len(items))):
            octets += part.body_octets()
            items += [
                _item(call, part, at, age_ms, position + first + at, first + at, facts, encoding, truncate)
                for at, age_ms in enumerate(_ages_ms(call, queue, part.ids))
            ]
            if octets >= PAGE_OCTETS:
                break
        position += count
        if len(items) >= limit or octets >= PAGE_OCTETS:
            break
    return {"state": state, "offset": offset, "total_count": total, "item_count": len(items), "items": items}


def _item(
    call: Call,
    stretch: Stretch,
    place: int,
    age_ms: int | None,
    position: int,
    tags_on: int,
    facts: dict[str, Any],
    encoding: str,
    truncate: int,
) -> dict[str, Any]:
    told = dict(facts)
    if "holder" in told:
        told["holder"] = {**told["holder"], "delivery_tag": told["holder"]["delivery_tag"] + tags_on}
    if stretch.deadline_ms is not None:
        told["expires_in_ms"] = stretch.deadline_ms - call.broker.clock.monotonic_ms()
    message = describe_message(stretch, place, encoding, truncate)
    told["persistent"] = stretch.shape.facts.persistent
    return {"position": position, "id": stretch.ids[place], "age_ms": age_ms, **told, **message}


def _ages_ms(call: Call, queue: ClassicQueue, ids: range) -> list[int | None]:
    """Return how long messages have been there; of what was there at the start, the log has the times."""
    arrivals = call.broker.arrivals
    ages_ms = [arrivals.age_ms(message_id) for message_id in ids]
    if None in ages_ms:
        clock = call.broker.clock
        places = {message_id: place for place, message_id in enumerate(ids) if ages_ms[place] is None}
        for found, published_ms in logged_times(queue, ids):
            for message_id in found:
                if message_id in places:
                    ages_ms[places[message_id]] = clock.age_ms(message_id, published_ms)
    return ages_ms


def _page_of_stream(call: Call, queue: StreamQueue) -> dict[str, Any]:
    log = queue.stream
    first = log.first_offset
    offset, limit = max(first, _number(call, "offset", 0, 1 << 62)), _number(call, "limit", LIMIT, LIMIT_MAX)
    encoding, truncate = call.query.get("encoding", "auto"), _number(call, "truncate", TRUNCATE, 1 << 31)
    items: list[dict[str, Any]] = []
    at, now_ms = offset, call.broker.clock.wall_ms()
    while at < log.next_offset and len(items) < limit:
        stretch = log.read(at, limit - len(items))
        ages_ms = [max(0, now_ms - log.published_ms(at + place)) for place in range(len(stretch.ids))]
        for part in unparked(queue, stretch):
            places = range(len(part.pieces))
            number = at + stretch.ids.index(part.ids.start)
            items += [
                _item(call, part, place, ages_ms[number + place - at], number + place, 0, {}, encoding, truncate)
                for place in places
            ]
        at += len(stretch.ids)
    total = log.next_offset - first
    return {"state": "ready", "offset": offset, "total_count": total, "item_count": len(items), "items": items}


def list_unroutable(call: Call) -> list[dict[str, Any]]:
    """Return the last messages that reached no queue, the last first."""
    visible = {vhost.name for vhost in call.visible_vhosts()}
    if "vhost" in call.parameters:
        visible &= {call["vhost"]}
    limit = _number(call, "limit", 100, LIMIT_MAX)
    runs = [run for run in reversed(call.broker.counters.unroutable) if run.vhost in visible]
    return [
        {
            "at": iso_time(run.wall_ms),
            "vhost": run.vhost,
            "exchange": run.exchange,
            "routing_key": run.routing_key,
            "user": run.user,
            "connection": run.connection,
            "messages": run.count,
            "returned": run.returned,
        }
        for run in runs[:limit]
    ]


ROWS: Final = (
    Row(
        "GET",
        "/api/queues/{vhost}/{queue}/messages",
        browse_queue,
        "Look at messages and leave them be; offset, limit, state=ready|unacked|delayed, truncate, encoding",
    ),
    Row("GET", "/api/exchanges/{vhost}/{exchange}/messages", browse_exchange, "What waits at a delayed exchange"),
    Row("GET", "/api/unroutable", list_unroutable, "The last messages that reached no queue"),
    Row("GET", "/api/unroutable/{vhost}", list_unroutable, "The last messages that reached no queue"),
)
