"""Why somebody is not let in, or nobody can be: what admission, logins and the keys of tokens raise."""

from typing import Final


class OAuth2Error(Exception):
    """Settings or files that tokens cannot be checked with; one line that says which and why."""

    exit_code: Final = 2


class KeysWanted(Exception):
    """A token's key is not known, and a fetch may bring it: try again after ``Admission.fetch_keys``."""


class Refused(Exception):
    """A login that is not let in; the text says why, for the log and never for the client."""
