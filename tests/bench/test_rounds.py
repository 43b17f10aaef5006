"""A round against the stand-in: every message is accounted for, and the generator is faster than any broker."""

from dataclasses import replace

import pytest

from bench import rounds
from bench.client import Address
from bench.loopback import Loopback, loopback_process
from bench.rounds import Result, RoundFailed, run_round
from bench.workloads import WORKLOADS

WINDOW_S = 0.4


def _run(name: str, loopback: Loopback | None = None, **changes: int) -> Result:
    with loopback_process(loopback) as port:
        workload = replace(WORKLOADS[name], **changes)  # type: ignore[arg-type]
        return run_round(Address(port=port), workload, window_s=WINDOW_S, warm_up_s=0.1)


@pytest.mark.parametrize(("name", "wanted_per_s"), [("A", 3_000_000), ("B", 1_500_000)])
def test_generator_can_do_more_than_the_fastest_broker(name: str, wanted_per_s: int) -> None:
    """By the processor time of its busiest process, so that a busy machine does not matter."""
    result = _run(name)
    assert result.delivered_count > 10_000
    busiest_s = result.busiest_generator_share / result.messages_per_s
    assert 1 / max(busiest_s, 1e-9) > wanted_per_s


def test_durable_workload_with_larger_messages_is_accounted_for() -> None:
    assert _run("D").delivered_count > 1000


def test_several_producers_a_message_each_are_accounted_for() -> None:
    assert _run("E", queues=1, consumers=1, producers=4).delivered_count > 1000


class Losing(Loopback):
    """Takes a publish without delivering it, once."""

    lost = False

    @property
    def published(self) -> int:
        return self._published

    @published.setter
    def published(self, count: int) -> None:
        self._published = count
        if count > 1000 and not self.lost:
            self.lost = True
            self._published -= 1


def test_lost_message_fails_the_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "STALL_LIMIT_S", 0.3)
    with pytest.raises(RoundFailed, match="deliveries came"):
        _run("A", Losing())


class Doubling(Losing):
    """Delivers a publish twice, once."""

    @property
    def published(self) -> int:
        return self._published

    @published.setter
    def published(self, count: int) -> None:
        self._published = count
        if count > 1000 and not self.lost:
            self.lost = True
            self._published += 1


def test_doubled_message_fails_the_round() -> None:
    with pytest.raises(RoundFailed, match="twice"):
        _run("A", Doubling())


def test_broker_that_goes_away_fails_the_round(capfd: pytest.CaptureFixture[str]) -> None:
    class Leaving(Losing):
        @property
        def published(self) -> int:
            return self._published

        @published.setter
        def published(self, count: int) -> None:
            self._published = count
            if count > 1000:
                raise SystemExit

    with pytest.raises(RoundFailed, match="failed"):
        _run("A", Leaving())
    assert "connection" in capfd.readouterr().err.lower()
