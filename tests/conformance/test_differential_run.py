"""The lockstep run: a broker never differs from itself; where one is made to differ, that is found and said."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.codec import Typed
from conformance.differential import lockstep
from conformance.differential.__main__ import main
from conformance.differential.events import line_of, shown
from conformance.differential.generator import script_of
from conformance.differential.known import without_known
from conformance.differential.lockstep import Pair
from conformance.differential.script import Script, Step, from_program, say
from conformance.differential.side import Side
from conformance.wire import Address, Connection, Method
from tests.brokers import RunningBroker


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    broker = RunningBroker(tmp_path_factory.mktemp("differential"))
    yield broker.url
    broker.stop()


@pytest.fixture
def pair(url: str) -> Iterator[Pair]:
    address = Address.parse(url)
    pair = Pair(address, address, ("left", "right"))
    yield pair
    pair.close()


def made_to_differ(monkeypatch: pytest.MonkeyPatch, name: str, **fields: object) -> None:
    """Let every second side, which is the right one, send other fields with the method ``name``."""
    perform = Side.perform
    turns = {"count": 0}

    def differently(side: Side, step: Step, tags: list[int]) -> None:
        turns["count"] += 1
        if turns["count"] % 2 == 0 and step.name == name:
            step = Step(step.verb, step.channel, step.name, {**step.fields, **fields})
        perform(side, step, tags)

    monkeypatch.setattr(Side, "perform", differently)


@pytest.mark.parametrize("seed", range(12))
def test_broker_does_not_differ_from_itself(pair: Pair, seed: int) -> None:
    outcome = pair.run(script_of(f"self/{seed}"))
    assert outcome.difference is None
    assert outcome.step_count


def test_difference_names_step_matter_and_both_sides(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    made_to_differ(monkeypatch, "basic.get", no_ack=True)
    script = [
        say(11, "queue.declare", queue="q0"),
        Step("publish", 11, "", {"exchange": "", "routing_key": "q0", "body": "m1"}),
        say(11, "basic.get", queue="q0"),
        say(11, "channel.close", reply_code=200),
    ]
    difference = pair.run(script, 0.1).difference
    assert difference == lockstep.Difference(3, "queue q0", "1 ready, 0 consumers", "0 ready, 0 consumers")


def test_nothing_is_left_behind(pair: Pair, url: str) -> None:
    script: Script = [
        say(11, "queue.declare", queue="q0", durable=True),
        say(21, "queue.declare", queue="q1", exclusive=True),
        say(11, "exchange.declare", exchange="x0", type="fanout"),
    ]
    prefixes = ["differential-left-", "differential-right-"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lockstep, "new_prefix", iter(prefixes).__next__)
        assert pair.run(script).difference is None
    connection = Connection(Address.parse(url)).open()
    for prefix in prefixes:
        channel = connection.channel()
        for kind, label in (("queue", "q0"), ("queue", "q1"), ("exchange", "x0")):
            channel.send(f"{kind}.declare", passive=True, **{kind: prefix + label})
            assert channel.expect("channel.close").reply_code == 404
            channel.send("channel.close-ok")
            channel.call("channel.open")
    connection.close()


def test_command_prints_a_shrunk_program_and_saves_it(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made_to_differ(monkeypatch, "queue.purge", queue="q1")
    program = tmp_path / "program.py"
    program.write_text(
        'say(11, "queue.declare", queue="q0")\nsay(11, "queue.declare", queue="q1")\nsay(12, "tx.select")\n'
        'publish(12, routing_key="q1", body="m1")\nsay(12, "tx.commit")\nsay(11, "queue.purge", queue="q0")\n'
    )
    assert main([url, url, "--replay", str(program), "--save", str(tmp_path / "found")]) == 1
    printed = capsys.readouterr().out
    assert "1 different, 0 seen once only" in printed
    [saved] = (tmp_path / "found").iterdir()
    assert saved.read_text() in printed
    shrunk = from_program(saved.read_text())
    assert [step.name or step.verb for step in shrunk].count("tx.select") == 0
    assert shrunk[-1] == say(11, "queue.purge", queue="q0")


def test_command_refuses_what_it_cannot_run(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = tmp_path / "program.py"
    program.write_text("say(1)\n")
    assert main([url, url, "--replay", str(program)]) == 2
    assert "line 1" in capsys.readouterr().err
    assert main([url, "amqp://127.0.0.1:1/"]) == 2


def test_command_is_quiet_about_what_is_equal(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([url, url, "--scripts", "2", "--seed", "quiet"]) == 0
    assert capsys.readouterr().out.startswith("2 scripts, ")


def test_times_generated_names_and_prefixes_do_not_count() -> None:
    method = Method("queue.declare-ok", {"queue": "amq.gen-0123456789abcdefghijkl", "message_count": 0})
    assert line_of(method, "p-") == "queue.declare-ok queue='amq.gen-' message_count=0"
    close = Method("channel.close", {"reply_text": "no queue 'p-q0'"})
    assert line_of(close, "p-") == "channel.close reply_text=\"no queue 'q0'\""
    assert shown(Typed("T", 5)) == shown(Typed("T", 6))


def test_types_of_table_values_count_and_their_order_does_not() -> None:
    assert shown(Typed("F", {"a": Typed("I", 1), "b": Typed("S", "x")})) == shown(
        Typed("F", {"b": Typed("S", "x"), "a": Typed("I", 1)})
    )
    assert shown(Typed("I", 1)) != shown(Typed("l", 1))


def test_older_deaths_may_come_in_any_order_but_not_the_last() -> None:
    first, second, third = (Typed("F", {"queue": Typed("S", name)}) for name in "abc")

    def deaths(*entries: Typed) -> Typed:
        return without_known(Typed("F", {"x-death": Typed("A", list(entries))}))

    assert deaths(first, second, third) == deaths(first, third, second)
    assert deaths(first, second, third) != deaths(second, first, third)
