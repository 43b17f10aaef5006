"""Syncs a file without a thread: the kernel does it, and says when it is done by a descriptor that the loop watches.

A thread that waits for ``fdatasync`` wants the interpreter's lock before and after each, and the loop has it most of
the time; where a batch is a few messages, that costs as much as the sync. Linux only (io_submit with IOCB_CMD_FDSYNC,
since 4.18), by system calls that no library wraps; where they are missing or forbidden the thread does it.
See io_submit(2), eventfd(2); linux/aio_abi.h.
"""

import contextlib
import ctypes
import errno
import os
import platform
import sys
from collections.abc import Callable
from functools import partial
from struct import Struct
from typing import Final, Protocol

Synced = Callable[[OSError | None], None]

_CALLS: Final = {"x86_64": (206, 207, 208, 209), **dict.fromkeys(("aarch64", "riscv64"), (0, 1, 4, 2))}
"""Numbers of io_setup, io_destroy, io_getevents and io_submit."""
_COMMAND_FDSYNC: Final = 3
_FLAG_EVENTFD: Final = 1
_CONTROL_BLOCK: Final = Struct("<QIiHhIQQqQII")
_RESULT_AT: Final = 16
_EVENT_OCTETS: Final = 32


class FileSync(Protocol):
    """Makes what was written to a file durable while its caller goes on; one at a time."""

    def begin(self, fd: int, then: Synced) -> None:
        """Have ``then(error)`` called in the loop, None if all is durable. Raises OSError where it cannot begin."""

    def wait(self) -> None:
        """Wait until what has begun is done, and call its ``then``."""

    def close(self) -> None:
        """Give back what it takes. Nothing may be under way."""


class Loop(Protocol):
    """What is asked of the event loop."""

    def add_reader(self, fd: int, callback: Callable[[], None], /) -> object: ...

    def remove_reader(self, fd: int, /) -> object: ...


class KernelSync:
    """A FileSync by the kernel; what has waited for a sync is called by ``run(call)``, in the loop."""

    __slots__ = (
        "_call",
        "_context",
        "_control",
        "_control_place",
        "_destroy",
        "_event",
        "_event_fd",
        "_get",
        "_loop",
        "_run",
        "_submit",
        "_then",
    )

    def __init__(self, loop: Loop, run: Callable[[Callable[[], None]], object]) -> None:
        """Raises OSError where there is no such thing."""
        numbers = _CALLS.get(platform.machine())
        if sys.platform != "linux" or sys.byteorder != "little" or sys.maxsize < 1 << 32 or numbers is None:
            raise OSError("no such system calls here")
        setup, self._destroy, get, submit = map(ctypes.c_long, numbers)
        self._call = ctypes.CDLL(None, use_errno=True).syscall
        self._call.restype = ctypes.c_long
        self._loop = loop
        self._run = run
        self._then: Synced | None = None
        self._context = ctypes.c_ulong(0)
        self._checked(self._call(setup, ctypes.c_long(1), ctypes.byref(self._context)))
        self._control = ctypes.create_string_buffer(_CONTROL_BLOCK.size)
        self._control_place = ctypes.c_void_p(ctypes.addressof(self._control))
        self._event = ctypes.create_string_buffer(_EVENT_OCTETS)
        one = ctypes.c_long(1)
        self._submit = submit, self._context, one, ctypes.byref(self._control_place)
        self._get = get, self._context, one, one, self._event, None
        self._event_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        loop.add_reader(self._event_fd, self._readable)

    def begin(self, fd: int, then: Synced) -> None:
        """As FileSync has it."""
        _CONTROL_BLOCK.pack_into(
            self._control, 0, 0, 0, 0, _COMMAND_FDSYNC, 0, fd, 0, 0, 0, 0, _FLAG_EVENTFD, self._event_fd
        )
        self._checked(self._call(*self._submit))
        self._then = then

    def wait(self) -> None:
        """As FileSync has it."""
        if self._then is not None:
            self._take()()

    def close(self) -> None:
        """As FileSync has it."""
        self._loop.remove_reader(self._event_fd)
        self._call(self._destroy, self._context)
        os.close(self._event_fd)

    def _readable(self) -> None:
        with contextlib.suppress(BlockingIOError):  # told before, and waited for since
            os.eventfd_read(self._event_fd)
        if self._then is not None:
            self._run(self._take())

    def _take(self) -> Callable[[], None]:
        """Return what is to be done after the sync, which may still last."""
        then, self._then = self._then, None
        assert then is not None
        return partial(then, self._outcome())

    def _outcome(self) -> OSError | None:
        """Wait for the sync. What cannot be asked for has failed, too: somebody waits for an answer."""
        while True:
            try:
                if self._checked(self._call(*self._get)) != 1:
                    return OSError(errno.EIO, "the kernel did not say what became of a sync")
                break
            except InterruptedError:
                continue
            except OSError as error:
                return error
        result = int.from_bytes(self._event.raw[_RESULT_AT : _RESULT_AT + 8], "little", signed=True)
        return OSError(-result, os.strerror(-result)) if result else None

    def _checked(self, result: int) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result
