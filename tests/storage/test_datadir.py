"""Refusals of a data directory: one line, an exit code, and not an octet written."""

import errno
from pathlib import Path

import pytest

from storage.errors import DirectoryInUse, DirectoryUnreadable, StorageError, UnknownFormat
from storage.segment import LOG_MAGIC, SegmentHeader
from tests.storage.driving import Driver
from tests.storage.simulated_disk import SimulatedDisk


def contents(directory: Path) -> dict[str, bytes]:
    files = [path for path in directory.rglob("*") if path.is_file()]
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def refusal(directory: Path, kind: type[StorageError]) -> StorageError:
    before = contents(directory)
    with pytest.raises(kind) as caught:
        Driver(directory)
    assert contents(directory) == before
    assert "\n" not in str(caught.value)
    assert str(directory) in str(caught.value)
    return caught.value


def test_first_open_makes_the_directory_and_the_second_finds_it_in_order(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "data"
    first = Driver(directory)
    assert (first.store.recovery.message_count, first.store.recovery.damage) == (0, [])
    first.close()
    second = Driver(directory)
    assert second.store.recovery.clean
    second.close()


def test_directory_in_use_is_refused(tmp_path: Path) -> None:
    driver = Driver(tmp_path)
    assert refusal(tmp_path, DirectoryInUse).exit_code == 69
    driver.close()
    Driver(tmp_path).close()


def test_unknown_version_of_the_directory_is_refused(tmp_path: Path) -> None:
    Driver(tmp_path).close()
    (tmp_path / "format").write_bytes(b"leveret 2 something else\n")
    error = refusal(tmp_path, UnknownFormat)
    assert error.exit_code == 65
    assert "format 2" in str(error)


def test_unknown_version_of_a_segment_is_refused(tmp_path: Path) -> None:
    Driver(tmp_path).close()
    salt = bytes.fromhex((tmp_path / "format").read_text().split()[2])
    header = SegmentHeader(LOG_MAGIC, 2, salt, 1, 1, 1, 1, 0)
    (tmp_path / "log" / "00000000000000000001.segment").write_bytes(header.encode())
    assert "version 2" in str(refusal(tmp_path, UnknownFormat))


def test_foreign_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    assert "thesis.tex" in str(refusal(tmp_path, UnknownFormat))


def test_data_without_its_format_file_is_refused(tmp_path: Path) -> None:
    driver = Driver(tmp_path)
    driver.publish((1,), [b"body"])
    driver.close()
    (tmp_path / "format").unlink()
    refusal(tmp_path, UnknownFormat)


def test_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_text("")
    with pytest.raises(DirectoryUnreadable) as caught:
        Driver(path)
    assert caught.value.exit_code == 66


def test_unreadable_directory_is_refused() -> None:
    class Forbidding(SimulatedDisk):
        def list(self, directory: Path) -> list[str]:
            raise PermissionError(errno.EACCES, "Permission denied", str(directory))

    disk = Forbidding(directories={Path("/data")})
    with pytest.raises(DirectoryUnreadable, match="Permission denied"):
        Driver(Path("/data"), disk)
    assert disk.calls == []


def test_directory_cut_short_in_the_making_is_made_again(tmp_path: Path) -> None:
    Driver(tmp_path).close()
    (tmp_path / "format").unlink()
    (tmp_path / "clean").unlink()
    driver = Driver(tmp_path)
    assert driver.store.recovery.damage == []
    driver.close()
