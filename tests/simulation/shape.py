"""What a seed's simulation is like. Each one has other queues, clients, limits and faults (swarm testing): a mix that
has all of it at once would seldom come to what only shows when something else is missing.
"""

from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from tests.simulation.ledger import Rules

DEAD: Final = "dead"
TO_DEAD: Final = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": DEAD}


@dataclass(frozen=True, slots=True)
class Route:
    """Where a publisher can publish to, and which queues that reaches."""

    exchange: str
    key: str
    queues: tuple[str, ...]
    delays: bool = False
    has_priorities: bool = False
    may_expire: bool = False
    may_be_refused: bool = False


@dataclass(frozen=True, slots=True)
class QueueShape:
    """A queue: how it is declared, and what the books know of it."""

    name: str
    arguments: dict[str, Any]
    rules: Rules
    routes: tuple[Route, ...] = ()
    bindings: tuple[tuple[str, str], ...] = ()
    policy: dict[str, Any] | None = None
    is_consumed: bool = True


EXCHANGES: Final[tuple[tuple[str, str, dict[str, Any]], ...]] = (
    ("fan", "fanout", {}),
    ("topics", "topic", {}),
    ("later", "x-delayed-message", {"x-delayed-type": "direct"}),
)

FAN: Final = Route("fan", "", ("fan one", "fan two"))
TOPIC: Final = Route("topics", "a.b", ("fan one", "fan two"))


def direct(name: str, **properties: bool) -> tuple[Route, ...]:
    return (Route("", name, (name,), **properties),)


ALL: Final = (
    QueueShape("plain", {}, Rules(), direct("plain")),
    QueueShape("second", {}, Rules(), direct("second")),
    QueueShape(
        "mortal",
        {"x-message-ttl": 1500, **TO_DEAD},
        Rules(ttl_ms=1500, dead_letters=True),
        direct("mortal", may_expire=True),
    ),
    QueueShape("fleeting", {"x-message-ttl": 700}, Rules(ttl_ms=700), direct("fleeting")),
    QueueShape("rejecting", TO_DEAD, Rules(dead_letters=True), direct("rejecting")),
    QueueShape(
        "quorum",
        {"x-queue-type": "quorum", "x-delivery-limit": 2, **TO_DEAD},
        Rules(keeps_transient=True, is_ordered=False, dead_letters=True, delivery_limit=2),
        direct("quorum"),
    ),
    QueueShape("urgent", {"x-max-priority": 4}, Rules(is_ordered=False), direct("urgent", has_priorities=True)),
    QueueShape(
        "capped",
        {"x-max-length": 10, "x-overflow": "reject-publish"},
        Rules(max_length=10),
        direct("capped", may_be_refused=True),
    ),
    QueueShape("short", {"x-max-length": 8, **TO_DEAD}, Rules(max_length=8, dead_letters=True), direct("short")),
    QueueShape("single", {"x-single-active-consumer": True}, Rules(), direct("single")),
    QueueShape("ruled", {}, Rules(may_drop=True), direct("ruled")),
    QueueShape("vapor", {}, Rules(is_durable=False), direct("vapor")),
    QueueShape(
        "stream",
        {"x-queue-type": "stream"},
        Rules(keeps_transient=True),
        direct("stream"),
        is_consumed=False,
    ),
    QueueShape(
        "late", {}, Rules(is_ordered=False), (Route("later", "late", ("late",), delays=True),), (("later", "late"),)
    ),
    QueueShape("fan one", {}, Rules(), (FAN, TOPIC), (("fan", ""), ("topics", "a.*"))),
    QueueShape("fan two", {}, Rules(), (), (("fan", ""), ("topics", "#"))),
)
THE_DEAD: Final = QueueShape(DEAD, {}, Rules(is_ordered=False))


@dataclass(slots=True)
class Shape:
    """All that is drawn before a simulation begins."""

    queues: list[QueueShape]
    routes: list[Route]
    moves: int
    persistent_share: float
    settling: tuple[int, int, int]  # how often an ack, a reject, a requeue
    heartbeats_s: tuple[int, ...]
    publishers: list[str]
    consumer_count: int
    getter_count: int
    has_churn: bool
    has_exclusive: bool
    piece_octets: int
    write_high_octets: int
    limits: dict[str, int]
    faults: dict[str, int] = field(default_factory=dict)  # by name: how likely, of 1000 moves
    settings: dict[str, Any] = field(default_factory=dict)
    haste: float = 0.97
    laziness: float = 0.3  # how seldom clients move, beside all else


FAULTS: Final = {
    "kill": 4,
    "power cut": 4,
    "power cut at a call": 5,
    "stop": 3,
    "input/output error": 3,
    "full disk": 5,
    "memory alarm": 6,
    "operator's alarm": 5,
    "reset": 25,
    "silent": 8,
    "leave": 15,
    "stall": 20,
    "wall clock": 15,
    "wait": 40,
    "policy": 20,
}


def draw(chance: Random) -> Shape:
    """Draw the shape of a simulation."""
    count = chance.choice((1, 2, 3, 5))
    drawn = chance.sample(ALL, count)
    names = {queue.name for queue in drawn}
    if names & {"fan one", "fan two"}:
        names |= {"fan one", "fan two"}
    queues = [queue for queue in ALL if queue.name in names]
    if any(queue.rules.dead_letters for queue in queues):
        queues.append(THE_DEAD)
    routes = [route for queue in queues for route in queue.routes]
    share = chance.choice((0.0, 0.3, 0.6, 1.0))
    faults = {name: weight for name, weight in FAULTS.items() if chance.random() < share}
    # Paging and trimming begin where the limits are small.
    settings = {
        "segment_octets": chance.choice((2_000, 20_000, 1 << 26)),
        "resident_octets": chance.choice((3_000, 30_000, 1 << 27)),
    }
    return Shape(
        queues=queues,
        routes=routes,
        moves=chance.choice((60, 150, 150, 300)),
        persistent_share=chance.choice((0.5, 0.9, 1.0, 1.0)),
        settling=chance.choice(((1, 0, 0), (4, 1, 1), (1, 1, 3), (1, 0, 2), (2, 3, 0))),
        heartbeats_s=chance.choice(((0,), (0, 0, 5), (2, 5))),
        publishers=[chance.choice(("confirm", "confirm", "tx", "plain")) for _ in range(chance.choice((1, 2, 3)))],
        consumer_count=chance.choice((0, 1, 2, 4)),
        getter_count=chance.choice((0, 0, 1, 2)),
        has_churn=chance.random() < 0.3,
        has_exclusive=chance.random() < 0.2,
        piece_octets=chance.choice((50, 500, 5_000)),
        write_high_octets=chance.choice((2_000, 20_000, 1 << 20)),
        limits={
            "unread_octets": chance.choice((3_000, 1 << 24)),
            "full_read_octets": chance.choice((300, 3_000, 250_000)),
        },
        faults=faults,
        settings=settings,
        haste=chance.choice((0.8, 0.95, 0.99)),
        laziness=chance.choice((0.05, 0.3, 0.7)),
    )
