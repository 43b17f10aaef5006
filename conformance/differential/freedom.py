"""Which settling steps must be left out, because brokers may legally take them differently.

Decided while a script runs, as only then it is known which deliveries a step is about.
"""

from collections.abc import Sequence

from conformance.differential.script import SETTLING, Step
from conformance.differential.side import Side


def settled_tags(side: Side, step: Step) -> list[int]:
    """Return the tags of the open deliveries that a step settles, the one that it names last; [] for other steps."""
    deliveries = side.open_deliveries(step.channel)
    if step.verb == "say":
        is_all = step.fields.get("delivery_tag") == 0 and step.fields.get("multiple")
        return sorted(deliveries) if step.name.startswith("basic.recover") or (step.name in SETTLING and is_all) else []
    if step.verb != "settle":
        return []
    wanted = [tag for tag, delivery in sorted(deliveries.items()) if delivery.consumer == step.fields["of"]]
    nth = step.fields.get("nth", 0)
    if not -len(wanted) <= nth < len(wanted):
        return []
    last = wanted[nth]
    return [tag for tag in sorted(deliveries) if tag <= last] if step.fields.get("multiple") else [last]


def means_the_same(sides: Sequence[Side], step: Step, tags: Sequence[list[int]]) -> bool:
    """Whether the step is about the same deliveries on all sides; a ``settle`` must be about some.

    Deliveries of different queues come in any order, so "all up to this one" need not be the same ones.
    """
    meant = [
        sorted(side.open_deliveries(step.channel)[tag] for tag in settled)
        for side, settled in zip(sides, tags, strict=True)
    ]
    return all(each == meant[0] for each in meant) and (step.verb != "settle" or bool(meant[0]))


def is_left_open(side: Side, step: Step, tags: list[int]) -> bool:
    """Whether brokers differ in what the step does, for a known reason (see ``known.py``)."""
    deliveries = [side.open_deliveries(step.channel)[tag] for tag in tags]
    if any(side.is_past(step.channel, delivery) for delivery in deliveries):
        return True
    consumers = {(delivery.queue, delivery.consumer) for delivery in deliveries}
    return step.name != "basic.ack" and len(consumers) > len({queue for queue, _ in consumers})


def is_race_at_the_end(side: Side, at: int) -> bool:
    """Whether the end of connection ``at`` lets one of its channels take what another one gives back.

    Then it depends on which channel goes first what is delivered, and so redelivered, or lost.
    """
    lines = [line for number, line in side.lines.items() if number // 10 == at and line.is_open]
    return len(lines) > 1 and any(line.queue_of for line in lines)
