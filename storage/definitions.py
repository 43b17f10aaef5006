"""The journal of definitions (vhosts, exchanges, queues, bindings, ...): put or remove a value by its key.

Entries are JSON texts ``[key, value]``; null removes. The state is their fold. When most of the journal is
dead, a new file that begins with all live definitions takes its place by rename; so there is one file, and it
is never long.
"""

import json
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from storage.files import Disk
from storage.log import NEW_SUFFIX, Reading, SegmentReader, SegmentWriter, segment_numbers
from storage.records import Defined, decode_records, encode_define
from storage.segment import JOURNAL_MAGIC, Batch

JsonValue: TypeAlias = bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"] | None
Key: TypeAlias = tuple[str, ...]

SNAPSHOT_RECORDS: Final = 1000  # a journal shorter than this is not worth rewriting


class Definition(NamedTuple):
    key: Key
    value: JsonValue


def encode_definition(key: Key, value: JsonValue) -> bytes:
    """The JSON text of one entry."""
    return json.dumps([key, value], separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


class Definitions:
    """The journal and its fold. ``read`` comes first; afterwards it belongs to the writer's thread."""

    __slots__ = (
        "_directory",
        "_disk",
        "_live",
        "_record_count",
        "_salt",
        "_stale",
        "_writer",
    )

    def __init__(self, disk: Disk, directory: Path, salt: bytes) -> None:
        self._disk = disk
        self._directory = directory
        self._salt = salt
        self._live: dict[Key, bytes] = {}
        self._record_count = 0
        self._stale: list[str] = []
        self._writer: SegmentWriter

    def read(self) -> Reading:
        """Fold the newest journal file; writes nothing. Older ones were replaced by it."""
        names = self._disk.list(self._directory) if self._disk.exists(self._directory) else []
        numbers = segment_numbers(names)
        reader = SegmentReader(self._disk, self._directory, JOURNAL_MAGIC, self._salt, self._fold_batch)
        reading = reader.read(numbers[-1:])
        self._stale = [name for name in names if name.endswith(NEW_SUFFIX)]
        self._writer = SegmentWriter(self._disk, self._directory, JOURNAL_MAGIC, self._salt, reading.tail)
        for number in numbers[:-1]:
            self._stale.append(f"{number:020d}.segment")
        return reading

    def settle_in(self, reading: Reading) -> None:
        """Remove what a crash left over, and make the journal ready to be written to."""
        for name in self._stale:
            self._disk.unlink(self._directory / name)
        if self._stale:
            self._disk.dirsync(self._directory)
        if reading.is_sealed or reading.unborn is not None:
            self._snapshot()
        else:
            self._writer.resume(reading.is_torn)

    def live(self) -> list[Definition]:
        """Live definitions in the order in which their keys were first put."""
        found: list[Definition] = []
        for key, octets in self._live.items():
            _, value = json.loads(octets.decode("utf-8", "surrogatepass"))
            found.append(Definition(key, value))
        return found

    def append(self, entries: list[tuple[Key, bytes | None]]) -> None:
        """Make ``entries`` (key, JSON text of the entry or None to remove) durable, all or none."""
        for key, octets in entries:
            self._fold(key, octets)
        if self._record_count + len(entries) > max(SNAPSHOT_RECORDS, 4 * len(self._live)):
            self._snapshot()
            return
        parts = [encode_define(encode_definition(key, None) if octets is None else octets) for key, octets in entries]
        self._writer.append([parts], len(parts))
        self._record_count += len(parts)

    def close(self) -> None:
        self._writer.close()

    def _snapshot(self) -> None:
        parts = [encode_define(octets) for octets in self._live.values()]
        old = self._writer.tail.number
        self._writer.replace(old + 1, [parts], len(parts))
        self._record_count = len(parts)
        self._writer.drop(old)

    def _fold(self, key: Key, octets: bytes | None) -> None:
        if octets is None:
            self._live.pop(key, None)
        else:
            self._live[key] = octets

    def _fold_batch(self, octets: bytes, batch: Batch) -> None:
        for _, _, record in decode_records(octets, batch.body, batch.stop):
            assert isinstance(record, Defined)
            key, value = json.loads(record.octets.decode("utf-8", "surrogatepass"))
            self._fold(tuple(key), None if value is None else record.octets)
            self._record_count += 1
