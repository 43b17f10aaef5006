"""How the exchange types route: direct, fanout, topic patterns, headers matching."""

from collections.abc import Iterable, Mapping
from typing import Any

from conformance.case import CaseFunction, Section, Session
from conformance.codec import Typed
from conformance.wire import check

case = Section("routing", "3.1.3")


@case(ref="3.1.3.1")
def direct_routes_by_equal_key(session: Session) -> None:
    channel = session.channel()
    exchange = session.exchange(channel, "direct")
    queue = session.queue(channel)
    channel.bind(queue, exchange, "k")
    for key in ("k", "K", "kk", "", "k "):
        channel.publish(exchange, key, key.encode())
    check(channel.bodies(queue), [b"k"])


@case(ref="3.1.3.1")
def direct_routes_to_every_queue_of_the_key(session: Session) -> None:
    channel = session.channel()
    exchange = session.exchange(channel, "direct")
    queues = [session.queue(channel) for _ in range(3)]
    for queue in queues:
        channel.bind(queue, exchange, "k")
    channel.publish(exchange, "k", b"x")
    check([channel.bodies(queue) for queue in queues], [[b"x"]] * 3)


@case(ref="3.1.3.1")
def direct_takes_wildcards_literally(session: Session) -> None:
    channel = session.channel()
    exchange = session.exchange(channel, "direct")
    queue = session.queue(channel)
    channel.bind(queue, exchange, "a.*")
    channel.bind(queue, exchange, "#")
    for key in ("a.b", "a.*", "#"):
        channel.publish(exchange, key, key.encode())
    check(channel.bodies(queue), [b"a.*", b"#"])


@case(ref="3.1.3.2")
def fanout_routes_to_all_whatever_the_key(session: Session) -> None:
    channel = session.channel()
    exchange = session.exchange(channel, "fanout")
    queues = [session.queue(channel) for _ in range(3)]
    for queue in queues:
        channel.bind(queue, exchange, "ignored")
    channel.publish(exchange, "another", b"x")
    channel.publish(exchange, "", b"y")
    check([channel.bodies(queue) for queue in queues], [[b"x", b"y"]] * 3)


@case(ref="3.1.3.2")
def fanout_gives_each_queue_one_copy_however_many_bindings(session: Session) -> None:
    channel = session.channel()
    exchange = session.exchange(channel, "fanout")
    queue = session.queue(channel)
    for key in ("a", "b", "c"):
        channel.bind(queue, exchange, key)
    channel.publish(exchange, "", b"x")
    check(channel.bodies(queue), [b"x"])


@case(ref="3.1.3.3")
def topic_gives_each_queue_one_copy_however_many_patterns(session: Session) -> None:
    channel = session.channel()
    exchange = session.exchange(channel, "topic")
    queue = session.queue(channel)
    for pattern in ("a.b", "a.*", "*.b", "#", "a.#", "#.b"):
        channel.bind(queue, exchange, pattern)
    channel.publish(exchange, "a.b", b"x")
    check(channel.bodies(queue), [b"x"])


@case(ref="3.1.3.3")
def topic_unbind_of_one_pattern_leaves_the_others(session: Session) -> None:
    channel = session.channel()
    exchange = session.exchange(channel, "topic")
    queue = session.queue(channel)
    for pattern in ("a.*", "a.#", "a.b"):
        channel.bind(queue, exchange, pattern)
    for pattern, left in (("a.#", 1), ("a.*", 1), ("a.b", 0)):
        channel.call("queue.unbind", queue=queue, exchange=exchange, routing_key=pattern)
        channel.publish(exchange, "a.b", b"x")
        check(len(channel.bodies(queue)), left, f"copies after unbinding {pattern}:")


@case(ref="3.1.3.3")
def topic_patterns_of_two_queues_do_not_mix(session: Session) -> None:
    channel = session.channel()
    exchange = session.exchange(channel, "topic")
    one, other = session.queue(channel), session.queue(channel)
    channel.bind(one, exchange, "*.error")
    channel.bind(other, exchange, "disk.#")
    for key in ("disk.error", "disk.info", "net.error", "net.info"):
        channel.publish(exchange, key, key.encode())
    check(channel.bodies(one), [b"disk.error", b"net.error"])
    check(channel.bodies(other), [b"disk.error", b"disk.info"])


