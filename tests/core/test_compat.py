"""Version profiles: what each refuses and with what, and that a first use of what will be refused is told once."""

from pathlib import Path
from typing import get_args

import pytest

from broker.core.compat import PROFILES, Compat, Feature, Version
from broker.core.vhosts import VirtualHost
from protocol.errors import AmqpError, CommandInvalid, InternalFault, PreconditionFailed
from protocol.tables import FieldTable
from tests.core.topology import OWNER, new_vhost, refused


def like(version: Version) -> VirtualHost:
    vhost = new_vhost()
    vhost.compat = Compat(version)
    return vhost


def deprecation_text(feature: str) -> str:
    """Return what RabbitMQ 4.3 sends of its text about a feature, which is cut at 255 octets."""
    whole = (
        f"INTERNAL_ERROR - Feature `{feature}` is deprecated.\nBy default, this feature is not permitted anymore.\n"
        "The feature will be removed from a future major RabbitMQ version, regardless of the configuration; actual "
        "version to be determined.\nTo continue using "
    )
    return whole[:252] + "..."


@pytest.mark.parametrize(
    ("version", "properties", "arguments", "feature"),
    [
        ("4.3", {}, {}, "transient_nonexcl_queues"),
        ("4.3", {"auto_delete": True}, {}, "transient_nonexcl_queues"),
        ("4.3", {"durable": True}, {"x-queue-master-locator": "min-masters"}, "queue_master_locator"),
    ],
)
def test_a_deprecated_feature_closes_the_connection(
    version: Version, properties: dict[str, bool], arguments: FieldTable, feature: str
) -> None:
    vhost = like(version)
    with pytest.raises(InternalFault) as raised:
        vhost.declare_queue("q", owner=OWNER, arguments=arguments, **properties)  # type: ignore[arg-type]
    assert raised.value.reply_text == deprecation_text(feature)
    assert vhost.queues == {}


def test_what_lasts_or_is_a_connections_own_is_no_transient_shared_queue() -> None:
    vhost = like("4.3")
    vhost.declare_queue("durable", owner=OWNER, durable=True, arguments={})
    vhost.declare_queue("exclusive", owner=OWNER, exclusive=True, arguments={})
    assert set(vhost.queues) == {"durable", "exclusive"}


@pytest.mark.parametrize("version", ["3", "4.0"])
def test_earlier_versions_permit_what_4_3_refuses(version: Version) -> None:
    vhost = like(version)
    vhost.declare_queue(
        "q",
        owner=OWNER,
        arguments={"x-queue-master-locator": "min-masters", "x-queue-version": 1, "x-queue-mode": "lazy"},
    )
    assert "q" in vhost.queues


def test_the_first_version_of_classic_queues_is_gone_in_4_3() -> None:
    vhost = like("4.3")
    refused(
        PreconditionFailed,
        "invalid arg 'x-queue-version' for queue 'q' in vhost '/': \"unsupported queue version '1'\"",
        vhost.declare_queue,
        "q",
        owner=OWNER,
        durable=True,
        arguments={"x-queue-version": 1},
    )
    vhost.declare_queue("q", owner=OWNER, durable=True, arguments={"x-queue-version": 2})


def test_only_quorum_queues_have_a_consumer_timeout_in_4_3() -> None:
    arguments = {"x-consumer-timeout": 60_000}
    like("4.0").declare_queue("q", owner=OWNER, durable=True, arguments=arguments)
    refused(
        PreconditionFailed,
        "invalid arg 'x-consumer-timeout' for queue 'q' in vhost '/' of queue type rabbit_classic_queue",
        like("4.3").declare_queue,
        "q",
        owner=OWNER,
        durable=True,
        arguments=arguments,
    )
    Compat("4.3").check_new_queue("queue 'q'", True, False, {**arguments, "x-queue-type": "quorum"})


@pytest.mark.parametrize(
    ("version", "error"), [("3", CommandInvalid), ("4.0", CommandInvalid), ("4.3", PreconditionFailed)]
)
def test_an_unknown_exchange_type_closes_the_connection_or_in_4_3_the_channel(
    version: Version, error: type[AmqpError]
) -> None:
    vhost = like(version)
    refused(error, "unknown exchange type 'x-none'", vhost.declare_exchange, "x", "x-none", arguments={})


def test_the_least_frame_and_the_largest_message_follow_the_version() -> None:
    limits = {
        version: (profile.frame_max_least, profile.message_octets_most >> 20) for version, profile in PROFILES.items()
    }
    assert limits == {"3": (4096, 128), "4.0": (4096, 16), "4.3": (8192, 16)}


def test_clients_are_told_a_release_of_the_versions_line() -> None:
    lines = {version: profile.release.rpartition(".")[0] for version, profile in PROFILES.items()}
    assert lines == {"3": "3.13", "4.0": "4.0", "4.3": "4.3"}


def test_the_first_use_of_what_a_later_version_refuses_is_told_once() -> None:
    told: list[tuple[Feature, Version]] = []
    compat = Compat("3", lambda feature, version: told.append((feature, version)))
    vhost = new_vhost()
    vhost.compat = compat
    vhost.declare_queue("exclusive", owner=OWNER, exclusive=True, arguments={})
    assert told == []
    for name in ("a", "b"):
        vhost.declare_queue(name, owner=OWNER, arguments={"x-queue-version": 1})
    assert compat.permits("classic_queue_mirroring")
    assert told == [
        ("transient_nonexcl_queues", "4.3"),
        ("queue_version_1", "4.3"),
        ("classic_queue_mirroring", "4.0"),
    ]


def test_the_page_about_versions_has_a_row_for_each_feature_with_what_permits_it() -> None:
    page = (Path(__file__).parents[2] / "docs" / "versions.md").read_text(encoding="utf-8")
    for feature in get_args(Feature):
        cells = " | ".join("yes" if getattr(profile, feature) else "no" for profile in PROFILES.values())
        assert f"| `{feature}` | {cells} |" in page


def test_what_is_refused_is_not_told_as_if_it_were_used() -> None:
    told: list[Feature] = []
    compat = Compat("4.3", lambda feature, version: told.append(feature))
    assert not compat.permits("global_qos")
    assert told == []
