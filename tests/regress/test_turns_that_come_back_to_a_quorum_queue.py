"""What consumers in turn give back to a quorum queue is every second message or so. Paged out, it was taken for
neighbours: messages came back under ids that were others', so that some were lost and others came twice.
"""

from typing import Any

import pytest

from tests.core.test_backlog_paging import Deep, make_small, numbered


@pytest.mark.parametrize("delivery_limit", [5, None], ids=["before all others", "behind all others"])
def test_each_comes_back_once(delivery_limit: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch)
    arguments: dict[str, Any] = {} if delivery_limit is None else {"delivery_limit": delivery_limit}
    deep = Deep("quorum", limit_octets=1 << 20, **arguments)
    bodies = numbered(61)
    deep.publish(*bodies)
    deep.queue.settle(deep.queue.take(1))  # read alone, before its header was known
    whole = deep.queue.take(60)
    assert len(whole.ids) == 60
    for turn in range(3):
        deep.queue.requeue(whole.part(turn, 60, 3))
    deep.context.residency.limit_octets = 1000
    deep.page_out()
    deep.settle_down()
    assert deep.queue.backlog.resident_octets < 10_000, "most have left memory"
    assert deep.bodies(60) == bodies[1::3] + bodies[2::3] + bodies[3::3]
