"""The books of a simulation: for each message and queue what was promised, who has it, and what became of it.

After Jepsen's total queue: what was confirmed is acked, still there, dead-lettered or expired, exactly once; what was
not may be there once; what nobody published is not. What a client did counts as done when the broker has surely read
it, and as done forever when that is on disk: the end of a process takes back what was not.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from tests.crash.ledger import Name

Outcome = Literal["acked", "rejected"]
Promise = Literal["", "confirmed", "refused", "undone"]


class LedgerError(AssertionError):
    """A promise is broken."""


@dataclass(slots=True, eq=False)
class Holder:
    """Who has unacked messages: a channel of a client's. ``is_open``: the broker serves its connection still."""

    name: str
    is_open: Callable[[], bool]


@dataclass(slots=True, eq=False)
class Entry:
    """One message in one queue."""

    name: Name
    life: int  # of the broker, in which it was published last
    sent_ms: int
    is_persistent: bool
    ttl_ms: int | None = None
    promise: Promise = ""
    holder: Holder | None = None
    outcome: Outcome | None = None
    is_read: bool = False  # the broker has read the outcome
    is_final: bool = False  # and has it on disk
    may_be_settled: bool = False  # an outcome was told at some time, and perhaps counted
    may_be_rejected: bool = False
    may_be_purged: bool = False
    first_life: int = 0  # in which it was last delivered as new
    seen_life: int = 0  # in which it was last delivered at all
    is_seen_safely: bool = False  # that it was delivered is on disk
    delivery_count: int = 0
    drained_count: int = 0
    dead_in: set[str] = field(default_factory=set)  # reasons with which it was found among the dead


@dataclass(slots=True)
class Rules:
    """What a queue is declared with, as far as the books must know."""

    is_durable: bool = True
    keeps_transient: bool = False
    is_ordered: bool = True  # drained, it gives each publisher's messages in order
    ttl_ms: int | None = None
    dead_letters: bool = False  # what dies goes to the queue of the dead
    max_length: int | None = None
    may_drop: bool = False  # without a word, by its own rules
    delivery_limit: int | None = None


class Account:
    """The books of one queue. ``is_lossy``: some may have been sent to somebody who acks nothing, and is gone."""

    def __init__(self, queue: str, rules: Rules) -> None:
        self.queue = queue
        self.rules = rules
        self.entries: dict[Name, Entry] = {}
        self.is_lossy = False
        self.open_purges = 0
        self.purged_count = 0
        self.drained: list[Name] = []

    def fail(self, what: str) -> LedgerError:
        return LedgerError(f"queue {self.queue}: {what}")

    def purge_sent(self) -> None:
        self.open_purges += 1
        self._mark_purged()

    def purge_answered(self, count: int) -> None:
        self.open_purges -= 1
        self.purged_count += count
        self._mark_purged()

    def _mark_purged(self) -> None:
        for entry in self.entries.values():
            entry.may_be_purged = True


