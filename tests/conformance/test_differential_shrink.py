"""Shrinking: as small as it gets, still failing, within the tries that it has."""

from conformance.differential.script import Script, say
from conformance.differential.shrink import shrunk


def numbered(count: int) -> Script:
    return [say(11, "basic.get", queue=f"q{at}", no_ack=True) for at in range(count)]


def test_only_the_steps_that_matter_are_left() -> None:
    script = numbered(40)
    wanted = [script[3], script[17], script[31]]
    small = shrunk(script, lambda candidate: all(step.fields["queue"] in _queues(candidate) for step in wanted))
    assert _queues(small) == ["q3", "q17", "q31"]


def test_fields_and_table_entries_that_do_not_matter_go_too() -> None:
    step = say(11, "queue.declare", queue="q0", durable=True, arguments={"a": 1, "b": 2, "c": {"d": 3, "e": 4}})

    def fails(candidate: Script) -> bool:
        arguments = candidate[0].fields.get("arguments", {})
        return "b" in arguments and "e" in arguments.get("c", {})

    assert shrunk([step], fails) == [say(11, "queue.declare", queue="q0", arguments={"b": 2, "c": {"e": 4}})]


def test_search_ends_with_what_it_has_when_the_tries_are_used_up() -> None:
    tried: list[Script] = []

    def fails(candidate: Script) -> bool:
        tried.append(candidate)
        return len(candidate) > 3

    small = shrunk(numbered(40), fails, tries=2)
    assert len(tried) == 2
    assert len(small) == 10


def test_script_that_only_fails_as_a_whole_stays_as_it_is() -> None:
    script = [say(11, "tx.select"), say(12, "tx.select")]
    assert shrunk(script, lambda candidate: candidate == script) == script


def _queues(script: Script) -> list[str]:
    return [step.fields["queue"] for step in script]
