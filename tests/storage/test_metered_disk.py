"""What is done to the disk is counted: how often, how much, and how long it took."""

from pathlib import Path

from storage.metered import MeteredDisk, MeteredUnsyncedDisk, counts_of
from tests.storage.simulated_disk import SimulatedDisk


def test_reads_writes_and_syncs_are_counted(tmp_path: Path) -> None:
    disk = MeteredDisk()
    fd = disk.create(tmp_path / "file")
    disk.write(fd, [b"abc", b"de"])
    disk.write(fd, [b"f"])
    disk.fdatasync(fd)
    disk.close(fd)
    assert disk.read(tmp_path / "file") == b"abcdef"
    fd = disk.open_read(tmp_path / "file")
    assert disk.pread(fd, 2, 1) == b"bc"
    disk.close(fd)
    counts = counts_of(disk)
    assert (counts.write.calls, counts.write.octets) == (2, 6)
    assert (counts.sync.calls, counts.sync.octets) == (1, 0)
    assert (counts.read.calls, counts.read.octets) == (2, 8)
    assert min(counts.read.ns, counts.write.ns, counts.sync.ns) > 0


def test_disk_that_syncs_nothing_counts_no_syncs(tmp_path: Path) -> None:
    disk = MeteredUnsyncedDisk()
    fd = disk.create(tmp_path / "file")
    disk.write(fd, [b"abc"])
    disk.fdatasync(fd)
    disk.close(fd)
    assert (counts_of(disk).write.octets, counts_of(disk).sync.calls) == (3, 0)


def test_disk_that_does_not_count_has_done_nothing() -> None:
    assert counts_of(SimulatedDisk()).write.calls == 0
