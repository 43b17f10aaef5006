"""Who published, who was promised and who got what: the book in which a lost or a phantom message shows.

Checker after Jepsen's total queue: what was confirmed must be delivered, what was never published must not, what
was acked and synced must not come again, and first deliveries keep the publisher's order.
"""

import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field

# An ack that the broker has read is on disk with the next batch, within 20 ms; a slow disk gets a second.
SYNCED_S = 1.0

Name = tuple[int, int]  # publisher, its running number


def body_of(name: Name) -> bytes:
    """The message called ``name``: it tells its name and checks itself; sizes differ from 20 to some 3000 octets."""
    publisher, number = name
    octets = b"%d %d %s" % (publisher, number, b"x" * (number * 37 % 3000))
    return b"%08x " % zlib.crc32(octets) + octets


def name_of(body: bytes) -> Name:
    """The name of an unharmed message; AssertionError for any other octets."""
    checksum, publisher, number = body.split(b" ", 3)[:3]
    assert int(checksum, 16) == zlib.crc32(body[9:]), "a message was damaged"
    return int(publisher), int(number)


@dataclass(slots=True)
class Account:
    """What is known of one queue. Messages that were delayed do not come in the order in which they were published."""

    is_ordered: bool = True
    published: set[Name] = field(default_factory=set)
    confirmed: set[Name] = field(default_factory=set)
    delivered: dict[Name, float] = field(default_factory=dict)  # when first delivered, in this run of the broker
    settled: dict[Name, float] = field(default_factory=dict)  # when the broker had surely read the ack, likewise
    delivered_safely: set[Name] = field(default_factory=set)
    settled_safely: set[Name] = field(default_factory=set)
    ever_delivered: set[Name] = field(default_factory=set)
    newest: dict[int, int] = field(default_factory=dict)  # by publisher: highest number ever delivered
    last: dict[int, int] = field(default_factory=dict)  # by publisher: number delivered last in this run
    failures: list[str] = field(default_factory=list)

    def deliver(self, name: Name, redelivered: bool) -> None:
        """Book a delivery and note everything that is wrong with it."""
        publisher, number = name
        if name not in self.published:
            self.failures.append(f"phantom {name}")
        if name in self.settled_safely:
            self.failures.append(f"{name} came again after its ack was safe")
        if name in self.delivered_safely and not redelivered:
            self.failures.append(f"{name} was delivered before the kill, but is not marked redelivered")
        if self.is_ordered and name not in self.ever_delivered and number < self.newest.get(publisher, -1):
            self.failures.append(f"{name} was first delivered after {self.newest[publisher]} of its publisher")
        # Nothing is requeued while the broker runs, so even what comes again keeps its place.
        if self.is_ordered and number <= self.last.get(publisher, -1):
            self.failures.append(f"{name} came after {self.last[publisher]} of its publisher")
        self.delivered[name] = time.monotonic()
        self.ever_delivered.add(name)
        self.last[publisher] = number
        self.newest[publisher] = max(number, self.newest.get(publisher, -1))

    def killed(self, at: float) -> None:
        """The broker was killed at that time of the monotonic clock: divide what was safe from what was not."""
        for booked, safely in ((self.delivered, self.delivered_safely), (self.settled, self.settled_safely)):
            safely |= {name for name, when in booked.items() if when < at - SYNCED_S}
            booked.clear()
        self.last.clear()

    def check_complete(self) -> None:
        """After the last drain: everything confirmed has been delivered at least once."""
        lost = self.confirmed - self.ever_delivered
        if lost:
            self.failures.append(f"{len(lost)} confirmed messages lost, such as {sorted(lost)[:5]}")


def failures_of(accounts: Iterable[Account]) -> list[str]:
    return [failure for account in accounts for failure in account.failures]
