"""What /proc says of this very process."""

import os
import socket
import subprocess
import sys
import time

import pytest

from bench import processes

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="/proc is Linux's")


def test_listener_is_found_by_its_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert processes.listening_process(listener.getsockname()[1]) == os.getpid()


def test_port_without_listener_belongs_to_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert processes.listening_process(port) is None


def test_tree_holds_children() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert {os.getpid(), child.pid} <= set(processes.process_tree(os.getpid()))
        assert child.stdin is not None
        child.stdin.close()


def test_processor_time_is_what_the_process_used() -> None:
    before, own = processes.cpu_s([os.getpid()]), time.process_time()
    while time.process_time() - own < 0.1:
        pass
    assert processes.cpu_s([os.getpid()]) - before == pytest.approx(0.1, abs=0.05)


def test_resident_memory_is_plausible() -> None:
    assert 1 << 20 < processes.resident_octets([os.getpid()]) < 1 << 32