# Pattern, keys it matches, keys it does not. "" is no word at all; "." is two empty ones.
TOPICS: dict[str, tuple[str, str, Iterable[str]]] = {
    "hash": ("#", "|a|a.b|.|..|a.b.c.d", ()),
    "hash_hash": ("#.#", "|a|a.b|.", ()),
    "star": ("*", "a|abc", ("", ".", "a.b", "a.")),
    "star_hash": ("*.#", "a|a.b|.|a.b.c", ("",)),
    "hash_star": ("#.*", "a|a.b|.|a.b.c", ("",)),
    "star_star": ("*.*", "a.b|.|a.|.b", ("", "a", "..", "a.b.c")),
    "star_hash_star": ("*.#.*", "a.b|.|a.b.c|a.b.c.d", ("", "a")),
    "word_hash": ("a.#", "a|a.|a.b|a.b.c", ("ab", ".a", "", "b.a")),
    "hash_word": ("#.a", "a|.a|b.a|b.c.a", ("a.", "ba", "")),
    "word_hash_word": ("a.#.b", "a.b|a..b|a.x.b|a.x.y.b", ("ab", "a", "b", "a.b.c")),
    "hash_word_hash": ("#.a.#", "a|x.a|a.x|x.y.a.z|a.a", ("", "b", "ab", "x.b")),
    "word_star": ("a.*", "a.b|a.", ("a", "a.b.c", "b.a", "")),
    "star_word": ("*.b", "a.b|.b", ("b", "a.a.b", "")),
    "word_star_word": ("a.*.c", "a.b.c|a..c", ("a.c", "a.b.b.c", "a.b")),
    "star_word_hash": ("*.b.#", "a.b|a.b.c|.b.c.d", ("b", "b.c", "a.c")),
    "hash_word_star": ("#.a.*", "a.b|x.a.b|a.a.b", ("a", "a.b.c")),
    "two_hashes_with_words": ("#.a.#.b.#", "a.b|x.a.y.b.z|a.a.b.b", ("b.a", "a", "b")),
    "empty": ("", "", (".", "a")),
    "plain_words": ("a.b.c", "a.b.c", ("a.b", "a.b.c.d", "A.b.c", "a.b.C")),
    "star_inside_a_word": ("a*", "a*", ("a", "ab", "a.b")),
    "hash_inside_a_word": ("a#.b", "a#.b", ("a.b", "ax.b", "a.x.b")),
    "trailing_dot": ("a.", "a.", ("a", "a.b")),
    "leading_dot": (".a", ".a", ("a", "b.a")),
    "upper_case": ("A.b", "A.b", ("a.b",)),
}


def _topic(pattern: str, matching: str, other: Iterable[str]) -> CaseFunction:
    def run(session: Session) -> None:
        channel = session.channel()
        exchange = session.exchange(channel, "topic")
        queue = session.queue(channel)
        channel.bind(queue, exchange, pattern)
        keys = matching.split("|")
        for key in (*keys, *other):
            channel.publish(exchange, key, key.encode())
        got = [body.decode() for body in channel.bodies(queue)]
        check(got, keys, f"keys that {pattern!r} matches:")

    return run


for _name, (_pattern, _matching, _other) in TOPICS.items():
    case.add(f"topic_{_name}", _topic(_pattern, _matching, _other), ref="3.1.3.3")


def _headers(arguments: Mapping[str, Any], matching: list[Any], other: list[Any]) -> CaseFunction:
    def run(session: Session) -> None:
        channel = session.channel()
        exchange = session.exchange(channel, "headers")
        queue = session.queue(channel)
        channel.bind(queue, exchange, "", dict(arguments))
        for number, headers in enumerate(matching + other):
            properties = {} if headers is None else {"headers": headers}
            channel.publish(exchange, "ignored", str(number).encode(), **properties)
        got = [int(body) for body in channel.bodies(queue)]
        check(got, list(range(len(matching))), f"messages matched of {matching + other}:")

    return run


