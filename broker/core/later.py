"""What cannot be done at once without keeping everybody waiting, or losing something: it is asked for again."""

from collections.abc import Callable

Wait = Callable[[Callable[[], object]], object]


def _others_first(then: Callable[[], object]) -> None:
    then()


class NotYet(Exception):
    """Nothing was done: ask again. ``wait(then)`` has ``then()`` called when it is worth it.

    ``then`` is to have the request made in another turn of the loop, so that others get theirs; nothing that the same
    client sent behind it may come before.
    """

    def __init__(self, wait: Wait = _others_first) -> None:
        super().__init__()
        self.wait = wait
