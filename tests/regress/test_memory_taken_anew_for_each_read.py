"""What a read had freed at the heap's end went back to the system, and each page of the next read was a fault.

That depended on what else lay on the heap: 10,000 idle queues made a message of another queue half as dear again.
"""

import platform
import resource
import subprocess
import sys

import pytest

READS = """
import resource, sys
from broker.server.resources import keep_memory_at_hand

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

if "keep" in sys.argv:
    keep_memory_at_hand()
for number in range(50):
    if number == 10:
        before = faults()
    pieces = [bytearray(1 << 20) for _ in range(20)]
    del pieces
print(faults() - before)
"""
PAGES_OF_A_READ = (20 << 20) // resource.getpagesize()


def faults(*arguments: str) -> int:
    run = subprocess.run([sys.executable, "-c", READS, *arguments], capture_output=True, text=True, check=True)
    return int(run.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of the GNU C library")
def test_what_one_read_freed_is_there_for_the_next() -> None:
    assert faults() > 20 * PAGES_OF_A_READ, "the C library does not do what this is about"
    assert faults("keep") < 2 * PAGES_OF_A_READ
