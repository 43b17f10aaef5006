"""The limits of memory and disk: when alarms are raised and cleared, and what the machine is taken to have."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.config import Settings
from broker.server import resources
from broker.server.resources import ResourceWatch, memory_limit_octets
from tests.server.wired import Node, running_node

MIB = 1 << 20
GIB = 1 << 30


class Machine:
    free = 10 * GIB
    resident = 50 * MIB

    def free_octets(self, directory: Path) -> int:
        return self.free

    def resident_octets(self) -> int:
        return self.resident


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with running_node(tmp_path / "data") as node:
        yield node


@pytest.fixture
def machine(node: Node) -> Machine:
    machine = Machine()
    limits: dict[str, Any] = {"disk_free_limit": 100 * MIB, "memory_high_watermark": 2 * GIB}
    settings = Settings(**limits)
    watch = ResourceWatch(
        settings, node.broker.alarms, node.clock, node.store, machine.free_octets, machine.resident_octets
    )
    watch.start()
    return machine


def raised_after(node: Node, ms: int) -> set[str]:
    node.clock.advance(ms)
    return set(node.broker.alarms.raised)


def test_plenty_raises_nothing(node: Node, machine: Machine) -> None:
    assert raised_after(node, 10_000) == set()


def test_each_limit_raises_its_alarm_within_a_second_and_clears_it(node: Node, machine: Machine) -> None:
    machine.free = 99 * MIB
    assert raised_after(node, 1000) == {"disk"}
    machine.resident = 3 * GIB
    assert raised_after(node, 100) == {"disk", "memory"}
    machine.free = 101 * MIB
    assert raised_after(node, 100) == {"memory"}
    machine.resident = 1 * GIB
    assert raised_after(node, 100) == set()


def test_near_a_limit_it_looks_ten_times_as_often(node: Node, machine: Machine) -> None:
    machine.free = 300 * MIB
    assert raised_after(node, 1000) == set()
    machine.free = 99 * MIB
    assert raised_after(node, 100) == {"disk"}


def test_what_an_operator_raised_is_not_cleared_by_a_look(node: Node, machine: Machine) -> None:
    node.broker.raise_alarm("memory")
    assert raised_after(node, 5000) == {"memory"}
    node.broker.clear_alarm("memory")
    assert raised_after(node, 5000) == set()


def test_a_share_is_of_the_memory_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "available_octets", lambda: 10 * GIB)
    assert memory_limit_octets(0.5) == 5 * GIB
    assert memory_limit_octets(1.0) == 10 * GIB
    assert memory_limit_octets(700_000_000) == 700_000_000


@pytest.mark.parametrize(
    ("lines", "files", "limits"),
    [
        ("0::/a/b\n", {"a/b/memory.max": "1000\n", "a/memory.max": "500\n", "memory.max": "max\n"}, [1000, 500]),
        ("0::/\n", {"memory.max": "2048\n"}, [2048]),
        ("4:memory:/x\n3:cpu:/x\n", {"memory/x/memory.limit_in_bytes": "77\n"}, [77]),
        ("0::/nowhere\n", {}, []),
    ],
    ids=["v2 nested", "v2 container", "v1", "none"],
)
def test_control_groups_limit_the_memory_there_is(
    tmp_path: Path, lines: str, files: dict[str, str], limits: list[int]
) -> None:
    (tmp_path / "cgroup").write_text(lines)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert resources._control_group_limits(tmp_path / "cgroup", tmp_path) == limits


def test_without_control_groups_there_is_the_machine(tmp_path: Path) -> None:
    assert resources._control_group_limits(tmp_path / "none", tmp_path) == []
    assert resources.available_octets() > 100 * MIB


def test_this_process_has_a_size() -> None:
    assert 5 * MIB < resources.own_resident_octets() < 10 * GIB
    resources.give_memory_back()
