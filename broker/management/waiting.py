"""Wait for a queue to be as a test or a script needs it, in place of a loop that sleeps. What RabbitMQ lacks."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from broker.core.names import stripped
from broker.core.queues.classic import ClassicQueue
from broker.management.call import Call, whole_number
from broker.management.describe import queue_totals
from broker.management.errors import ApiError, BadRequest
from broker.management.routing import Row

LOOK_S: Final = 0.01
LOOKS_A_CLIENT: Final = 25
"""Looks at the queue for one whether the client still waits."""
TIMEOUT_MAX_S: Final = 300.0
ALIASES: Final = {
    "ready": "messages_ready",
    "unacknowledged": "messages_unacknowledged",
    "unacked": "messages_unacknowledged",
}
NAMES: Final = ("messages", "messages_ready", "messages_unacknowledged", "consumers")


def _state(queue: ClassicQueue) -> dict[str, int]:
    return {**queue_totals(queue), "consumers": queue.consumer_count}


def _conditions(query: Mapping[str, str]) -> list[tuple[str, str, int]]:
    """Return (comparison, name, number) for each condition. Raises BadRequest for what is none."""
    conditions = []
    for key, value in query.items():
        if key == "timeout":
            continue
        comparison, name = "is", key
        for prefix in ("min_", "max_"):
            if key.startswith(prefix):
                comparison, name = prefix[:3], key[4:]
        name = ALIASES.get(name, name)
        if name not in NAMES:
            raise BadRequest(f"unknown condition '{key}'; there are {', '.join(NAMES)}, each also with min_ or max_")
        conditions.append((comparison, name, whole_number(value)))
    if not conditions:
        raise BadRequest("no condition is given, such as messages=0")
    return conditions


def _holds(state: Mapping[str, int], condition: tuple[str, str, int]) -> bool:
    comparison, name, number = condition
    if comparison == "min":
        return state[name] >= number
    return state[name] <= number if comparison == "max" else state[name] == number


async def wait_for_queue(call: Call) -> dict[str, Any]:
    """Answer when all conditions hold at once, or 408 when the time is over. The queue may be declared meanwhile."""
    conditions = _conditions(call.query)
    try:
        seconds = float(call.query.get("timeout", "5"))
    except ValueError:
        raise BadRequest("timeout is a number of seconds") from None
    if not 0 <= seconds <= TIMEOUT_MAX_S:
        raise BadRequest(f"timeout is a number of seconds, {TIMEOUT_MAX_S:.0f} at most")
    clock = call.broker.clock
    begun_ms = clock.monotonic_ms()
    look_count = 0
    while True:
        vhost = call.broker.vhosts.get(call["vhost"])
        queue = vhost.queues.get(stripped(call["queue"])) if vhost is not None else None
        state = _state(queue) if queue is not None else None
        waited_ms = clock.monotonic_ms() - begun_ms
        if state is not None and all(_holds(state, condition) for condition in conditions):
            return {**state, "waited_ms": waited_ms}
        if waited_ms >= seconds * 1000:
            seen = "there is no such queue" if state is None else ", ".join(f"{k}={v}" for k, v in state.items())
            raise ApiError(408, "timeout", f"after {seconds:g} s: {seen}")
        look_count += 1
        if look_count % LOOKS_A_CLIENT == 0 and await call.is_gone():
            raise ApiError(408, "timeout", "the client has gone")
        await asyncio.sleep(LOOK_S)


ROWS: Final = (
    Row(
        "GET",
        "/api/queues/{vhost}/{queue}/wait",
        wait_for_queue,
        "Wait until messages=0, unacknowledged=0, min_consumers=1, ...; timeout in seconds",
    ),
)
