"""What storage raises. Every error carries the exit code the process ends with when it cannot go on.

Exit codes are sysexits.h's: a supervisor or an operator can tell "in use" from "disk failed" without reading
text. None of these reaches a client: the broker turns them into refused confirms, or ends.
"""


class StorageError(Exception):
    """A disk call failed for good. One line of text; ``exit_code`` 74 (EX_IOERR)."""

    exit_code = 74


class DiskFull(StorageError):
    """There is no room for what was to be written, and nothing of it is there: it may be tried again."""


class DirectoryInUse(StorageError):
    """Another process holds the data directory's lock. Exit code 69 (EX_UNAVAILABLE)."""

    exit_code = 69


class DirectoryUnreadable(StorageError):
    """The data directory cannot be made, listed, read or locked. Exit code 66 (EX_NOINPUT)."""

    exit_code = 66


class UnknownFormat(StorageError):
    """The directory holds something this version cannot read, or nothing of ours. Exit code 65 (EX_DATAERR)."""

    exit_code = 65
