"""What /proc says of processes: who listens on a port, their processor time, their memory. Linux only.

On other systems, or for processes of others that may not be looked into, everything is unknown (None).
"""

import contextlib
import os
import time
from pathlib import Path

_LISTEN = "0A"
_CPUCLOCK_SCHED = 2
"""Linux: with a process id above it, the clock of that process's time on processors (clock_getcpuclockid)."""

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_OCTETS = os.sysconf("SC_PAGE_SIZE")
_PROC = Path("/proc")


def listening_process(port: int) -> int | None:
    """The id of the process that listens on TCP ``port``."""
    inodes = {f"socket:[{inode}]" for table in ("tcp", "tcp6") for inode in _listening_inodes(table, port)}
    for entry in _PROC.glob("[0-9]*") if inodes else ():
        try:
            if any(os.readlink(descriptor) in inodes for descriptor in (entry / "fd").iterdir()):
                return int(entry.name)
        except OSError:
            continue
    return None


def _listening_inodes(table: str, port: int) -> list[str]:
    try:
        rows = [line.split() for line in (_PROC / "net" / table).read_text().splitlines()[1:]]
    except OSError:
        return []
    return [row[9] for row in rows if row[3] == _LISTEN and int(row[1].rpartition(":")[2], 16) == port]


def command_name(process: int) -> str:
    """The name of its command, at most 15 characters; empty when it has gone."""
    try:
        return (_PROC / str(process) / "comm").read_text().strip()
    except OSError:
        return ""


def process_tree(root: int) -> list[int]:
    """``root`` and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.glob("[0-9]*"):
        fields = _stat_fields(int(entry.name))
        if fields:
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    tree = [root]
    for process in tree:
        tree.extend(children.get(process, ()))
    return tree


def cpu_s(processes: list[int]) -> float:
    """Processor seconds, user and system, of all threads of ``processes`` so far, ended threads included."""
    seconds = 0.0
    for process in processes:
        with contextlib.suppress(OSError):
            seconds += time.clock_gettime(~process << 3 | _CPUCLOCK_SCHED)
    return seconds


def descriptor_count(process: int) -> int:
    """How many descriptors ``process`` has open; 0 where /proc does not tell."""
    try:
        return len(os.listdir(_PROC / str(process) / "fd"))
    except OSError:
        return 0


def wake_up_count(processes: list[int]) -> int:
    """How often the threads of ``processes`` have been given a processor after they had waited, so far."""
    count = 0
    for process in processes:
        for status in (_PROC / str(process) / "task").glob("[0-9]*/status"):
            with contextlib.suppress(OSError):
                lines = status.read_text().splitlines()
                count += sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))
    return count


def resident_octets(processes: list[int]) -> int:
    """Resident memory, pages shared among them counted once where the kernel tells (Pss)."""
    return sum(_rollup_octets(process, "Pss:") for process in processes)


def resident_set_octets(processes: list[int]) -> int:
    """Resident memory as the kernel counts it anyway (RSS): quick, but pages shared among them count for each."""
    pages = 0
    for process in processes:
        with contextlib.suppress(OSError):
            pages += int((_PROC / str(process) / "statm").read_text().split()[1])
    return pages * _PAGE_OCTETS


def _rollup_octets(process: int, field: str) -> int:
    try:
        for line in (_PROC / str(process) / "smaps_rollup").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def _stat_fields(process: int) -> list[str]:
    """The fields of /proc/PID/stat after the command name (state is 0, parent 1, utime 11, stime 12)."""
    try:
        return (_PROC / str(process) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def idle_cpu_s() -> float:
    """Seconds that the machine's processors have been idle, or waiting for disks, so far."""
    try:
        fields = (_PROC / "stat").read_text().split("\n", 1)[0].split()
    except OSError:
        return 0.0
    return (int(fields[4]) + int(fields[5])) / _TICKS_A_SECOND
