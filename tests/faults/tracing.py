"""Real faults of the real kernel: strace makes the nth system call of a kind fail, or kills at it.

The traced process stops at places of its own (it prints a line and reads one), and strace attaches there, so that
its counts begin at a known point. They are counted for each thread by itself.
"""

import asyncio
import errno
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from storage.syncing import KernelSync

DEADLINE_S = 30.0
KERNEL_SYNC_CALLS = ("io_submit", "io_getevents")
CALLS = ("mkdir", "fallocate", "writev", "fdatasync", "fsync", "rename", "unlink", "ftruncate", *KERNEL_SYNC_CALLS)
_EVENT = struct.pack("<QQqq", 0, 0, -errno.EIO, 0)  # struct io_event of linux/aio_abi.h
SYNC_FAILED = f"io_getevents:poke_exit=@arg4={_EVENT.hex()}"
"""Puts EIO where the kernel says what became of a sync that it took."""
HOME = Path(__file__).parents[2]


def require_strace() -> None:
    """Skip, with a clear word, where strace cannot be used; fail there if LEVERET_REQUIRE_STRACE is set."""
    _skip_for(strace_problem())


def require_kernel_sync() -> None:
    """The same where the kernel takes no syncs."""
    _skip_for(strace_problem() or kernel_sync_problem())


def require_poking() -> None:
    """The same where strace cannot put SYNC_FAILED into the kernel's answer."""
    _skip_for(strace_problem() or kernel_sync_problem() or poking_problem())


def _skip_for(problem: str) -> None:
    if problem and os.environ.get("LEVERET_REQUIRE_STRACE"):
        pytest.fail(f"faults of the kernel are NOT tested: {problem}")
    if problem:
        pytest.skip(f"faults of the kernel are NOT tested: {problem}")


@cache
def strace_problem() -> str:
    if shutil.which("strace") is None:
        return "strace is not installed (apt-get install strace)"
    tried = subprocess.run(
        ["strace", "-f", "-o", os.devnull, "-e", "trace=getppid", "true"], capture_output=True, text=True, check=False
    )
    return "" if tried.returncode == 0 else f"strace may not trace here: {tried.stderr.strip()[:200]}"


@cache
def kernel_sync_problem() -> str:
    loop = asyncio.new_event_loop()
    try:
        KernelSync(loop, lambda call: call()).close()
    except OSError as error:
        return f"the kernel takes no syncs (io_submit): {error}"
    finally:
        loop.close()
    return ""


@cache
def poking_problem() -> str:
    tried = subprocess.run(
        ["strace", "-o", os.devnull, "-e", f"inject={SYNC_FAILED}", "true"], capture_output=True, text=True, check=False
    )
    if tried.returncode == 0:
        return ""
    return f"this strace cannot change what a call gives back (poke_exit, since 5.11): {tried.stderr.strip()[:200]}"


class Traced:
    """A Python script, given ``directory`` and ``arguments``, that strace watches from the stop called ``stop`` on.
    ``lines`` has what it printed but for its stops.
    """

    def __init__(self, script: Path, directory: Path, stop: str, inject: str | None, *arguments: str) -> None:
        self.stop = stop
        self.inject = inject
        self.lines: list[str] = []
        self.exit_code: int | None = None
        self.counts: Counter[tuple[str, str]] = Counter()  # (thread, call): how often
        self._process = subprocess.Popen(
            [sys.executable, str(script), str(directory), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=HOME,
            env={**os.environ, "PYTHONPATH": str(HOME)},
            text=True,
        )

    def run(self) -> Self:
        """Let it run to its end."""
        process = self._process
        assert process.stdout is not None
        assert process.stdin is not None
        trace = Path(tempfile.mkstemp(suffix=".strace")[1])
        tracer: subprocess.Popen[str] | None = None
        try:
            for line in process.stdout:
                word = line.strip()
                if word.startswith("stop "):
                    if word == f"stop {self.stop}":
                        tracer = self._attach(process.pid, trace)
                    process.stdin.write("go\n")
                    process.stdin.flush()
                else:
                    self.lines.append(word)
            self.exit_code = process.wait(DEADLINE_S)
            assert tracer is not None, "it did not get that far"
            tracer.wait(DEADLINE_S)
            for line in trace.read_text(errors="replace").splitlines():
                found = re.match(r"(\d+)\s+(\w+)\(", line)
                if found:
                    self.counts[found[1], found[2]] += 1
        finally:
            if tracer is not None:
                tracer.kill()
                tracer.wait()
                if tracer.stderr is not None:
                    tracer.stderr.close()
            trace.unlink(missing_ok=True)
        return self

    def most(self) -> dict[str, int]:
        """How often a call was made by the thread that made it most."""
        most: dict[str, int] = {}
        for (_, call), times in self.counts.items():
            most[call] = max(times, most.get(call, 0))
        return most

    def _attach(self, pid: int, trace: Path) -> subprocess.Popen[str]:
        words = ["strace", "-f", "-p", str(pid), "-o", str(trace), "-e", f"trace={','.join(CALLS)}"]
        if self.inject is not None:
            words += ["-e", f"inject={self.inject}"]
        tracer = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        assert tracer.stderr is not None
        for line in tracer.stderr:
            if "attached" in line:
                return tracer
        raise AssertionError("strace did not attach")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
