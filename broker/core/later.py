"""What cannot be done at once without keeping everybody waiting, or losing something: it is asked for again."""

from collections.abc import Callable
from functools import partial

Wait = Callable[[Callable[[], object]], object]


def _others_first(then: Callable[[], object]) -> None:
    then()


class NotYet(Exception):
    """Nothing was done: ask again when ``wait(then)`` calls ``then()``, before what the same client sent behind it."""

    def __init__(self, wait: Wait = _others_first) -> None:
        super().__init__()
        self._wait = wait

    def in_another_turn(self, call_soon: Wait) -> Wait:
        """Return how to wait: what is given to it is called when it is worth it, after others have had their turn.

        ``call_soon`` is the loop's.
        """
        return lambda then: self._wait(partial(call_soon, then))
