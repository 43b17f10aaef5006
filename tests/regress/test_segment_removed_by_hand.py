"""A segment file that somebody removed while the broker ran was looked for again and again, for ever: whoever read
from it at once, basic.get for one, stopped the whole broker.
"""

from pathlib import Path

from storage.reading import Found
from tests.storage.driving import Driver, read_back
from tests.storage.simulated_disk import SimulatedDisk

DIRECTORY = Path("/data")


def test_what_was_in_it_is_told_as_lost_and_all_else_is_read() -> None:
    disk = SimulatedDisk()
    driver = Driver(DIRECTORY, disk, segment_octets=600)
    ids = range(driver.next_id, driver.next_id + 40)
    for message_id in ids:
        driver.publish((1,), [b"%d " % message_id + b"x" * 100])
        driver.wait_durable()
    segments = sorted(path for path in disk.files if path.parent.name == "log")
    assert len(segments) > 5
    del disk.files[segments[2]]

    found = read_back(driver.store, [ids])
    lost = [message_id for message_id in ids if message_id not in found]
    assert lost == list(range(lost[0], lost[-1] + 1)), "one segment's messages, and no others"
    assert 0 < len(lost) < 10
    assert all(body.startswith(b"%d " % message_id) for message_id, (_, body) in found.items())
    assert driver.store.damage == ["segment 3: its file is gone; the messages in it are lost"]

    answers: list[Found] = []
    driver.store.reading.read([range(lost[0], ids.stop)], 1, lambda read: read, answers.append)
    driver.wait_for(lambda: bool(answers))
    assert answers[0].covered > 0
    assert len(driver.store.damage) == 1, "told once"
    driver.close()
