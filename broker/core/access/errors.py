"""What can be wrong with a change to users, virtual hosts, permissions and limits.

Each error says it in RabbitMQ's words; a management surface turns the class into its own status or exit code.
Nothing has changed when one is raised.
"""


class AccessError(Exception):
    """A change that is not made. The text is one line, without secrets."""


class NotThere(AccessError):
    """What the change is about does not exist."""


class NoSuchUser(NotThere):
    """There is no user ``name``."""

    def __init__(self, name: str) -> None:
        super().__init__(f'User "{name}" does not exist')
        self.name = name


class NoSuchVirtualHost(NotThere):
    """There is no virtual host ``name``."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Virtual host '{name}' does not exist")
        self.name = name


class UserExists(AccessError):
    """A new user has the name of another."""

    def __init__(self, name: str) -> None:
        super().__init__(f'User "{name}" already exists')
        self.name = name


class VirtualHostExists(AccessError):
    """A new virtual host has the name of another."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Virtual host '{name}' already exists")
        self.name = name


class Unacceptable(AccessError):
    """A value that nothing can be made of: a name, tag, hash or limit; the text says which."""


class InvalidPattern(Unacceptable):
    """A permission's regular expression that is none: ``reason`` at octet ``position`` of ``pattern``."""

    def __init__(self, pattern: str, reason: str, position: int) -> None:
        super().__init__(f"regular expression '{pattern}' is invalid: {reason} at {position}")
        self.pattern = pattern
        self.reason = reason
        self.position = position
