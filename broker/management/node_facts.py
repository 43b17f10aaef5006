"""What is told of a node besides its queues: how logins go, what its disk and memory do, what the system counts.

RabbitMQ: HTTP API, ``/api/nodes``; Memory Use.
"""

import gc
import re
from typing import Any, Final

from broker.management.node import ManagedNode
from broker.server.connection import Connection
from broker.server.counters import type_of
from broker.server.resources import own_resident_octets
from storage.metered import Count, counts_of

EXCHANGE_TEXTS: Final = {
    "direct": "by a routing key that is the binding's",
    "fanout": "to all that are bound",
    "headers": "by headers that are the binding's arguments",
    "topic": "by a routing key that fits the binding's pattern",
    "x-consistent-hash": "to one of those that are bound, by a hash and their weights",
    "x-delayed-message": "as another type, after the delay in x-delay",
    "x-modulus-hash": "to one of those that are bound, by a hash and their number",
    "x-random": "to one of those that are bound, by chance",
    "x-recent-history": "to all that are bound, and the last messages to who is bound later",
}

PLUGINS: Final = ("rabbitmq_management", "rabbitmq_prometheus")
CERTIFICATE_PLUGIN: Final = "rabbitmq_auth_mechanism_ssl"

NS_A_MS: Final = 1_000_000

MEMORY: Final = (
    *("connection_readers", "connection_writers", "connection_channels", "connection_other", "queue_procs"),
    *("queue_slave_procs", "quorum_queue_procs", "quorum_queue_dlx_procs", "stream_queue_procs"),
    *("stream_queue_replica_reader_procs", "stream_queue_coordinator_procs", "plugins", "other_proc", "metrics"),
    *("mgmt_db", "mnesia", "quorum_ets", "other_ets", "binary", "msg_index", "code", "atom", "other_system"),
    *("allocated_unused", "reserved_unallocated"),
)
"""RabbitMQ's parts of memory; those that are not there stay 0."""
TLS_KEYS: Final = (
    *("peer_cert_issuer", "peer_cert_subject", "peer_cert_validity"),
    *("ssl_cipher", "ssl_hash", "ssl_key_exchange", "ssl_protocol"),
)
QUEUE_MEMORY: Final = {"classic": "queue_procs", "quorum": "quorum_queue_procs", "stream": "stream_queue_procs"}


def certificates_log_in(node: ManagedNode) -> bool:
    """Whether clients on TLS are offered EXTERNAL."""
    settings = node.broker.settings
    return settings.tls_certificate is not None and settings.tls_clients != "ignore"


def auth_mechanisms(node: ManagedNode) -> list[dict[str, Any]]:
    """Return the ways to log in. EXTERNAL is offered on connections with TLS, if certificates are looked at."""
    return [
        {"name": "PLAIN", "description": "User and password, or a token", "enabled": True},
        {"name": "AMQPLAIN", "description": "The same as a table of AMQP's", "enabled": True},
        {
            "name": "EXTERNAL",
            "description": "The certificate that the client shows",
            "enabled": certificates_log_in(node),
        },
    ]


def enabled_plugins(node: ManagedNode) -> list[str]:
    """Return the plugins of RabbitMQ that there would be for what is on here."""
    return sorted((*PLUGINS, *([CERTIFICATE_PLUGIN] if certificates_log_in(node) else [])))


def disk_facts(node: ManagedNode) -> dict[str, float]:
    """Return what was done to the disk since the start; times in milliseconds a call."""
    counts = counts_of(node.broker.store.disk)
    return {
        "io_read_count": counts.read.calls,
        "io_read_bytes": counts.read.octets,
        "io_read_avg_time": _mean_ms(counts.read),
        "io_write_count": counts.write.calls,
        "io_write_bytes": counts.write.octets,
        "io_write_avg_time": _mean_ms(counts.write),
        "io_sync_count": counts.sync.calls,
        "io_sync_avg_time": _mean_ms(counts.sync),
        "io_seek_count": 0,
        "io_seek_avg_time": 0.0,
        "io_reopen_count": 0,
    }


def _mean_ms(count: Count) -> float:
    return round(count.ns / count.calls / NS_A_MS, 6) if count.calls else 0.0


def garbage_collections() -> tuple[int, int]:
    """Return how often Python's collector has run, and how many objects it has found."""
    found = gc.get_stats()
    return sum(each["collections"] for each in found), sum(each["collected"] for each in found)


def context_switches() -> int:
    """Return how often the process has let others run; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_nvcsw + usage.ru_nivcsw


def memory_parts(node: ManagedNode) -> tuple[int, dict[str, int]]:
    """Return the process's memory in octets, and what messages take of it, about; the rest is ``other_system``."""
    broker = node.broker
    parts = dict.fromkeys(MEMORY, 0)
    for connection in broker.connections:
        parts["connection_writers"] += connection.unwritten_octets
        parts["connection_channels"] += sum(each.unacked.resident_octets() for each in connection.channels.values())
    for vhost in broker.vhosts.values():
        for queue in vhost.queues.values():
            parts[QUEUE_MEMORY[type_of(queue)]] += queue.resident_octets()
    used = own_resident_octets()
    parts["other_system"] = max(0, used - sum(parts.values()))
    return used, parts


def tls_facts(connection: Connection) -> dict[str, Any]:
    """Return how a connection is protected, and whom the client's certificate names; all null without TLS."""
    tls = connection.tls
    if tls is None:
        return {"ssl": False, **dict.fromkeys(TLS_KEYS)}
    exchange, cipher, authentication = cipher_parts(tls.cipher)
    return {
        "ssl": True,
        "peer_cert_issuer": tls.issuer,
        "peer_cert_subject": tls.subject,
        "peer_cert_validity": tls.validity,
        "ssl_cipher": cipher,
        "ssl_hash": authentication,
        "ssl_key_exchange": exchange,
        "ssl_protocol": tls.version.lower(),
    }


def cipher_parts(suite: str) -> tuple[str, str, str]:
    """Return key exchange, cipher and message authentication of a suite that OpenSSL names, as Erlang calls them."""
    is_new = suite.startswith("TLS_")  # TLS 1.3: the name tells no key exchange.
    parts = suite.removeprefix("TLS_").lower().replace("_", "-").split("-")
    digest = parts.pop() if parts[-1].startswith(("sha", "md5")) else "sha"
    at = next((place for place, part in enumerate(parts) if part.startswith(("aes", "chacha", "camellia"))), 0)
    exchange = "any" if is_new else "_".join(parts[:at]) or "rsa"
    cipher = re.sub(r"^(aes|camellia)(?=\d)", r"\1_", "_".join(parts[at:]))
    is_whole = cipher.endswith(("gcm", "ccm", "ccm8", "poly1305"))
    return exchange, cipher if is_whole else f"{cipher}_cbc", "aead" if is_whole else digest
