"""Looks into a broker from aside: counts, contents, what exists; and clears up after a script.

Each queue has a channel of its own on a control connection, so that one round trip asks for all of them and a queue
that is gone closes nobody else's channel. A queue that is exclusive is asked on its owner's connection.
"""

import time
from collections.abc import Mapping

from conformance.differential.events import line_of, plain_names
from conformance.wire import Channel, Connection, Mismatch

_FIRST_NUMBER = 100
_ANSWER_S = 10.0


class Probes:
    """Passive declares of the queues that a script has declared."""

    def __init__(self, prefix: str, control: Connection, owners: Mapping[int, Connection]) -> None:
        self.prefix = prefix
        self.control = control
        self.owners = owners
        self.watched: dict[str, int] = {}
        self._channels: dict[tuple[int, str], Channel] = {}
        self._asked: dict[str, Channel] = {}
        self._unnamed_at: int | None = None
        self._generated_count = 0
        self._names: dict[str, str] = {}

    def watch(self, label: str, at: int) -> None:
        """Look at a queue from now on, from connection ``at`` if it is exclusive to it, else 0."""
        if not label:
            self._unnamed_at = at
            return
        self._names.setdefault(label, self.prefix + label)
        if label not in self.watched or at == 0:
            self.watched.setdefault(label, at)

    def declared(self, name: str) -> None:
        """A declare was answered: learn the name if the broker made it up."""
        if self._unnamed_at is None:
            return
        if name.startswith("amq.gen-"):
            self._generated_count += 1
            label = f"unnamed {self._generated_count}"
            self._names[label] = name
            self.watched[label] = self._unnamed_at
        self._unnamed_at = None

    def forget(self, at: int) -> None:
        """Connection ``at`` is gone: so are its channels, and what was exclusive to it is looked at from aside."""
        self._channels = {key: channel for key, channel in self._channels.items() if key[0] != at}
        self.watched = {label: 0 if home == at else home for label, home in self.watched.items()}

    # Counts

    def ask(self) -> None:
        """Ask for the counts of all watched queues."""
        self._asked = {}
        for label, at in self.watched.items():
            channel = self._channel(at if at in self.owners else 0, label)
            channel.send("queue.declare", queue=self._names[label], passive=True)
            self._asked[label] = channel

    def answers(self) -> dict[str, str]:
        """Return queue -> counts, or why there are none; queues that are missing are not watched any longer."""
        found: dict[str, str] = {}
        for label, channel in self._asked.items():
            method = channel.next(_ANSWER_S)
            if method.name == "queue.declare-ok":
                found[f"queue {label}"] = f"{method.message_count} ready, {method.consumer_count} consumers"
                continue
            found[f"queue {label}"] = self._refused(label, channel, method.reply_code)
        return found

    def _refused(self, label: str, channel: Channel, reply_code: int) -> str:
        channel.send("channel.close-ok")
        channel.call("channel.open")
        if reply_code == 404:
            del self.watched[label]
            return "missing"
        others = [at for at in (*self.owners, 0) if at != self.watched[label]]
        for at in others:
            other = self._channel(at, label)
            other.send("queue.declare", queue=self._names[label], passive=True)
            method = other.next(_ANSWER_S)
            if method.name == "queue.declare-ok":
                self.watched[label] = at
                return f"{method.message_count} ready, {method.consumer_count} consumers"
            other.send("channel.close-ok")
            other.call("channel.open")
        return "locked"

    def _channel(self, at: int, label: str) -> Channel:
        key = (at, label)
        channel = self._channels.get(key)
        if channel is None:
            connection = self.owners[at] if at else self.control
            number = _FIRST_NUMBER + sum(1 for known, _ in self._channels if known == at)
            channel = connection.channels.get(number) or connection.channel(number)
            self._channels[key] = channel
        return channel

    # The end

    def contents(self) -> dict[str, list[str]]:
        """Take everything out of the watched queues; return queue -> what was in it, in order."""
        taken: dict[str, list[str]] = {}
        for label, at in self.watched.items():
            channel = self._channel(at if at in self.owners else 0, label)
            lines = taken[label] = []
            while len(lines) < 1000:
                channel.send("basic.get", queue=self._names[label], no_ack=True)
                method = channel.next(_ANSWER_S)
                if method.name != "basic.get-ok":
                    break
                lines.append(line_of(method, self.prefix))
            if method.name == "channel.close":
                lines.append(plain_names(method.reply_text, self.prefix))
                channel.send("channel.close-ok")
                channel.call("channel.open")
        return taken

    def existing_exchanges(self, labels: set[str]) -> list[str]:
        """Return which of the exchanges exist."""
        existing = []
        for label in sorted(labels):
            channel = self._channel(0, "")
            channel.send("exchange.declare", exchange=self.prefix + label, passive=True)
            if channel.next(_ANSWER_S).name == "channel.close":
                channel.send("channel.close-ok")
                channel.call("channel.open")
            else:
                existing.append(label)
        return existing

    def delete(self, labels: set[str]) -> None:
        """Delete the queues and exchanges of these names. A queue that is still locked goes with its owner."""
        channel = self._channel(0, "")
        for label in sorted(labels):
            kind = "queue" if label[0] in "qg" else "exchange"
            deadline = time.monotonic() + _ANSWER_S
            while time.monotonic() < deadline:
                channel.send(f"{kind}.delete", **{kind: self.prefix + label})
                method = channel.next(_ANSWER_S)
                if method.name != "channel.close":
                    break
                channel.send("channel.close-ok")
                channel.call("channel.open")
                if method.reply_code != 405:
                    raise Mismatch(f"{label} deleted", method)
