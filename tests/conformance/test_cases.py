"""The registry: enough cases, each with its source, and lists of differences that name real ones."""

import pytest

from conformance.case import Section, Session, version_of
from conformance.cases import SECTIONS, load
from conformance.expected import differences_for

CASES = load()


def test_there_are_at_least_400_cases() -> None:
    assert len(CASES) >= 400


def test_every_section_has_cases() -> None:
    assert {case.section for case in CASES} == set(SECTIONS)


def test_every_case_names_its_source() -> None:
    assert [case.id for case in CASES if not case.ref] == []


def test_slow_cases_are_few() -> None:
    assert sum(case.slow for case in CASES) <= 40


@pytest.mark.parametrize("kind", ["leveret", "rabbitmq_3"])
def test_expected_differences_name_cases_and_reasons(kind: str) -> None:
    names = {case.id for case in CASES}
    assert {name: reason for name, reason in differences_for(kind).items() if name not in names or not reason} == {}


def test_unknown_broker_has_no_expected_differences() -> None:
    assert differences_for("") == differences_for("no_such_broker") == {}


def test_two_cases_of_one_name_are_refused() -> None:
    section = Section("for_this_test", "nowhere")

    def twice(session: Session) -> None:
        raise AssertionError(session)

    section.add("twice", twice)
    with pytest.raises(ValueError, match="two cases named for_this_test/twice"):
        section.add("twice", twice)


@pytest.mark.parametrize(
    ("text", "numbers"), [("3.10.8", (3, 10, 8)), ("4.0.0-rc.1", (4, 0)), ("", ()), ("unknown", ())]
)
def test_version_is_read_up_to_what_is_no_number(text: str, numbers: tuple[int, ...]) -> None:
    assert version_of(text) == numbers
