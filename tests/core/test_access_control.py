"""Users, virtual hosts, permissions and limits: each change, what it refuses, and what comes back after a restart."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from broker.core.access.control import AccessControl, AccessEvents
from broker.core.access.errors import (
    AccessError,
    InvalidPattern,
    NoSuchUser,
    NoSuchVirtualHost,
    Unacceptable,
    UserExists,
    VirtualHostExists,
)
from broker.core.access.passwords import hash_password
from broker.core.access.permissions import Permission
from broker.core.policies.policies import Policy
from broker.core.vhosts import VirtualHost
from protocol.errors import AccessRefused, PreconditionFailed
from tests.core.topology import Journal, bind, declare, new_exchange, new_queue, new_vhost, refused


class Node:
    """Access control on a journal. ``gone`` has users and virtual hosts that were announced to go."""

    def __init__(self, journal: Journal | None = None) -> None:
        self.journal = journal or Journal()
        self.gone: list[str] = []
        self.vhosts: dict[str, VirtualHost] = {}
        events = AccessEvents(lambda name: self.gone.append(f"user {name}"), self.vhost_going)
        self.access = AccessControl(
            self.vhosts, lambda name: new_vhost(self.journal, name), self.journal.define, events
        )

    def vhost_going(self, name: str) -> None:
        assert name in self.vhosts
        self.gone.append(f"vhost {name}")

    def restarted(self) -> "Node":
        node = Node(self.journal)
        definitions = self.journal.definitions()
        node.access.restore(definitions)
        assert node.access.restore_contents(definitions) == []
        return node

    def shown(self) -> object:
        """Return all there is, to compare."""
        access = self.access
        return (
            access.users.listed(),
            [(vhost.name, vhost.metadata, dict(vhost.limits)) for vhost in access.vhosts_listed()],
            access.permissions.listed(),
            access.permissions.topics_listed(),
        )


@pytest.fixture
def node() -> Node:
    node = Node()
    node.access.make_default("/", "guest", "guest")
    return node


def allow(node: Node, user: str, vhost: str = "/", **patterns: str) -> Permission:
    rights = {"configure": ".*", "write": ".*", "read": ".*"} | patterns
    return node.access.set_permission(vhost, user, **rights)


def test_first_start_makes_an_administrator_with_all_permissions() -> None:
    node = Node()
    assert node.access.is_empty
    node.access.make_default("v", "boss", "pw")
    assert not node.access.is_empty
    assert node.access.users.get("boss").tags == ("administrator",)
    assert node.access.users.is_login("boss", b"pw")
    assert node.access.may_enter("boss", "v")
    node.access.access("boss", "v").check("configure", "queue", "q")


def test_user_logs_in_with_its_password_alone(node: Node) -> None:
    users = node.access.users
    users.add("ann", "secret")
    assert users.is_login("ann", b"secret")
    assert not users.is_login("ann", b"Secret")
    assert not users.is_login("ann", b"")
    assert not users.is_login("nobody", b"nobody")


@pytest.mark.parametrize("password", [None, ""])
def test_user_without_a_password_cannot_log_in_by_one(node: Node, password: str | None) -> None:
    node.access.users.add("ann", password)
    assert not node.access.users.is_login("ann", b"")
    assert not node.access.users.is_login("ann", b"None")


def test_put_user_takes_password_hash_or_neither(node: Node) -> None:
    access = node.access
    access.put_user("ann", password="one", tags=["management"])
    assert access.users.is_login("ann", b"one")
    access.users.set_limits("ann", {"max-channels": 3})
    hashed = hash_password(b"two", "rabbit_password_hashing_sha512")
    access.put_user("ann", password_hash=hashed, hashing_algorithm="rabbit_password_hashing_sha512")
    assert access.users.is_login("ann", b"two")
    assert access.users.get("ann").tags == ()
    assert access.users.get("ann").limits == {"max-channels": 3}
    access.put_user("ann", password="three")
    assert access.users.is_login("ann", b"three")
    access.put_user("ann")
    assert not access.users.is_login("ann", b"three")


def test_repr_of_a_user_shows_no_hash(node: Node) -> None:
    user = node.access.users.get("guest")
    assert user.password_hash not in repr(user)


def test_deleting_a_user_takes_its_permissions_away(node: Node) -> None:
    access = node.access
    access.users.add("ann", "pw")
    allow(node, "ann")
    access.set_topic_permission("/", "ann", "amq.topic", write="a", read="b")
    access.users.set_limits("ann", {"max-connections": 1})
    access.delete_user("ann")
    assert node.gone == ["user ann"]
    access.users.add("ann", "pw")
    assert not access.may_enter("ann", "/")
    assert access.permissions.topics_listed() == []
    assert access.users.get("ann").limits == {}


def test_deleting_a_vhost_takes_all_that_is_in_it(node: Node) -> None:
    access, journal = node.access, node.journal
    before = dict(journal.live)
    vhost = access.add_vhost("shop", creator="guest")
    queue = new_queue(vhost, "q", durable=True)
    new_exchange(vhost, "x", durable=True)
    bind(vhost, "q", "x")
    bind(vhost, "q", "amq.direct")
    vhost.bind_exchange("amq.fanout", "amq.topic", "k", {})
    vhost.policies.set(Policy("p", ".*", {"max-length": 1}))
    vhost.policies.set(Policy("o", ".*", {"max-length": 1}, kind="operator-policy"))
    access.set_vhost_limits("shop", {"max-queues": 1})
    access.set_topic_permission("shop", "guest", "x", write="a", read="b")
    access.delete_vhost("shop")
    assert node.gone == ["vhost shop"]
    assert queue.is_deleted
    assert journal.live == before
    assert not access.may_enter("guest", "shop")


def test_creator_of_a_vhost_has_all_permissions_there(node: Node) -> None:
    node.access.add_vhost("shop", creator="guest")
    node.access.add_vhost("other", creator="nobody")
    assert [(each.user, each.vhost) for each in node.access.permissions.listed()] == [("guest", "/"), ("guest", "shop")]


def test_vhosts_metadata_changes_by_field(node: Node) -> None:
    node.access.add_vhost("shop", description="wares", tags=["a", "a", "b"], default_queue_type="quorum")
    node.access.update_vhost("shop", tags=[])
    metadata = node.restarted().vhosts["shop"].metadata
    assert (metadata.description, metadata.tags, metadata.default_queue_type) == ("wares", (), "quorum")
    node.access.update_vhost("shop", default_queue_type="")
    assert node.vhosts["shop"].metadata.default_queue_type is None


REFUSALS: dict[str, tuple[Any, type[AccessError]]] = {
    "add a user twice": (lambda a: a.users.add("guest", "x"), UserExists),
    "user without a name": (lambda a: a.users.add("", "x"), Unacceptable),
    "user with a long name": (lambda a: a.put_user("é" * 128, password="x"), Unacceptable),
    "tags in one text": (lambda a: a.users.set_tags("guest", "administrator"), Unacceptable),
    "tag that is blank": (lambda a: a.put_user("ann", tags=[" "]), Unacceptable),
    "hash that is none": (lambda a: a.put_user("ann", password_hash="AAAA"), Unacceptable),
    "password of nobody": (lambda a: a.users.set_password("ann", "x"), NoSuchUser),
    "tags of nobody": (lambda a: a.users.set_tags("ann", []), NoSuchUser),
    "limits of nobody": (lambda a: a.users.set_limits("ann", {}), NoSuchUser),
    "delete nobody": (lambda a: a.delete_user("ann"), NoSuchUser),
    "add a vhost twice": (lambda a: a.add_vhost("/"), VirtualHostExists),
    "vhost without a name": (lambda a: a.add_vhost(""), Unacceptable),
    "vhost of an unknown queue type": (lambda a: a.add_vhost("v", default_queue_type="fast"), Unacceptable),
    "delete a missing vhost": (lambda a: a.delete_vhost("v"), NoSuchVirtualHost),
    "change a missing vhost": (lambda a: a.update_vhost("v", description="x"), NoSuchVirtualHost),
    "limit a missing vhost": (lambda a: a.set_vhost_limits("v", {}), NoSuchVirtualHost),
    "permission of nobody": (
        lambda a: a.set_permission("/", "ann", configure="", write="", read=""),
        NoSuchUser,
    ),
    "permission in a missing vhost": (
        lambda a: a.set_permission("v", "guest", configure="", write="", read=""),
        NoSuchVirtualHost,
    ),
    "permission by no pattern": (
        lambda a: a.set_permission("/", "guest", configure=".*", write=".*", read="*"),
        InvalidPattern,
    ),
    "topic permission by no pattern": (
        lambda a: a.set_topic_permission("/", "guest", "x", write="(", read=""),
        InvalidPattern,
    ),
    "unknown limit": (lambda a: a.users.set_limits("guest", {"max-queues": 1}), Unacceptable),
    "limit that is a text": (lambda a: a.set_vhost_limits("/", {"max-queues": "1"}), Unacceptable),
    "limit that is true": (lambda a: a.set_vhost_limit("/", "max-queues", True), Unacceptable),
    "limits that are a list": (lambda a: a.set_vhost_limits("/", []), Unacceptable),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_is_refused_and_changes_nothing(node: Node, case: str) -> None:
    change, error = REFUSALS[case]
    before, live = node.shown(), dict(node.journal.live)
    with pytest.raises(error) as raised:
        change(node.access)
    assert str(raised.value)
    assert (node.shown(), node.journal.live, node.gone) == (before, live, [])


def test_user_limits_are_set_one_by_one_and_cleared(node: Node) -> None:
    users = node.access.users
    users.set_limits("guest", {"max-connections": 1})
    users.set_limits("guest", {"max-channels": 2})
    assert users.get("guest").limits == {"max-connections": 1, "max-channels": 2}
    users.clear_limits("guest", "max-channels")
    assert node.restarted().access.users.get("guest").limits == {"max-connections": 1}
    users.clear_limits("guest")
    assert ("user-limit", "guest") not in node.journal.live


def test_vhost_limits_are_replaced_set_and_cleared(node: Node) -> None:
    access = node.access
    access.set_vhost_limits("/", {"max-connections": 1})
    access.set_vhost_limits("/", {"max-queues": 2})
    access.set_vhost_limit("/", "max-connections", 3)
    assert dict(node.restarted().vhosts["/"].limits) == {"max-queues": 2, "max-connections": 3}
    access.clear_vhost_limit("/", "max-queues")
    access.clear_vhost_limit("/", "max-connections")
    assert ("vhost-limit", "/") not in node.journal.live


def test_queue_limit_counts_new_queues_only(node: Node) -> None:
    vhost = node.vhosts["/"]
    new_queue(vhost, "one")
    node.access.set_vhost_limits("/", {"max-queues": 1})
    declare(vhost, "one")
    text = "cannot declare queue 'two': queue limit in vhost '/' (1) is reached"
    refused(PreconditionFailed, text, declare, vhost, "two", arguments={"x-message-ttl": "no number"})
    node.access.set_vhost_limits("/", {"max-queues": -1})
    declare(vhost, "two")


def test_permissions_change_routes_that_channels_keep(node: Node) -> None:
    versions = [node.vhosts["/"].topology_version]

    def changed() -> bool:
        versions.append(node.vhosts["/"].topology_version)
        return versions[-1] > versions[-2]

    allow(node, "guest", write="")
    assert changed()
    node.access.set_topic_permission("/", "guest", "x", write="", read="")
    assert changed()
    node.access.clear_topic_permissions("/", "guest", "x")
    assert changed()
    node.access.clear_permission("/", "guest")
    assert changed()


def test_variables_in_topic_permissions_are_plain_text(node: Node) -> None:
    access = node.access
    access.users.add("a.b", "pw")
    exchange = node.vhosts["/"].exchanges["amq.topic"]
    access.set_topic_permission("/", "a.b", "amq.topic", write="^{username}-{client_id}$", read="")
    checks = access.access("a.b", "/", {"client_id": "c*"})
    checks.check_topics("write", exchange, ["a.b-c*"])
    for key in ("aXb-c*", "a.b-ccc"):
        with pytest.raises(AccessRefused):
            checks.check_topics("write", exchange, [key])
    checks.check_topics("write", node.vhosts["/"].exchanges["amq.direct"], ["anything"])


class Changes(RuleBasedStateMachine):
    """Whatever is changed, a restart brings back exactly what there was."""

    def __init__(self) -> None:
        super().__init__()
        self.node = Node()

    names = st.sampled_from(["a", "b"])
    patterns = st.sampled_from(["", ".*", "^a", "("])

    def change(self, function: Any, *args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except AccessError as error:
            assert str(error)  # noqa: PT017

    @rule(name=names, tags=st.lists(st.sampled_from(["administrator", "x"]), max_size=2))
    def put_user(self, name: str, tags: list[str]) -> None:
        self.change(self.node.access.put_user, name, password="pw", tags=tags)

    @rule(name=names)
    def delete_user(self, name: str) -> None:
        self.change(self.node.access.delete_user, name)

    @rule(name=names, limit=st.sampled_from(["max-connections", "max-channels"]), value=st.integers(-1, 2))
    def limit_user(self, name: str, limit: str, value: int) -> None:
        self.change(self.node.access.users.set_limits, name, {limit: value})

    @rule(name=names, description=st.sampled_from(["", "d"]))
    def add_vhost(self, name: str, description: str) -> None:
        self.change(self.node.access.add_vhost, name, description=description, creator="a")

    @rule(name=names)
    def delete_vhost(self, name: str) -> None:
        self.change(self.node.access.delete_vhost, name)

    @rule(name=names, value=st.integers(-1, 2))
    def limit_vhost(self, name: str, value: int) -> None:
        self.change(self.node.access.set_vhost_limit, name, "max-queues", value)

    @rule(vhost=names, user=names, patterns=st.tuples(patterns, patterns, patterns))
    def permit(self, vhost: str, user: str, patterns: tuple[str, str, str]) -> None:
        configure, write, read = patterns
        self.change(self.node.access.set_permission, vhost, user, configure=configure, write=write, read=read)

    @rule(vhost=names, user=names)
    def forbid(self, vhost: str, user: str) -> None:
        self.change(self.node.access.clear_permission, vhost, user)

    @rule(vhost=names, user=names, exchange=names, pattern=patterns)
    def permit_topic(self, vhost: str, user: str, exchange: str, pattern: str) -> None:
        self.change(self.node.access.set_topic_permission, vhost, user, exchange, write=pattern, read=pattern)

    @rule(vhost=names, user=names, exchange=st.sampled_from([None, "a"]))
    def lift_topics(self, vhost: str, user: str, exchange: str | None) -> None:
        self.change(self.node.access.clear_topic_permissions, vhost, user, exchange)

    @invariant()
    def restart_brings_all_back(self) -> None:
        assert self.node.restarted().shown() == self.node.shown()

    @invariant()
    def permissions_are_of_users_and_vhosts_that_there_are(self) -> None:
        access = self.node.access
        places = [(each.user, each.vhost) for each in access.permissions.listed()]
        places += [(each.user, each.vhost) for each in access.permissions.topics_listed()]
        for user, vhost in places:
            assert user in access.users
            assert vhost in access.vhosts


TestChanges = Changes.TestCase
TestChanges.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
