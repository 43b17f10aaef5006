"""Scripts of the differential test: programs that can be read again, the same script for the same seed."""

import pytest

from conformance.differential.generator import MAX_STEPS, script_of
from conformance.differential.script import BadProgram, Step, from_program, labels_of, prefixed, say, to_program


@pytest.mark.parametrize("seed", range(50))
def test_script_survives_being_printed_and_read(seed: int) -> None:
    script = script_of(seed)
    assert from_program(to_program(script, ["a remark", "of two\nlines"])) == script


def test_same_seed_writes_the_same_script_and_another_one_another() -> None:
    assert script_of("7/1") == script_of("7/1")
    assert script_of("7/1") != script_of("7/2")


@pytest.mark.parametrize("seed", range(20))
def test_script_is_long_enough_to_matter_and_short_enough_to_run(seed: int) -> None:
    assert MAX_STEPS <= len(script_of(seed)) < 2 * MAX_STEPS


def test_all_kinds_of_steps_and_most_methods_are_written() -> None:
    steps = [step for seed in range(200) for step in script_of(seed)]
    assert {step.verb for step in steps} == {"say", "publish", "settle", "wait", "hang_up"}
    missing = {
        *("queue.declare", "queue.bind", "queue.unbind", "queue.purge", "queue.delete", "exchange.declare"),
        *("exchange.bind", "exchange.unbind", "exchange.delete", "basic.get", "basic.consume", "basic.cancel"),
        *("basic.qos", "basic.recover", "basic.recover-async", "basic.ack", "basic.nack", "basic.reject"),
        *("confirm.select", "tx.select", "tx.commit", "tx.rollback", "channel.close", "channel.flow"),
    } - {step.name for step in steps}
    assert missing == set()


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("say(11)", "line 1: none of say, publish, settle, wait, hang_up"),
        ("\nimport os", "line 2: none of"),
        ("remove('/')", "line 1: none of"),
        ("say(11, 'basic.get', queue=open('x'))", "line 1: arguments must be literals"),
        ("say(11,", "line 1: "),
    ],
)
def test_program_that_is_none_is_refused_by_line(line: str, complaint: str) -> None:
    with pytest.raises(BadProgram) as raised:
        from_program(line)
    assert str(raised.value).startswith(complaint)


def test_names_get_the_prefix_wherever_they_are_names() -> None:
    fields = {"queue": "q0", "body": "q0 of m1", "arguments": {"CC": ["g1", "a", 5]}, "passive": True}
    assert prefixed(fields, "p-") == {
        "queue": "p-q0",
        "body": "q0 of m1",
        "arguments": {"CC": ["p-g1", "a", 5]},
        "passive": True,
    }


def test_labels_are_all_names_that_may_have_to_be_deleted() -> None:
    script = [say(11, "queue.declare", queue="q0", arguments={"x-dead-letter-exchange": "d0"}), Step("wait")]
    assert labels_of(script) == {"q0", "d0"}
