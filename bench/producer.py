"""A producer process: sends pre-encoded chunks as fast as the broker takes them.

Two loops: one connection with large chunks and, where asked, a window of unconfirmed publishes; or several
connections in turn, one message a send. Both stop at once when the round says so, between messages.
"""

import select
import socket
import time
from collections.abc import Iterator

from bench.board import Board, Phase
from bench.client import Address, BrokerRefused, Client
from bench.confirms import ConfirmCounter
from bench.messages import Chunk
from bench.workloads import Workload

FULL_PAUSE_S = 0.0005
"""How long to look away while too many messages wait in the broker."""

READ_OCTETS = 1 << 16
SWEEPS_PER_LOOK = 16


def run_producer(address: Address, workload: Workload, board: Board, process_index: int) -> None:
    """Publish from this process's share of the workload's connections until the round says drain."""
    indices = range(process_index, workload.producers, workload.producer_processes)
    clients = [Client(address) for _ in indices]
    if workload.confirm_window:
        for client in clients:
            client.select_confirms()
    for client in clients:
        client.socket.settimeout(None)
    published = board.published_cell(process_index)
    streams = [workload.stream(index) for index in indices]
    board.say_ready(process_index)
    board.wait_phase(Phase.SEND)
    try:
        if len(clients) > 1:
            messages = [bytes(next(stream.chunks)[0]) for stream in streams]
            _send_in_turn(clients, messages, workload, board, published)
        else:
            _send_chunks(clients[0], workload, board, published, streams[0].chunks)
    except OSError as error:
        _raise_reason(clients, error)
    for client in clients:
        client.close()


def _raise_reason(clients: list[Client], error: OSError) -> None:
    """Raise the broker's own words, if it said any before it hung up."""
    for client in clients:
        client.socket.settimeout(1.0)
        try:
            client.wait_method((0, 0))
        except TimeoutError:
            continue
        except OSError:
            break
    raise error


def _send_chunks(
    client: Client, workload: Workload, board: Board, published: memoryview, chunks: Iterator[Chunk]
) -> None:
    """One connection. With confirms, wait for room in the window before a chunk, and for all at the end."""
    window, waiting_limit, copies = workload.confirm_window, workload.waiting_limit, workload.copies
    confirms = ConfirmCounter()
    sendall, recv, feed = client.socket.sendall, client.socket.recv, confirms.feed
    sent = 0
    for octets, count in chunks:
        while window and sent + count - confirms.confirmed > window:
            feed(_some(recv(READ_OCTETS)))
        while (sent - board.delivered // copies) > waiting_limit and board.is_sending:
            time.sleep(FULL_PAUSE_S)
        if not board.is_sending:
            break
        sendall(octets)
        sent += count
        published[0] = sent
    while window and confirms.confirmed < sent:
        feed(_some(recv(READ_OCTETS)))


def _some(octets: bytes) -> bytes:
    if not octets:
        raise BrokerRefused("connection lost while publishing")
    return octets


def _send_in_turn(
    clients: list[Client], messages: list[bytes], workload: Workload, board: Board, published: memoryview
) -> None:
    """Several connections, a message each in turn; one that the broker does not read from is passed over.

    What the kernel has not taken of a message counts as sent: it goes before anything else there.
    """
    lanes = [(client.socket.send, client.socket, message) for client, message in zip(clients, messages, strict=True)]
    unsent: dict[socket.socket, bytes] = {}
    waiting_limit = workload.waiting_limit // workload.producer_processes
    sent = 0
    flags = socket.MSG_DONTWAIT
    while board.is_sending:
        while board.published - board.delivered > waiting_limit and board.is_sending:
            time.sleep(FULL_PAUSE_S)
        for _ in range(SWEEPS_PER_LOOK):
            for send, lane, message in lanes:
                if unsent and lane in unsent:
                    sent -= 1
                    continue
                try:
                    octets = send(message, flags)
                except BlockingIOError:
                    octets = 0
                if octets < len(message):
                    unsent[lane] = message[octets:]
            sent += len(lanes)
        if unsent:
            _send_rest(unsent)
        published[0] = sent
    for lane, rest in unsent.items():
        lane.sendall(rest)


def _send_rest(unsent: dict[socket.socket, bytes]) -> None:
    """Try again, within a millisecond, the lanes that were full."""
    _, writable, _ = select.select([], unsent, [], 0.001)
    for lane in writable:
        rest = unsent.pop(lane)
        octets = lane.send(rest, socket.MSG_DONTWAIT)
        if octets < len(rest):
            unsent[lane] = rest[octets:]
