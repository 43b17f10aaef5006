"""Verbs that are about Erlang, which this broker is not written in: refused (69) in one line, or without an effect."""

from typing import Final

from broker.control.failures import OK, UNAVAILABLE, Failure
from broker.control.verb import Session, Verb, grouped

GROUP: Final = "Erlang"

REFUSED: Final = {
    "eval": ("<expression>", "it evaluates no expressions"),
    "eval_file": ("<file>", "it evaluates no expressions"),
    "exec": ("<expression>", "it evaluates no expressions"),
    "remote_shell": ("", "it has no shell"),
    "observer": ("", "it has no processes of Erlang's to observe"),
    "maybe_stuck": ("", "it has no processes of Erlang's that may be stuck"),
    "runtime_thread_stats": ("", "it has no schedulers of Erlang's"),
    "schema_info": ("", "it has no Mnesia tables"),
    "resolver_info": ("", "names are resolved by the system"),
    "erlang_cookie_hash": ("", "it has no cookie"),
    "erlang_cookie_sources": ("", "it has no cookie"),
    "encode": ("<value> <passphrase>", "it reads no encrypted values"),
    "decode": ("<value> <passphrase>", "it reads no encrypted values"),
    "list_ciphers": ("", "it reads no encrypted values"),
    "list_hashes": ("", "it reads no encrypted values"),
}
"""What is refused: arguments, and why."""


def refuse(session: Session) -> None:
    """Refuse what needs Erlang."""
    raise Failure(
        UNAVAILABLE, f"{session.verb.name}: this broker is not written in Erlang, {REFUSED[session.verb.name][1]}"
    )


def force_gc(session: Session) -> int:
    """Accept it: Python frees what nobody holds as soon as nobody holds it."""
    session.doing(f"Will ask all processes on node {session.node} to schedule a full sweep GC")
    return OK


def reclaim(session: Session) -> int:
    """Accept it: the log is trimmed by itself."""
    session.doing(f"Will flush Raft WAL of quorum queue {session.arguments[0]} ...")
    session.facts()
    return OK


def hipe_compile(session: Session) -> int:
    """Accept it, as RabbitMQ does, without an effect."""
    session.output.line("This command is a no-op. HiPE is no longer supported by modern Erlang versions")
    return OK


_SWITCHES: Final = {
    "encode": {"cipher": "cipher", "hash": "hash", "iterations": "count"},
    "decode": {"cipher": "cipher", "hash": "hash", "iterations": "count"},
    "runtime_thread_stats": {"sample-interval": "seconds"},
}

VERBS: Final = grouped(
    GROUP,
    Verb("force_gc", "", "Has nothing to do", force_gc),
    Verb("hipe_compile", "<directory>", "Has nothing to do", hipe_compile, 0, 1),
    Verb("reclaim_quorum_memory", "[-p <vhost>] <queue>", "Has nothing to do", reclaim, 1, 1),
    *(
        Verb(name, usage, f"Is refused: {why}", refuse, 0, None, _SWITCHES.get(name, {}))
        for name, (usage, why) in REFUSED.items()
    ),
)
