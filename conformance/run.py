"""Runs cases against one broker: in order, the slow ones side by side, each with a session of its own.

Gives outcomes; how they are shown is ``report``'s business.
"""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass

from conformance.case import Bystander, Case, NotApplicable, Session, version_of
from conformance.codec import FieldTable
from conformance.expected import differences_for
from conformance.wire import Address, Connection, Mismatch

PASSED, FAILED, NOT_APPLICABLE, DIFFERS = "passed", "failed", "not applicable", "differs"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one case went. ``reason`` is why it does not apply, or why it was expected to differ."""

    case: str
    section: str
    ref: str
    status: str
    expected: str = ""
    got: str = ""
    reason: str = ""
    duration_s: float = 0.0

    def as_json(self) -> dict[str, object]:
        """The outcome as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker under test, as it presents itself."""

    address: Address
    product: str
    version: str
    kind: str
    differences: dict[str, str]

    @property
    def label(self) -> str:
        """Product and version."""
        return f"{self.product} {self.version}"


def meet(address: Address, kind: str = "") -> Broker:
    """Return who answers at the address, by its server-properties; ``kind`` overrides the guess.

    Raises OSError where nobody answers and Mismatch where it is no AMQP 0-9-1 broker or refuses us.
    """
    connection = Connection(address).open()
    if connection.start is None:
        raise Mismatch("connection.start", "none")
    properties: FieldTable = connection.start.server_properties
    connection.close()
    guess = "leveret" if any("leveret" in str(value).lower() for value in properties.values()) else ""
    product, version = str(properties.get("product", "unknown")), str(properties.get("version", ""))
    if not guess and product == "RabbitMQ":
        guess = f"rabbitmq_{version.split('.')[0]}"
    chosen = kind or guess
    if chosen == "leveret":
        product = "Leveret as " + product
    return Broker(address, product, version, chosen, differences_for(chosen))


def run(broker: Broker, cases: Iterable[Case], on_outcome: Callable[[Outcome], None]) -> list[Outcome]:
    """Run the cases; call ``on_outcome`` as each ends; return all outcomes in the order of the cases."""
    ordered = list(cases)
    outcomes: dict[str, Outcome] = {}
    with ThreadPoolExecutor(max_workers=32) as pool:
        waiting: list[Future[Outcome]] = [pool.submit(run_case, broker, case) for case in ordered if case.slow]
        bystander = Bystander(broker.address)
        for case in ordered:
            if case.slow:
                continue
            outcome = run_case(broker, case, bystander)
            if outcome.status == FAILED and "other connections" in outcome.expected:
                bystander = Bystander(broker.address)
            outcomes[case.id] = outcome
            on_outcome(outcome)
        for future in waiting:
            outcome = future.result()
            outcomes[outcome.case] = outcome
            on_outcome(outcome)
        bystander.check_served()
        bystander.connection.close()
    return [outcomes[case.id] for case in ordered]


def run_case(broker: Broker, case: Case, bystander: Bystander | None = None) -> Outcome:
    """Run one case and return how it went."""
    if reason := _not_applicable(broker, case):
        return Outcome(case.id, case.section, case.ref, NOT_APPLICABLE, reason=reason)
    began = time.monotonic()
    session = Session(broker.address)
    try:
        try:
            case.function(session)
        finally:
            session.end()
        if bystander is not None:
            bystander.check_served()
    except NotApplicable as reason:
        return Outcome(case.id, case.section, case.ref, NOT_APPLICABLE, reason=str(reason))
    except Mismatch as mismatch:
        return _failed(broker, case, mismatch.expected, mismatch.got, began)
    except (AssertionError, OSError, ValueError, KeyError, AttributeError, IndexError) as error:
        return _failed(broker, case, "the case to run through", f"{type(error).__name__}: {error}", began)
    return Outcome(case.id, case.section, case.ref, PASSED, duration_s=time.monotonic() - began)


def _failed(broker: Broker, case: Case, expected: str, got: str, began: float) -> Outcome:
    reason = broker.differences.get(case.id, "")
    status = DIFFERS if reason else FAILED
    spent_s = time.monotonic() - began
    return Outcome(case.id, case.section, case.ref, status, expected, got, reason, spent_s)


def _not_applicable(broker: Broker, case: Case) -> str:
    version = version_of(broker.version)
    if not broker.product.endswith("RabbitMQ") or not version:
        return ""
    if case.since and version < case.since:
        return f"since {'.'.join(map(str, case.since))}"
    if case.until and version >= case.until:
        return f"until {'.'.join(map(str, case.until))}"
    return ""
