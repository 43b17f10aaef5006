"""What a command ends with: rabbitmqctl's exit codes, which are those of sysexits.h, and one line that says why."""

from typing import Final

OK: Final = 0
USAGE: Final = 64
DATA: Final = 65
NO_USER: Final = 67
UNAVAILABLE: Final = 69
SOFTWARE: Final = 70
TEMPORARY: Final = 75


class Failure(Exception):
    """A command that did not do what it was told. The text is for people; it names no secret."""

    def __init__(self, exit_code: int, text: str) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class UsageFailure(Failure):
    """A command line that means nothing: an unknown verb or option, or the wrong number of arguments."""

    def __init__(self, text: str, usage: str = "") -> None:
        super().__init__(USAGE, f"{text} (usage: {usage})" if usage else text)


class Refused(Failure):
    """The broker's answer is an error: ``status`` is HTTP's, ``reason`` the broker's words."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(UNAVAILABLE, reason)
        self.status = status
        self.reason = reason


class Unreachable(Failure):
    """No broker answers."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(UNAVAILABLE, f"cannot reach the broker at {where}: {why}")
