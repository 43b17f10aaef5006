"""StreamLog beside a list: the same messages at the same offsets, and whole segments forgotten."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from broker.core.messages import Stretch
from broker.core.queues.parked import Page, ParkedStretch
from broker.core.queues.stream_log import StreamLog
from tests.core.recording import TRANSIENT_SHAPE


class LogAgainstList(RuleBasedStateMachine):
    """Model: (offset, piece, time) of all that is kept."""

    @initialize(segment_octets=st.integers(0, 60), first=st.integers(0, 5))
    def begin(self, segment_octets: int, first: int) -> None:
        self.log = StreamLog(segment_octets)
        self.log.begin_at(first)
        self.next_offset = first
        self.next_id = 1
        self.now_ms = 1000
        self.kept: list[tuple[int, bytes, int]] = []
        self.ids: dict[bytes, int] = {}

    @rule(sizes=st.lists(st.integers(0, 30), min_size=1, max_size=12), step=st.sampled_from([1, 3]))
    def append(self, sizes: list[int], step: int) -> None:
        pieces = [bytes(size) + b"%d" % (self.next_offset + place) for place, size in enumerate(sizes)]
        ids = range(self.next_id, self.next_id + step * len(pieces), step)
        self.next_id = ids.stop
        self.log.append(Stretch(TRANSIENT_SHAPE, ids, pieces), self.now_ms)
        self.ids.update(zip(pieces, ids, strict=True))
        for piece in pieces:
            self.kept.append((self.next_offset, piece, self.now_ms))
            self.next_offset += 1

    @rule(ms=st.integers(0, 50))
    def wait(self, ms: int) -> None:
        self.now_ms += ms

    @precondition(lambda self: self.kept)
    @rule(data=st.data(), limit=st.integers(1, 10))
    def read(self, data: st.DataObject, limit: int) -> None:
        place = data.draw(st.integers(0, len(self.kept) - 1))
        stretch = self.log.read(self.kept[place][0], limit)
        assert 1 <= len(stretch.ids) <= limit
        pieces = [piece for _, piece, _ in self.kept[place : place + len(stretch.ids)]]
        assert list(stretch.ids) == [self.ids[piece] for piece in pieces]
        assert isinstance(stretch, ParkedStretch) == (self.kept[place][0] < self.log.memory_offset)
        if not isinstance(stretch, ParkedStretch):
            assert stretch.pieces == pieces

    @rule(octets=st.integers(0, 3000), upto=st.integers(0, 60))
    def page_out(self, octets: int, upto: int) -> None:
        """The oldest leave memory, some for pages, but for what is not on disk yet."""
        durable_id, page, before = self.next_id - upto, Page(), self.log.resident_octets
        done = self.log.page_out(
            octets, lambda each: each.ids[-1] < durable_id, lambda each: page if each.ids.start % 5 == 0 else None
        )
        assert self.log.resident_octets == before - done

    @rule(back_ms=st.integers(-10, 200))
    def find_by_time(self, back_ms: int) -> None:
        since_ms = self.now_ms - back_ms
        wanted = next((offset for offset, _, time_ms in self.kept if time_ms >= since_ms), self.next_offset)
        found = self.log.offset_at(since_ms)
        assert found == wanted

    @rule(octets=st.none() | st.integers(0, 200), age_ms=st.none() | st.integers(0, 100))
    def trim(self, octets: int | None, age_ms: int | None) -> None:
        segment_count = self.log.segment_count
        oldest_ms = None if age_ms is None else self.now_ms - age_ms
        forgotten = [message_id for ids in self.log.trim(octets, oldest_ms) for message_id in ids]
        assert forgotten == [self.ids[piece] for _, piece, _ in self.kept[: len(forgotten)]]
        del self.kept[: len(forgotten)]
        assert (self.log.segment_count < segment_count) == bool(forgotten)
        if octets is not None and self.log.segment_count > 1:
            assert sum(len(piece) for _, piece, _ in self.kept) <= octets

    @invariant()
    def offsets_agree(self) -> None:
        assert self.log.next_offset == self.next_offset
        assert self.log.memory_offset <= self.log.next_offset
        assert self.log.first_offset == (self.kept[0][0] if self.kept else self.next_offset)


TestLogAgainstList = LogAgainstList.TestCase
TestLogAgainstList.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
