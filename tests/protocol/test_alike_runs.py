"""Messages whose headers differ only behind what a broker acts on: cut together, they are what they are one by one."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protocol.alike import AlikeCutter
from protocol.content import same_start
from protocol.errors import AmqpError
from protocol.frames import FrameReader
from protocol.runs import GroupedRun, PublishRun
from tests.protocol.octets import content_frames, publish_frame, short
from tests.protocol.test_keyed_runs import FRAME_MAX, MAX_MESSAGE, fed, messages_of, ungrouped

FRAME = publish_frame(b"logs", b"key")


def header(flags: int, *values: bytes) -> bytes:
    return flags.to_bytes(2) + b"".join(values)


def with_id(number: int) -> bytes:
    return header(0x0080, short(b"%016x" % number))


def as_clients_do(number: int) -> bytes:
    """Content type, headers, delivery mode and priority, then an id and a time of its own."""
    table = b"\0\0\0\x0a" + b"\2idl" + bytes(7)
    return header(0xB8C0, short(b"text/plain"), table[:14], b"\2", b"\5", short(b"%08x" % number), number.to_bytes(8))


def octets_of(headers: list[bytes], bodies: list[bytes], keys: list[bytes]) -> bytes:
    return b"".join(
        publish_frame(b"logs", keys[place % len(keys)]) + content_frames(bodies[place % len(bodies)], each)
        for place, each in enumerate(headers)
    )


def outcome(*reads: bytes) -> tuple[list[tuple[object, ...]], list[object], str]:
    """The messages, what the broker acts on in each, and the error."""
    runs, error = fed(FrameReader(FRAME_MAX, MAX_MESSAGE), *reads)
    facts: list[object] = []
    for run in runs:
        for single in [run] if run.routing_keys is None else run.one_by_one():
            known = single.shape.facts
            others = known.persistent, known.expiration, known.user_id, known.reply_to, known.has_carbon
            facts += [(*others, single.shape.priority_of(piece)) for piece in single.pieces]
    return messages_of(runs), facts, f"{type(error)} {error}"


def octet_by_octet(octets: bytes) -> tuple[list[tuple[object, ...]], list[object], str]:
    """The reader cannot but go one by one then."""
    return outcome(*(octets[at : at + 1] for at in range(len(octets))))


@pytest.mark.parametrize("make", [with_id, as_clients_do])
@pytest.mark.parametrize("body", [b"", b"body"])
def test_messages_with_ids_of_their_own_are_cut_by_one_split(make: object, body: bytes) -> None:
    headers = [(with_id if make is with_id else as_clients_do)(number) for number in range(100)]
    octets = octets_of(headers, [body], [b"key"])
    found = AlikeCutter().cut(octets, 0, len(octets), FRAME, FRAME_MAX, MAX_MESSAGE)
    assert found is not None
    assert found.stop == len(octets)
    assert found.pieces == [content_frames(body, each) for each in headers]
    assert (found.facts.persistent, found.facts.priority) == ((False, None) if make is with_id else (True, 5))


def test_few_keys_are_grouped_and_each_keeps_its_order() -> None:
    octets = octets_of([with_id(number) for number in range(200)], [b"body"], [b"a", b"bb", b"c"])
    (run,) = [run for run in FrameReader(FRAME_MAX, MAX_MESSAGE).feed(octets) if isinstance(run, GroupedRun)]
    # The first of all taught the reader what a publish looks like.
    assert [key.publish.routing_key for key in run.keys] == ["bb", "c", "a"]
    assert run.count == 199
    assert len(ungrouped(run).pieces) == 199


@pytest.mark.parametrize(("keys", "octets"), [([b"aa", b"bb", b"cc"], 2), ([b"a", b"bb"], -1)])
def test_a_shape_knows_how_long_its_keys_are_where_all_are_of_one_length(keys: list[bytes], octets: int) -> None:
    read = octets_of([with_id(number) for number in range(60)], [b"body"], keys)
    runs: list[PublishRun] = fed(FrameReader(FRAME_MAX, MAX_MESSAGE), read)[0]
    assert [run.shape.key_octets for run in runs if run.routing_keys is not None] == [octets]


def test_only_properties_behind_the_last_that_matters_may_differ() -> None:
    def start(properties: bytes) -> int:
        return same_start(content_frames(b"body", properties))

    assert start(with_id(1)) == 21
    assert start(header(0x1080, b"\2", short(b"id"))) == 22
    assert start(header(0x1880, b"\2", b"\5", short(b"id"))) == 23
    assert start(header(0x8080, short(b"text/plain"), short(b"id"))) == 32
    assert start(header(0x0480, short(b"correlation"), short(b"id"))) == 0
    assert start(header(0x0100, short(b"1000"))) == 0
    assert same_start(content_frames(b"body", header(0x8000, b"\xff"))[:21]) == 0


def test_short_runs_leave_a_cutter_that_tries_little() -> None:
    cutter = AlikeCutter()
    looks = octets_of([with_id(number) for number in range(20)], [b"body"], [b"key"])
    octets = (looks + octets_of([with_id(1)], [b"longer"], [b"key"])) * 200
    found = cutter.cut(octets, 0, len(octets), FRAME, FRAME_MAX, MAX_MESSAGE)
    assert found is not None
    assert len(found.pieces) == 20
    assert cutter.limit == 40


def test_a_body_that_looks_like_the_next_message_is_a_body() -> None:
    inner = FRAME + content_frames(b"12345678", with_id(7))
    octets = octets_of([with_id(number) for number in range(40)], [inner * 2 + b"\xce" * 9], [b"key"])
    assert outcome(octets) == octet_by_octet(octets)
    assert len(outcome(octets)[0]) == 40


headers = st.one_of(
    st.lists(st.integers(0, 99).map(with_id), min_size=17, max_size=40),
    st.lists(st.integers(0, 99).map(as_clients_do), min_size=17, max_size=40),
    st.lists(
        st.sampled_from(
            [with_id(1), with_id(2), with_id(3), header(0x1000, b"\2"), as_clients_do(1), header(0x0100, short(b"9"))]
        ),
        min_size=17,
        max_size=40,
    ),
)


@settings(max_examples=200, deadline=None)
@given(
    headers,
    st.sampled_from([[b"body"], [b""], [b"body"] * 20 + [b"other body"], [b"\xce" * 30]]),
    st.sampled_from([[b"key"], [b"a", b"b"], [b"a", b"bb", b"\xc3\xa4"], [b"%d" % number for number in range(50)]]),
    st.none() | st.tuples(st.integers(0, 5000), st.integers(0, 255)),
)
@example([with_id(number) for number in range(40)], [b"body"], [b"key"], (1830, 0))
@example([with_id(number) for number in range(40)], [b"body"], [b"a", b"b"], (1830, 255))
def test_any_such_messages_with_a_changed_octet_are_what_they_are_one_by_one(
    headers: list[bytes], bodies: list[bytes], keys: list[bytes], change: tuple[int, int] | None
) -> None:
    octets = bytearray(octets_of(headers, bodies, keys))
    if change is not None:
        octets[change[0] % len(octets)] = change[1]
    assert outcome(bytes(octets)) == octet_by_octet(bytes(octets))


@pytest.mark.parametrize("ids", [range(30), [1] * 30], ids=["ids of their own", "one header"])
def test_any_wrong_octet_within_a_run_is_found(ids: list[int]) -> None:
    messages = [octets_of([with_id(number)], [b"body"], [b"key"]) for number in ids]
    at, size = sum(map(len, messages[:20])), len(messages[20])
    for place in range(at, at + size):
        octets = bytearray(b"".join(messages))
        octets[place] ^= 1
        assert outcome(bytes(octets)) == octet_by_octet(bytes(octets)), f"octet {place - at} of a message of {size}"


def test_fuzzed_sizes_raise_nothing_but_errors_of_the_protocol() -> None:
    octets = octets_of([with_id(number) for number in range(30)], [b"body"], [b"key"])
    for at in range(len(FRAME), len(FRAME) + 24):
        for value in (0, 1, 0x7F, 0xFF):
            changed = octets[:at] + bytes((value,)) + octets[at + 1 :]
            _, error = fed(FrameReader(FRAME_MAX, MAX_MESSAGE), changed)
            assert error is None or isinstance(error, AmqpError)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 20_000), st.integers(0, 255))
def test_long_messages_with_a_changed_octet_are_what_they_are_one_by_one(at: int, value: int) -> None:
    octets = bytearray(octets_of([with_id(1)] * 7, [b"z" * 600], [b"key"]))
    octets[at % len(octets)] = value
    assert outcome(bytes(octets)) == octet_by_octet(bytes(octets))


def test_long_messages_of_one_header_are_one_run_up_to_another() -> None:
    octets = octets_of([with_id(1)] * 30 + [with_id(2)] + [with_id(1)] * 30, [b"z" * 600], [b"key"])
    runs, _ = fed(FrameReader(FRAME_MAX, MAX_MESSAGE), octets)
    assert [len(run.pieces) for run in runs] == [1, 29, 31]
