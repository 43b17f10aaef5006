"""What rabbitmqadmin tells of one subcommand: the keys of a kind, in the form that was asked in."""

from collections.abc import Mapping, Sequence
from typing import Final

from broker.control.admin_kinds import CLOSED, DECLARED, DELETED, GET, PUBLISH, PURGED, Kind
from broker.control.admin_options import KEYS, NOUNS, subcommand_at

KINDS: Final[Mapping[str, Mapping[str, Kind]]] = {
    "declare": DECLARED,
    "delete": DELETED,
    "close": CLOSED,
    "purge": PURGED,
}
ALONE: Final = {"publish": PUBLISH, "get": GET}
_NAMES: Final = {key: name for name, key in KEYS.items()} | {"queue_type": "type"}


def told(words: Sequence[str], valued: Sequence[str], *, is_second: bool) -> str:
    """Return the line about a subcommand and its kind; "" where the help for all has to do."""
    place = subcommand_at(words, valued)
    if place is None:
        return ""
    subcommand, *rest = words[place:]
    if subcommand in ALONE:
        noun = f" {NOUNS[subcommand]}" if is_second else ""
        return line(f"{subcommand}{noun}", ALONE[subcommand], is_second)
    kind = KINDS.get(subcommand, {}).get(rest[0] if rest else "")
    return "" if kind is None else line(f"{subcommand} {rest[0]}", kind, is_second)


def line(what: str, kind: Kind, is_second: bool) -> str:
    """Return it: the keys that must be there first, the others in brackets."""
    shown = written if is_second else "{}=...".format
    needs = ["|".join(shown(key) for key in needed.split("|")) for needed in kind.needs]
    return " ".join(["usage: rabbitmqadmin [options]", what, *needs, *(f"[{shown(key)}]" for key in kind.may)])


def options_of(*kinds: Kind) -> tuple[str, ...]:
    """Return the names of the second version's options for kinds, without hyphens, each once."""
    keys = [key for kind in kinds for needed in (*kind.needs, *kind.may) for key in needed.split("|")]
    return tuple(dict.fromkeys(name_of(key) for key in keys if key != "vhost"))


def name_of(key: str) -> str:
    """Return the name of the second version's option."""
    return _NAMES.get(key, key).replace("_", "-")


def written(key: str) -> str:
    """Return a key as an option with a value."""
    return f"--{name_of(key)} ..."
