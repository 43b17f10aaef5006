"""What the broker may use of the machine: looks at memory and disk, and raises and clears the two alarms.

Looked at every second, and ten times as often when there is not much left. RabbitMQ: Memory and Disk Alarms.
"""

import contextlib
import ctypes
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from broker.config import Settings
from broker.server.alarms import Alarms, Resource
from broker.server.clock import Clock
from storage.files import Disk
from storage.store import Store

log = structlog.get_logger("leveret.resources")

LOOK_MS: Final = 1000
LOOK_OFTEN_MS: Final = 100
NEAR_OCTETS: Final = 512 << 20  # of disk: what can be written in a second
NEAR_SHARE: Final = 0.8  # of the memory allowed
RETURN_OCTETS: Final = 32 << 20  # above what was resident at the start, freed memory is worth returning ...
RETURN_MS: Final = 5000  # ... this often; it takes some milliseconds

KEPT_OCTETS: Final = 32 << 20
"""Free memory at the heap's end that is not returned at once."""
MAPPED_FROM_OCTETS: Final = 8 << 20
"""What is at least so large is a mapping of its own, which goes back when it is freed; reads and writes are smaller."""
_M_TRIM_THRESHOLD: Final = -1  # As malloc.h of the GNU C library numbers them.
_M_MMAP_THRESHOLD: Final = -3


class ResourceWatch:
    """Raises an alarm when a limit is passed and clears it when it no longer is.

    An alarm that somebody else raised stays until the limit has been passed and is kept again, or that one clears it.
    """

    __slots__ = (
        "_alarms",
        "_clock",
        "_directory",
        "_free_octets",
        "_is_low",
        "_resident_at_start",
        "_resident_octets",
        "_return_at_ms",
        "_store",
        "_told_count",
        "disk_limit_octets",
        "memory_limit_octets",
    )

    def __init__(
        self,
        settings: Settings,
        alarms: Alarms,
        clock: Clock,
        store: Store,
        free_octets: Callable[[Path], int] | None = None,
        resident_octets: Callable[[], int] | None = None,
    ) -> None:
        """``free_octets(directory)`` and ``resident_octets()`` are the machine's if they are not given."""
        self._alarms = alarms
        self._clock = clock
        self._store = store
        self._directory = settings.data_dir
        self._free_octets = free_octets or Disk().free_octets
        self._resident_octets = resident_octets or own_resident_octets
        self._resident_at_start = self._resident_octets()
        self._return_at_ms = 0
        self._told_count = 0
        self._is_low: dict[Resource, bool] = {"memory": False, "disk": False}
        self.disk_limit_octets = settings.disk_free_limit
        self.memory_limit_octets = memory_limit_octets(settings.memory_high_watermark)

    def start(self) -> None:
        """Look now, and from now on."""
        log.info(
            "limits",
            memory_high_watermark=self.memory_limit_octets,
            disk_free_limit=self.disk_limit_octets,
            memory=self._resident_octets(),
        )
        self._look_and_wait()

    def look(self) -> bool:
        """Raise and clear alarms as things are now; True if one of the limits is near."""
        store = self._store
        damage = store.damage
        for what in damage[self._told_count :]:
            log.error("the log is damaged, messages may be missing", damage=what)
        self._told_count = len(damage)
        if "disk" in self._alarms.raised:
            store.look_for_room()
        free = NEAR_OCTETS + self.disk_limit_octets
        with contextlib.suppress(OSError):
            free = self._free_octets(self._directory)
        self._set("disk", store.is_short or free < self.disk_limit_octets)
        resident = self._resident_octets()
        now_ms = self._clock.monotonic_ms()
        if resident > self._resident_at_start + RETURN_OCTETS and now_ms >= self._return_at_ms:
            # What a queue held stays with the C library when the queue is empty again, for a next one.
            give_memory_back()
            self._return_at_ms = now_ms + RETURN_MS
            resident = self._resident_octets()
        self._set("memory", resident > self.memory_limit_octets)
        return free < self.disk_limit_octets + NEAR_OCTETS or resident > NEAR_SHARE * self.memory_limit_octets

    def _set(self, resource: Resource, is_low: bool) -> None:
        if is_low == self._is_low[resource]:
            return
        self._is_low[resource] = is_low
        if is_low:
            self._alarms.raise_alarm(resource)
        else:
            self._alarms.clear_alarm(resource)

    def _look_and_wait(self) -> None:
        self._clock.call_later(LOOK_OFTEN_MS if self.look() else LOOK_MS, self._look_and_wait)


def memory_limit_octets(watermark: float) -> int:
    """Octets of memory that ``watermark`` stands for: up to 1 it is a share of what the machine or container has."""
    return int(watermark) if watermark > 1 else int(watermark * available_octets())


def available_octets() -> int:
    """The memory of the machine, or of the control groups that this process is in, if they allow less."""
    machine = sys.maxsize
    with contextlib.suppress(ValueError, OSError, AttributeError):
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *_control_group_limits()])


def _control_group_limits(proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> list[int]:
    """The limits of this process's control group and of those above it, version 1 or 2."""
    limits = []
    with contextlib.suppress(OSError):
        for line in proc.read_text().splitlines():
            _, controllers, name = line.split(":", 2)
            if controllers not in ("", "memory"):
                continue
            top = root / controllers if controllers else root
            file = "memory.limit_in_bytes" if controllers else "memory.max"
            group = top / name.lstrip("/")
            for directory in (group, *group.parents):
                with contextlib.suppress(OSError, ValueError):  # "max": there is none
                    limits.append(int((directory / file).read_text()))
                if directory == top:
                    break
    return limits


def own_resident_octets() -> int:
    """The resident memory of this process; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def give_memory_back() -> None:
    """Have the C library return to the system what it keeps for later, or the alarm might never end."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def keep_memory_at_hand() -> None:
    """Have the C library keep what is freed by one read for the next, up to ``KEPT_OCTETS``.

    By itself glibc returns it as soon as a few hundred KiB are free where the heap happens to end, and each page is
    a fault when it is taken again, for every read. ``give_memory_back`` returns what has become much.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_TRIM_THRESHOLD, KEPT_OCTETS)
        library.mallopt(_M_MMAP_THRESHOLD, MAPPED_FROM_OCTETS)
