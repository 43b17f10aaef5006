"""What a content header must satisfy before its message is routed.

RabbitMQ: Time-To-Live and Expiration; Validated User-ID.
"""

from broker.core.access.access import Access
from protocol.content import ContentFacts
from protocol.errors import PreconditionFailed

EXPIRATION_MAX_MS = 315_360_000_000
"""Ten years, RabbitMQ's limit."""


def check_content(facts: ContentFacts, access: Access) -> None:
    """Check user id and expiration.

    Raises PreconditionFailed (406) with RabbitMQ's texts.
    """
    if facts.user_id is not None and facts.user_id != access.user and not access.may_impersonate:
        text = f"user_id property set to '{facts.user_id}' but authenticated user was '{access.user}'"
        raise PreconditionFailed(text, class_id=60, method_id=40)

    if facts.expiration is not None:
        problem = expiration_problem(facts.expiration)
        if problem:
            raise PreconditionFailed(f"invalid expiration '{facts.expiration}': {problem}", class_id=60, method_id=40)


def expiration_problem(expiration: str) -> str:
    """Return what is wrong with an expiration property as RabbitMQ prints it, "" if nothing is.

    The property is a count of milliseconds in decimal digits.
    """
    digits = expiration.removeprefix("-").removeprefix("+") if expiration[:1] in "+-" else expiration
    count = len(digits) - len(digits.lstrip("0123456789"))
    if not count:
        return "no_integer"
    if count < len(digits):
        return f'{{leftover_string,"{digits[count:]}"}}'
    value = int(expiration)
    if value < 0:
        return f"{{value_negative,{value}}}"
    if value > EXPIRATION_MAX_MS:
        return f"{{value_too_large,{value}}}"
    return ""
