"""Users: names, tags, hashed passwords and limits, and whether a password is right.

What they may do is permissions.py's. Each change goes out through ``define`` and comes back through ``restore``.
No text that leaves this file holds a password or a hash. RabbitMQ: Access Control, "User Management".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from broker.core.access.errors import NoSuchUser, Unacceptable, UserExists
from broker.core.access.limits import NO_LIMITS, USER_LIMITS, check_limits
from broker.core.access.passwords import DEFAULT_ALGORITHM, check_hash, hash_password, is_password
from broker.core.definitions import Define, fields_of
from storage.definitions import Definition

ADMINISTRATOR: Final = "administrator"
IMPERSONATOR: Final = "impersonator"
"""The tag of users who may publish in the name of others. RabbitMQ: Validated User-ID."""

NAME_OCTETS_MAX: Final = 255

# Compared against when there is no such user, so that both refusals take the same time.
_NOBODYS_HASH: Final = hash_password(b"nobody")


@dataclass(frozen=True, slots=True)
class User:
    """One user. ``password_hash`` is salted and in Base64; "" lets nobody log in by a password."""

    name: str
    password_hash: str = field(default="", repr=False)
    hashing_algorithm: str = DEFAULT_ALGORITHM
    tags: tuple[str, ...] = ()
    limits: Mapping[str, int] = field(default_factory=dict)


class Users:
    """All users of the node, by name."""

    __slots__ = ("_by_name", "_define")

    def __init__(self, define: Define) -> None:
        self._by_name: dict[str, User] = {}
        self._define = define

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def listed(self) -> list[User]:
        """Return all users, by name."""
        return sorted(self._by_name.values(), key=lambda user: user.name)

    def get(self, name: str) -> User:
        """Return the user ``name``. Raises NoSuchUser."""
        user = self._by_name.get(name)
        if user is None:
            raise NoSuchUser(name)
        return user

    def is_same(self, user: User) -> bool:
        """Whether ``user`` is still there and has not been changed."""
        return self._by_name.get(user.name) is user

    def limits_of(self, name: str) -> Mapping[str, int]:
        """Return the limits of a user; none for one that is gone."""
        user = self._by_name.get(name)
        return NO_LIMITS if user is None else user.limits

    def has_tag(self, name: str, tag: str) -> bool:
        """Whether there is a user ``name`` with ``tag``."""
        user = self._by_name.get(name)
        return user is not None and tag in user.tags

    def is_login(self, name: str, password: bytes) -> bool:
        """Whether ``password`` is the user's. A blank one never is. RabbitMQ: Access Control, "Blank Passwords"."""
        user = self._by_name.get(name)
        if user is None or not user.password_hash:
            is_password(password, _NOBODYS_HASH, DEFAULT_ALGORITHM)
            return False
        return bool(password) and is_password(password, user.password_hash, user.hashing_algorithm)

    # Changes

    def add(self, name: str, password: str | None, tags: Iterable[str] = ()) -> User:
        """Add a user; without a password, or with a blank one, nobody can log in as it by a password.

        Raises UserExists, or Unacceptable for a name or tag that is none.
        """
        if name in self._by_name:
            raise UserExists(name)
        return self.put(name, password_hash=_hashed(password), tags=tags)

    def put(
        self,
        name: str,
        *,
        password_hash: str,
        hashing_algorithm: str = DEFAULT_ALGORITHM,
        tags: Iterable[str] = (),
    ) -> User:
        """Add a user, or give another password and other tags to the one of that name; its limits stay.

        Raises Unacceptable for a name, hash, algorithm or tag that is none.
        """
        _check_name(name)
        check_hash(password_hash, hashing_algorithm)
        return self._keep(User(name, password_hash, hashing_algorithm, _checked_tags(tags), dict(self.limits_of(name))))

    def set_password(self, name: str, password: str | None) -> None:
        """Give a user another password; None or "" for none. Raises NoSuchUser."""
        self._keep(replace(self.get(name), password_hash=_hashed(password), hashing_algorithm=DEFAULT_ALGORITHM))

    def set_tags(self, name: str, tags: Iterable[str]) -> None:
        """Give a user other tags. Raises NoSuchUser, Unacceptable."""
        self._keep(replace(self.get(name), tags=_checked_tags(tags)))

    def set_limits(self, name: str, limits: object) -> None:
        """Set those limits of a user that ``limits`` names, and leave the others. Raises NoSuchUser, Unacceptable."""
        user = self.get(name)
        self._keep_limits(replace(user, limits={**user.limits, **check_limits(limits, USER_LIMITS)}))

    def clear_limits(self, name: str, limit: str = "all") -> None:
        """Take a limit, or all, away from a user. Raises NoSuchUser."""
        user = self.get(name)
        kept = {} if limit == "all" else {key: value for key, value in user.limits.items() if key != limit}
        self._keep_limits(replace(user, limits=kept))

    def delete(self, name: str) -> None:
        """Forget a user. Its permissions are the caller's to remove. Raises NoSuchUser."""
        if self.get(name).limits:
            self._define(("user-limit", name), None)
        del self._by_name[name]
        self._define(("user", name), None)

    def _keep(self, user: User) -> User:
        self._by_name[user.name] = user
        self._define(
            ("user", user.name),
            {
                "password_hash": user.password_hash,
                "hashing_algorithm": user.hashing_algorithm,
                "tags": list(user.tags),
            },
        )
        return user

    def _keep_limits(self, user: User) -> None:
        self._by_name[user.name] = user
        self._define(("user-limit", user.name), dict(user.limits) or None)

    # Recovery

    def restore(self, definitions: Iterable[Definition]) -> None:
        """Take back what ``define`` was given in earlier lives. Raises ValueError for what cannot be read."""
        limits: dict[str, Mapping[str, Any]] = {}
        for key, value in definitions:
            if key[0] == "user":
                fields = fields_of(key, value)
                self._by_name[key[1]] = User(
                    key[1], fields["password_hash"], fields["hashing_algorithm"], tuple(fields["tags"])
                )
            elif key[0] == "user-limit":
                limits[key[1]] = fields_of(key, value)
        for name, table in limits.items():
            if name in self._by_name:
                self._by_name[name] = replace(self._by_name[name], limits=dict(table))


def _hashed(password: str | None) -> str:
    return hash_password(password.encode()) if password else ""


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not 0 < len(name.encode("utf-8", "surrogatepass")) <= NAME_OCTETS_MAX:
        raise Unacceptable(f"a user's name is 1 to {NAME_OCTETS_MAX} octets long")


def _checked_tags(tags: Iterable[str]) -> tuple[str, ...]:
    checked = tuple(dict.fromkeys(tags))
    if isinstance(tags, str) or not all(isinstance(tag, str) and tag.strip() == tag and tag for tag in checked):
        raise Unacceptable("tags are a list of words")
    return checked