# Binding arguments, headers that match (None: no headers property), headers that do not.
HEADERS: dict[str, tuple[dict[str, Any], list[Any], list[Any]]] = {
    "without_arguments_match_everything": ({}, [None, {}, {"a": 1}], []),
    "all_without_keys_matches_everything": ({"x-match": "all"}, [None, {}, {"a": 1}], []),
    "any_without_keys_matches_nothing": ({"x-match": "any"}, [], [None, {}, {"a": 1}]),
    "all_needs_every_key": (
        {"x-match": "all", "a": 1, "b": "two"},
        [{"a": 1, "b": "two"}, {"a": 1, "b": "two", "c": 3}],
        [None, {}, {"a": 1}, {"b": "two"}, {"a": 1, "b": "three"}],
    ),
    "any_needs_one_key": (
        {"x-match": "any", "a": 1, "b": "two"},
        [{"a": 1, "b": "two"}, {"a": 1}, {"b": "two"}, {"a": 9, "b": "two"}],
        [None, {}, {"c": 3}, {"a": 2}, {"b": "three"}],
    ),
    "the_default_is_all": ({"a": 1, "b": 2}, [{"a": 1, "b": 2}], [{"a": 1}, {"b": 2}, None]),
    "void_matches_any_value": (
        {"x-match": "all", "a": None},
        [{"a": 1}, {"a": "x"}, {"a": None}, {"a": False}],
        [{"b": 1}, None],
    ),
    "void_in_any_matches_any_value": ({"x-match": "any", "a": None, "b": 1}, [{"a": 5}, {"b": 1}], [{"b": 2}]),
    "x_keys_are_skipped_in_all": (
        {"x-match": "all", "a": 1, "x-b": 2},
        [{"a": 1}, {"a": 1, "x-b": 3}],
        [{"x-b": 2}],
    ),
    "x_keys_are_skipped_in_any": ({"x-match": "any", "a": 1, "x-b": 2}, [{"a": 1}], [{"x-b": 2}, {}]),
    "integers_are_equal_across_widths": (
        {"a": Typed("l", 5)},
        [{"a": Typed("b", 5)}, {"a": Typed("s", 5)}, {"a": Typed("I", 5)}, {"a": Typed("l", 5)}],
        [{"a": 6}],
    ),
    "types_are_not_mixed": ({"a": 1}, [{"a": 1}], [{"a": "1"}, {"a": True}, {"a": None}]),
    "strings_are_case_sensitive": ({"a": "Text"}, [{"a": "Text"}], [{"a": "text"}, {"a": ""}]),
    "booleans_match_booleans": ({"a": True}, [{"a": True}], [{"a": False}, {"a": "true"}, {"a": 1}]),
    "tables_match_by_value": ({"a": {"b": "c"}}, [{"a": {"b": "c"}}], [{"a": {"b": "d"}}, {"a": {}}]),
    "the_routing_key_is_ignored": ({"x-match": "any", "a": 1}, [{"a": 1}], []),
}
WITH_X: dict[str, tuple[dict[str, Any], list[Any], list[Any]]] = {
    "all_with_x_uses_x_keys": (
        {"x-match": "all-with-x", "a": 1, "x-b": 2},
        [{"a": 1, "x-b": 2}],
        [{"a": 1}, {"x-b": 2}],
    ),
    "any_with_x_uses_x_keys": (
        {"x-match": "any-with-x", "a": 1, "x-b": 2},
        [{"x-b": 2}, {"a": 1}],
        [{}, {"x-b": 3}],
    ),
}
for _name, _row in (HEADERS | WITH_X).items():
    case.add(f"headers_{_name}", _headers(*_row), ref="3.1.3.4")


