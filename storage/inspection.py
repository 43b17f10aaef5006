"""Looks at a data directory without changing an octet of it: what is in it, and what of it is damaged."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from storage.datadir import DataDirectory
from storage.definitions import Definition, Definitions
from storage.errors import DirectoryUnreadable
from storage.files import Disk
from storage.log import Broken, SegmentReader, segment_numbers
from storage.messages import MessageIndex
from storage.quarantine import Quarantine, tell_at
from storage.recovery import LiveRuns, LogFold, has_fitting_mark
from storage.segment import LOG_MAGIC, Batch


@dataclass(slots=True)
class SegmentState:
    """One file of the log. ``live_octets`` is an estimate, by the share of its messages that are not settled."""

    number: int
    octets: int = 0
    batch_count: int = 0
    live_octets: int = 0

    @property
    def dead_octets(self) -> int:
        return self.octets - self.live_octets


@dataclass(slots=True)
class Inspection:
    """What a start would find. ``queues`` counts messages by queue id; of a directory in use it may be behind."""

    path: Path
    in_use: bool
    was_closed: bool
    segments: list[SegmentState] = field(default_factory=list)
    journal_octets: int = 0
    definitions: list[Definition] = field(default_factory=list)
    queues: Counter[int] = field(default_factory=Counter)
    message_count: int = 0
    damage: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)  # the damaged places, and what seems to be in them
    unfinished_octets: int = 0  # a batch at the end that was never promised
    quarantined: list[str] = field(default_factory=list)


def inspect(path: Path, disk: Disk | None = None) -> Inspection:
    """Read the directory as a start does. Raises DirectoryUnreadable or UnknownFormat, with their exit codes."""
    disk = disk or Disk()
    directory = DataDirectory.look_at(disk, path)
    found = Inspection(path, disk.is_locked(path / "lock"), False)
    index = MessageIndex()
    fold = LogFold(index)
    states: dict[int, SegmentState] = {}

    def begin(number: int) -> None:
        states[number] = SegmentState(number)
        fold.begin_segment(number)

    def take(octets: bytes, batch: Batch) -> None:
        states[index.tail.number].batch_count += 1
        fold.fold(octets, batch)

    try:
        numbers = segment_numbers(disk.list(directory.log)) if disk.exists(directory.log) else []
        reader = SegmentReader(disk, directory.log, LOG_MAGIC, directory.salt, take, begin, fold.end_segment)
        reading = reader.read(numbers)
        journal = Definitions(disk, directory.definitions, directory.salt)
        journal_reading = journal.read()
        mark = directory.clean_mark()
    except OSError as error:
        raise DirectoryUnreadable(f"data directory {path} cannot be read: {error}") from error
    for number, state in states.items():
        state.octets = index.segments[number].octets
        state.live_octets = index.segments[number].live_octets
    found.segments = list(states.values())
    found.journal_octets = journal_reading.octets
    found.definitions = journal.live()
    for run in LiveRuns(index):
        found.message_count += len(run.ids)
        for queue_id in run.queues:
            found.queues[queue_id] += len(run.ids)
    found.damage = [f"log: {what}" for what in reading.damage]
    found.damage += [f"definitions: {what}" for what in journal_reading.damage]
    found.unfinished_octets = reading.dropped_octets + journal_reading.dropped_octets
    found.was_closed = has_fitting_mark(mark, reading, journal_reading, found.damage)
    for folder, each in ((directory.log, reading), (directory.definitions, journal_reading)):
        places: list[Broken] = [*each.broken, *([each.torn] if each.torn is not None else [])]
        found.broken += [tell_at(disk, folder, place, directory.salt) for place in places]
    found.quarantined = Quarantine(disk, directory.quarantine).names()
    return found
