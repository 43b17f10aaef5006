"""Work in a forked process of its own, with its result in this one."""

import multiprocessing
import signal
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Generic, ParamSpec, Self, TypeVar

from bench.rounds import RoundFailed

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class Beside(Generic[_Result]):
    """``work(*arguments)`` in a child, which stays (so that its processor time can be read) until ``close``."""

    def __init__(
        self, work: Callable[_Arguments, _Result], *arguments: _Arguments.args, **named: _Arguments.kwargs
    ) -> None:
        context = multiprocessing.get_context("fork")
        self._pipe, other_end = context.Pipe()

        def run() -> None:
            try:
                other_end.send((True, work(*arguments, **named)))
            except BaseException:  # noqa: BLE001 - a forked child must never return into the parent's code
                other_end.send((False, traceback.format_exc()))
            signal.pause()

        self._process = context.Process(target=run, daemon=True)
        self._process.start()

    @property
    def process(self) -> int:
        """The child's process id."""
        return self._process.pid or 0

    def has_result(self, limit_s: float) -> bool:
        """Wait for it, ``limit_s`` at most."""
        return self._pipe.poll(limit_s)

    def result(self, limit_s: float) -> _Result:
        """Wait for it. Raises RoundFailed with the child's traceback, or when ``limit_s`` have passed."""
        if not self._pipe.poll(limit_s):
            raise RoundFailed(f"no result within {limit_s:.0f} s")
        has_succeeded, result = self._pipe.recv()
        if not has_succeeded:
            raise RoundFailed(str(result))
        return result  # type: ignore[no-any-return]

    def close(self) -> None:
        """End the child, whatever it is doing."""
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
