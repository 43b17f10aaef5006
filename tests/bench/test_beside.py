"""Work in another process: its result, its failure, its end."""

import os
import time

import pytest

from bench.beside import Beside
from bench.meter import Load, Meter
from bench.rounds import RoundFailed


def test_result_comes_from_another_process() -> None:
    with Beside(os.getpid) as beside:
        assert beside.result(10.0) == beside.process != os.getpid()


def test_failure_comes_with_its_reason() -> None:
    with Beside(int, "seven") as beside, pytest.raises(RoundFailed, match="seven"):
        beside.result(10.0)


def test_work_that_lasts_too_long_is_given_up_and_ended() -> None:
    with Beside(time.sleep, 60.0) as beside, pytest.raises(RoundFailed, match="no result"):
        beside.result(0.05)
    with pytest.raises(ProcessLookupError):
        os.kill(beside.process, 0)


def test_meter_attributes_processor_time() -> None:
    meter = Meter(1)
    began_s = time.process_time()
    while time.process_time() - began_s < 0.1:
        pass
    load = meter.load()
    assert load.broker_cpu_s is None
    assert 0.09 < load.generator_cpu_s[0] < 0.3


def _load(*, broker: float, generator: tuple[float, ...], idle: float) -> Load:
    return Load(window_s=1.0, broker_cpu_s=broker, generator_cpu_s=generator, idle_s=idle)


def test_busy_generator_process_is_the_limit() -> None:
    assert _load(broker=0.5, generator=(0.9, 0.1), idle=0.5).is_limited_by_generator
    assert not _load(broker=0.5, generator=(0.5, 0.1), idle=0.5).is_limited_by_generator


def test_machine_filled_mostly_by_the_generator_is_its_limit() -> None:
    assert _load(broker=0.5, generator=(0.8, 0.7), idle=0.0).is_limited_by_generator
    assert not _load(broker=1.0, generator=(0.5, 0.4), idle=0.0).is_limited_by_generator


def test_other_programs_disturb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert _load(broker=0.5, generator=(0.5,), idle=0.5).is_disturbed
    assert not _load(broker=0.5, generator=(0.5,), idle=0.9).is_disturbed