@case(ref="3.1.3.4")
def headers_with_a_bad_x_match_value_is_406(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    text = 'PRECONDITION_FAILED - Invalid x-match field value <<"some">>; expected all, any, all-with-x, or any-with-x'
    channel.refused(406, text, "queue.bind", queue=queue, exchange="amq.headers", arguments={"x-match": "some"})


@case(ref="3.1.3.4")
def headers_with_an_x_match_that_is_no_string_is_406(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    text = "PRECONDITION_FAILED - Invalid x-match field type signedint (value 1); expected longstr"
    channel.refused(406, text, "queue.bind", queue=queue, exchange="amq.headers", arguments={"x-match": 1})


@case(ref="3.1.3.4")
def amq_match_is_a_headers_exchange(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.bind(queue, "amq.match", "", {"mark": session.mark})
    channel.publish("amq.match", "", b"x", headers={"mark": session.mark})
    check(channel.bodies(queue), [b"x"])


@case(ref="3.1.3.4")
def headers_bindings_differ_by_their_arguments(session: Session) -> None:
    channel = session.channel()
    exchange = session.exchange(channel, "headers")
    queue = session.queue(channel)
    channel.bind(queue, exchange, "", {"a": 1})
    channel.bind(queue, exchange, "", {"b": 1})
    channel.publish(exchange, "", b"both", headers={"a": 1, "b": 1})
    channel.call("queue.unbind", queue=queue, exchange=exchange, arguments={"a": 1})
    channel.publish(exchange, "", b"a", headers={"a": 1})
    channel.publish(exchange, "", b"b", headers={"b": 1})
    check(channel.bodies(queue), [b"both", b"b"])


@case(ref="1.4.1.1")
def the_default_exchange_routes_by_queue_name_only(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.bind(queue, "amq.direct", "alias" + session.mark)
    channel.publish("", "alias" + session.mark, b"no")
    channel.publish("", queue, b"yes")
    check(channel.bodies(queue), [b"yes"])


@case()
def a_binding_made_between_two_publishes_counts_from_then(session: Session) -> None:
    channel = session.channel()
    exchange = session.exchange(channel, "direct")
    queue = session.queue(channel)
    channel.publish(exchange, "k", b"1")
    channel.bind(queue, exchange, "k")
    channel.publish(exchange, "k", b"2")
    channel.call("queue.unbind", queue=queue, exchange=exchange, routing_key="k")
    channel.publish(exchange, "k", b"3")
    channel.bind(queue, exchange, "k")
    channel.publish(exchange, "k", b"4")
    check(channel.bodies(queue), [b"2", b"4"])


@case()
def an_exchange_deleted_between_two_publishes_is_404(session: Session) -> None:
    channel = session.channel()
    exchange = session.exchange(channel, "fanout")
    queue = session.queue(channel)
    channel.bind(queue, exchange)
    channel.publish(exchange, "k", b"1")
    session.channel().call("exchange.delete", exchange=exchange)
    channel.publish_refused(404, session.no_exchange(exchange), exchange, "k")
    check(channel.bodies(queue), [b"1"])


@case()
def an_exchange_made_anew_with_another_type_routes_by_that(session: Session) -> None:
    channel = session.channel()
    exchange = session.exchange(channel, "direct")
    queue = session.queue(channel)
    channel.bind(queue, exchange, "#")
    channel.publish(exchange, "k", b"direct")
    channel.call("exchange.delete", exchange=exchange)
    channel.call("exchange.declare", exchange=exchange, type="topic")
    channel.bind(queue, exchange, "#")
    channel.publish(exchange, "k", b"topic")
    check(channel.bodies(queue), [b"topic"])


@case()
def a_queue_made_anew_gets_what_comes_after(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.publish("", queue, b"old")
    channel.call("queue.delete", queue=queue)
    channel.publish("", queue, b"nowhere")
    channel.call("queue.declare", queue=queue, exclusive=True)
    channel.publish("", queue, b"new")
    check(channel.bodies(queue), [b"new"])


@case()
def a_binding_made_on_another_connection_counts_at_once(session: Session) -> None:
    channel, stranger = session.channel(), session.stranger()
    exchange = session.exchange(channel, "topic")
    queue = session.shared_queue(channel)
    channel.publish(exchange, "a.b", b"before", mandatory=True)
    channel.expect("basic.return")
    stranger.bind(queue, exchange, "a.*")
    channel.publish(exchange, "a.b", b"after", mandatory=True)
    channel.wait_ready(queue, 1)
    stranger.call("queue.unbind", queue=queue, exchange=exchange, routing_key="a.*")
    channel.publish(exchange, "a.b", b"again", mandatory=True)
    check(channel.expect("basic.return").body, b"again")
    check(channel.bodies(queue), [b"after"])


@case()
def a_queue_gone_with_its_owner_is_routed_to_no_more(session: Session) -> None:
    channel, owner = session.channel(), session.stranger()
    exchange = session.exchange(channel, "fanout")
    owner.bind(session.queue(owner), exchange)
    channel.publish(exchange, "", b"x", mandatory=True)
    channel.round_trip()
    owner.connection.close()
    channel.publish(exchange, "", b"y", mandatory=True)
    check(channel.expect("basic.return").body, b"y")


@case(ref="3.1.3.4")
def headers_of_each_message_are_looked_at(session: Session) -> None:
    channel = session.channel()
    exchange = session.exchange(channel, "headers")
    queue = session.queue(channel)
    channel.bind(queue, exchange, "", {"n": 1})
    for number in (1, 2, 1, 3, 1):
        channel.publish(exchange, "k", b"x", headers={"n": number})
    check(len(channel.bodies(queue)), 3)


@case(ref="3.1.3.3")
def topic_with_a_thousand_bindings_finds_the_right_one(session: Session) -> None:
    channel = session.channel()
    exchange = session.exchange(channel, "topic")
    queue, other = session.queue(channel), session.queue(channel)
    for number in range(999):
        fields = {"queue": other, "exchange": exchange, "routing_key": f"group.{number}.*", "nowait": True}
        channel.send("queue.bind", **fields)
    channel.bind(queue, exchange, "*.last.#")
    channel.publish(exchange, "group.last", b"x")
    check((channel.bodies(queue), channel.bodies(other)), ([b"x"], []))


@case(ref="3.1.3.3")
def topic_keys_of_many_words_are_matched(session: Session) -> None:
    channel = session.channel()
    exchange = session.exchange(channel, "topic")
    queue = session.queue(channel)
    channel.bind(queue, exchange, "#.z.#.z.#")
    key = ".".join(["a"] * 60)
    for words in (key, f"{key}.z", f"z.{key}.z", f"{key}.z.z"):
        channel.publish(exchange, words, words.encode())
    check(channel.bodies(queue), [f"z.{key}.z".encode(), f"{key}.z.z".encode()])
