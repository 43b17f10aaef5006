"""The cases, one module per section, in the order in which they run."""

import importlib

from conformance.case import CASES, Case

SECTIONS = (
    "handshake",
    "tune",
    "framing",
    "segments",
    "channel",
    "exchange",
    "queue_declare",
    "queue_arguments",
    "queue_methods",
    "publish",
    "routing",
    "consume",
    "ack",
    "get",
    "recover",
    "prefetch",
    "confirm",
    "tx",
    "returns",
    "closing",
    "heartbeats",
    "names",
    "precedence",
    "ttl",
    "expires",
    "length_limits",
    "dead_letter",
    "priority",
    "consumer_priority",
    "single_active",
    "quorum",
    "stream",
    "alternate_exchange",
    "exchange_bindings",
    "cc_bcc",
    "direct_reply_to",
    "user_id",
    "exchange_types",
)


def load() -> list[Case]:
    """Import every section and return all cases in order."""
    for section in SECTIONS:
        importlib.import_module(f"conformance.cases.{section}")
    return list(CASES.values())
