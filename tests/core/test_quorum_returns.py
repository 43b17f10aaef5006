"""A quorum queue beside a list: what comes back is counted, in its place, told to the log, and dies in time."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from broker.core.messages import Stretch
from broker.core.queues.returned import ReturnedStretch
from protocol.headers import decode_headers
from tests.core.node import Node, bodies_in


class ReturnsAgainstList(RuleBasedStateMachine):
    """Model: the bodies that are ready, in order, and how often each came back."""

    @initialize(limit=st.none() | st.integers(0, 3))
    def begin(self, limit: int | None) -> None:
        self.node = Node()
        self.dead = self.node.declare("dead")
        arguments = {} if limit is None else {"delivery_limit": limit}
        self.queue = self.node.declare(
            "q", queue_type="quorum", dead_letter_exchange="", dead_letter_routing_key="dead", **arguments
        )
        self.limit = 20 if limit is None else limit
        self.returns_first = limit is not None
        self.back: list[bytes] = []
        self.fresh: list[bytes] = []
        self.counts: dict[bytes, int] = {}
        self.out: list[tuple[bytes, Stretch]] = []
        self.dead_count = self.published_count = 0

    @rule(count=st.integers(1, 5), octets=st.integers(0, 3))
    def publish(self, count: int, octets: int) -> None:
        bodies = [b"%d:" % (self.published_count + n) + bytes(octets) for n in range(count)]
        self.node.publish(*bodies)
        self.published_count += count
        self.fresh += bodies
        self.counts.update(dict.fromkeys(bodies, 0))

    @rule(count=st.integers(1, 4))
    def take(self, count: int) -> None:
        """Take some of one stretch, as a consumer does."""
        if not self.queue.message_count:
            return
        stretch = self.queue.take(count)
        for place in range(len(stretch.pieces)):
            one = stretch.part(place, place + 1)
            (body,) = bodies_in(one)
            assert body == (self.back or self.fresh).pop(0)
            headers = decode_headers(one.shape.header_payload(one.pieces[0]))
            assert headers.get("x-delivery-count", 0) == self.counts[body]
            assert one.redelivered == bool(self.counts[body])
            assert bodies_in(one.as_published()) == [body]
            assert isinstance(one, ReturnedStretch) == bool(self.counts[body])
            self.out.append((body, one))

    @precondition(lambda self: self.out)
    @rule(data=st.data(), requeue=st.booleans())
    def give_back(self, data: st.DataObject, requeue: bool) -> None:
        body, stretch = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        if not requeue:
            self.queue.settle(stretch)
            del self.counts[body]
            return
        self.queue.requeue(stretch)
        self.node.drain()
        self.counts[body] += 1
        if self.counts[body] > self.limit:
            self.dead_count += 1
            del self.counts[body]
        else:
            (self.back if self.returns_first else self.fresh).append(body)

    @invariant()
    def counts_agree(self) -> None:
        assert self.queue.message_count == len(self.back) + len(self.fresh)
        assert self.queue.unacked_count == len(self.out)
        assert self.dead.message_count == self.dead_count
        settled = self.node.log.settled
        assert len(set(settled)) == len(settled)
        assert max(self.node.log.return_counts.values(), default=0) <= self.limit


TestReturnsAgainstList = ReturnsAgainstList.TestCase
TestReturnsAgainstList.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