class Ledger:
    """All accounts. ``ticket()`` is the batch of the log that is being filled; ``life`` counts the broker's."""

    def __init__(self, ticket: Callable[[], int]) -> None:
        self.accounts: dict[str, Account] = {}
        self.life = 1
        self.crash_count = 0
        self.end_count = 0
        self.groups: list[tuple[str, list[tuple[Account, Entry]]]] = []
        """What is to happen whole or not at all: a fan-out, a transaction."""
        self._ticket = ticket
        self._unsynced_outcomes: list[tuple[int, Entry]] = []
        self._unsynced_views: list[tuple[int, Entry]] = []

    def publish(
        self, queues: Iterable[str], name: Name, now_ms: int, is_persistent: bool, ttl_ms: int | None = None
    ) -> list[Entry]:
        """Somebody sends a message that is to reach these queues."""
        made = []
        for queue in queues:
            account = self.accounts[queue]
            ttls = [ttl for ttl in (ttl_ms, account.rules.ttl_ms) if ttl is not None]
            entry = Entry(name, self.life, now_ms, is_persistent, min(ttls) if ttls else None)
            entry.may_be_purged = account.open_purges > 0
            account.entries[name] = entry
            made.append(entry)
        return made

    def deliver(self, queue: str, name: Name, redelivered: bool, holder: Holder | None) -> Entry:
        """Somebody got a message. Raises LedgerError where that may not be."""
        account = self.accounts[queue]
        entry = account.entries.get(name)
        if entry is None:
            raise account.fail(f"phantom {name}")
        if entry.promise in ("refused", "undone"):
            raise account.fail(f"{name} was delivered, but {entry.promise}")
        if entry.is_final:
            if entry.outcome != "rejected" or not account.rules.dead_letters or "rejected" in entry.dead_in:
                raise account.fail(f"{name} came again after {entry.outcome} was on disk")
            # There was no room for its dead letter before the end: it stays in its queue until that is on disk.
            entry.is_final = False
            self._take_back(entry)
        if not account.rules.is_durable and entry.life != self.life:
            raise account.fail(f"{name} came back from before the broker's last start")
        before = entry.holder
        if entry.outcome is not None and entry.is_read:
            raise account.fail(f"{name} came again after it was {entry.outcome}")
        if before is not None and before is not holder and before.is_open():
            raise account.fail(f"{name} was delivered to {holder and holder.name} while {before.name} held it")
        if before is not None and before is holder:
            raise account.fail(f"{name} was delivered twice to {before.name}, which had not settled it")
        if not redelivered and entry.first_life == self.life:
            raise account.fail(f"{name} was delivered as new twice")
        if not redelivered and entry.seen_life == self.life:
            raise account.fail(f"{name} was delivered as new after it was redelivered")
        if not redelivered and entry.is_seen_safely:
            raise account.fail(f"{name} was delivered before the end of a process, and came as new")
        if entry.outcome is not None:
            self._take_back(entry)
        entry.delivery_count += 1
        limit = account.rules.delivery_limit
        if limit is not None and entry.delivery_count > (limit + 1) * (1 + self.end_count):  # an end may undo counts
            raise account.fail(f"{name} was delivered {entry.delivery_count} times, limit {limit}")
        if not redelivered:
            entry.first_life = self.life
        entry.seen_life = self.life
        entry.holder = holder
        if not entry.is_seen_safely:
            self._unsynced_views.append((self._ticket(), entry))
        return entry

    def settle(self, entry: Entry, outcome: Outcome | None) -> None:
        """The holder has sent an ack or a reject; None gives it back."""
        entry.outcome = outcome
        entry.may_be_settled |= outcome is not None
        entry.may_be_rejected |= outcome == "rejected"
        entry.is_read = False
        if outcome is None:
            entry.holder = None

    def settlement_read(self, entry: Entry) -> None:
        """The broker has surely read what ``settle`` told; it is in the batch being filled or an earlier one."""
        if entry.outcome is not None and not entry.is_read:
            entry.is_read = True
            self._unsynced_outcomes.append((self._ticket(), entry))

    def holder_gone(self, entries: Iterable[Entry]) -> None:
        """A channel ended that held these, or had settled them without being sure that this was read."""
        for entry in entries:
            if not entry.is_read:
                self._take_back(entry)

    def _take_back(self, entry: Entry) -> None:
        entry.outcome = None
        entry.is_read = False
        entry.holder = None

    def process_ended(self, durable_ticket: int | None) -> None:
        """The broker's process is gone; up to that batch all is on disk, None: all."""
        for ticket, entry in self._unsynced_outcomes:
            if entry.outcome is None or not entry.is_read:
                continue
            if durable_ticket is None or ticket <= durable_ticket:
                entry.is_final = True
            else:
                self._take_back(entry)
        for ticket, entry in self._unsynced_views:
            if durable_ticket is None or ticket <= durable_ticket:
                entry.is_seen_safely = True
        self._unsynced_outcomes.clear()
        self._unsynced_views.clear()
        for account in self.accounts.values():
            keeps_transient = account.rules.keeps_transient
            for entry in account.entries.values():
                if not entry.is_final and not entry.is_read:
                    self._take_back(entry)
                elif not entry.is_final:
                    entry.is_final = durable_ticket is None
                # A transient message is gone with the process; nobody remembers whether it was seen.
                if not (entry.is_persistent or keeps_transient):
                    entry.is_seen_safely = False
        self.life += 1
        self.end_count += 1
        self.crash_count += durable_ticket is not None

    def found_dead(self, queue: str, name: Name, reason: str, now_ms: int) -> None:
        """A message of ``queue`` was found among the dead for that reason. Raises LedgerError where it cannot be."""
        account = self.accounts[queue]
        entry = account.entries.get(name)
        if entry is None:
            raise account.fail(f"phantom {name} among the dead")
        if entry.promise == "undone" or (entry.promise == "refused" and reason != "maxlen"):
            raise account.fail(f"{name} is among the dead, but was {entry.promise}")
        if entry.outcome == "acked" and entry.is_final and not entry.dead_in:
            raise account.fail(f"{name} was acked for good, and died ({reason})")
        if reason == "rejected" and not entry.may_be_rejected:
            raise account.fail(f"{name} died as rejected, which nobody did")
        if reason == "expired" and (entry.ttl_ms is None or now_ms < entry.sent_ms + entry.ttl_ms):
            raise account.fail(f"{name} expired early: sent {entry.sent_ms}, now {now_ms}, ttl {entry.ttl_ms}")
        if reason == "maxlen" and account.rules.max_length is None:
            raise account.fail(f"{name} died as too much")
        if reason == "delivery_limit" and account.rules.delivery_limit is None:
            raise account.fail(f"{name} died as returned too often")
        entry.dead_in.add(reason)

    # At the end

    def check(self, account: Account, now_ms: int, has_lost_dead: bool) -> None:
        """All that there was has been drained. ``has_lost_dead``: some of the dead may not have been seen."""
        missing = 0
        for entry in account.entries.values():
            if entry.drained_count > 1:
                raise account.fail(f"{entry.name} was there {entry.drained_count} times at the end")
            is_there = entry.drained_count or entry.dead_in
            if entry.promise != "confirmed" or is_there:
                continue
            if not self.is_kept(account, entry) or entry.may_be_settled or account.is_lossy or account.rules.may_drop:
                has_died = entry.outcome == "rejected" and entry.is_final and account.rules.dead_letters
                is_seen = entry.is_persistent or entry.life == self.life
                if has_died and is_seen and self.is_kept(account, entry) and not has_lost_dead:
                    raise account.fail(f"{entry.name} was rejected for good, and is not among the dead")
                continue
            is_dead_lost = has_lost_dead or (not entry.is_persistent and entry.life != self.life)
            if account.rules.dead_letters and is_dead_lost:
                continue
            has_expired = entry.ttl_ms is not None and now_ms >= entry.sent_ms + entry.ttl_ms
            if has_expired and not account.rules.dead_letters:
                continue
            if not entry.may_be_purged:
                raise account.fail(f"{entry.name} was confirmed and is lost")
            missing += 1
        if not account.open_purges and missing > account.purged_count:
            raise account.fail(f"{missing} messages are lost, but only {account.purged_count} were purged")

    def is_kept(self, account: Account, entry: Entry) -> bool:
        """Whether it had to survive what has happened since it was published."""
        if entry.life == self.life:
            return True
        return account.rules.is_durable and (entry.is_persistent or account.rules.keeps_transient)

    def check_order(self, account: Account) -> None:
        """What was drained at the end came in each publisher's order."""
        newest: dict[int, int] = {}
        for publisher, number in account.drained if account.rules.is_ordered else ():
            if number < newest.get(publisher, -1):
                raise account.fail(f"{(publisher, number)} came after {newest[publisher]} at the end")
            newest[publisher] = number

    def check_groups(self, has_lost_dead: bool) -> None:
        """A fan-out and a transaction happened whole or not at all."""
        for what, entries in self.groups:
            states = [(account.queue, entry.name, self._is_known(account, entry)) for account, entry in entries]
            if has_lost_dead or None in [state for _, _, state in states]:
                continue
            if len({state for _, _, state in states}) > 1:
                raise LedgerError(f"{what} happened in part: {states}")

    def _is_known(self, account: Account, entry: Entry) -> bool | None:
        """Whether it has been in its queue; None where nobody can know."""
        if entry.drained_count or entry.is_seen_safely or entry.seen_life == self.life:
            return True
        if entry.delivery_count or entry.dead_in:
            return None  # a power cut may have taken what was seen before it was on disk
        is_unknown = entry.may_be_purged or entry.ttl_ms is not None or account.is_lossy or account.rules.may_drop
        return None if is_unknown or not self.is_kept(account, entry) else False
