"""Fanout exchange: every binding, once a queue."""

from hypothesis import given
from hypothesis import strategies as st

from tests.core.topology import bind, new_queue, new_vhost, routed, unbind

QUEUES = ["q0", "q1", "q2"]
STEPS = st.lists(
    st.tuples(st.sampled_from(["bind", "unbind"]), st.sampled_from(QUEUES), st.sampled_from(["", "a", "b"]))
)


@given(STEPS, st.sampled_from(["", "a", "zz"]))
def test_fanout_routes_to_every_bound_queue_once(steps: list[tuple[str, str, str]], key: str) -> None:
    vhost = new_vhost()
    for queue in QUEUES:
        new_queue(vhost, queue)
    model: dict[tuple[str, str], None] = {}
    for step, queue, bound in steps:
        if step == "bind":
            bind(vhost, queue, "amq.fanout", bound)
            model[queue, bound] = None
        else:
            unbind(vhost, queue, "amq.fanout", bound)
            model.pop((queue, bound), None)
    found = routed(vhost, "amq.fanout", key)
    assert len(found) == len(set(found))
    assert set(found) == {queue for queue, _ in model}
