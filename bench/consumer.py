"""A consumer process: reads as fast as the broker delivers, counts, acknowledges where asked."""

import select
import socket
import struct

from bench.acknowledgements import Acknowledgements
from bench.board import Board, Phase
from bench.client import Address, BrokerRefused, Client
from bench.deliveries import DeliveryCounter
from bench.workloads import Workload

READ_OCTETS = 1 << 18
WAIT_S = 0.1


class Lane:
    """One consumer connection: reads what is there, counts it, acknowledges it."""

    __slots__ = ("_acknowledgements", "_buffer", "_client", "counter", "socket")

    def __init__(self, client: Client, workload: Workload, counter: DeliveryCounter, buffer: bytearray) -> None:
        self._client, self.socket, self.counter, self._buffer = client, client.socket, counter, buffer
        self._acknowledgements = Acknowledgements() if workload.prefetch_count else None
        self.socket.settimeout(None)

    def read(self) -> None:
        """Read once; the socket must be readable. Raises BrokerRefused, DeliveriesDiffer."""
        size = self.socket.recv_into(self._buffer)
        if not size:
            raise BrokerRefused("connection lost while consuming")
        self.counter.feed(self._buffer, size)
        if self._acknowledgements is not None:
            for frames in self._acknowledgements.upto(self.counter.delivered):
                self.socket.sendall(frames)

    def close(self) -> None:
        """Close in order: all acknowledgements are then taken. Nothing may have come since."""
        self._client.close()
        self.counter.finish(self._client.unread)


def run_consumer(address: Address, workload: Workload, board: Board, process_index: int) -> None:
    """Consume on this process's share of the workload's connections until the round says finish."""
    buffer = bytearray(READ_OCTETS)
    lanes: dict[int, Lane] = {}
    for index in range(process_index, workload.consumers, workload.consumer_processes):
        client = Client(address)
        if workload.prefetch_count:
            client.limit_unacked(workload.prefetch_count)
        for queue_name, consumer_tag in workload.subscriptions(index):
            client.consume(queue_name, consumer_tag, no_ack=not workload.prefetch_count)
        counter = DeliveryCounter(workload.stream(index).bodies)
        lanes[client.socket.fileno()] = Lane(client, workload, counter, buffer)
    delivered = board.delivered_cell(process_index)
    board.say_ready(workload.producer_processes + process_index)
    board.wait_phase(Phase.SEND)
    if len(lanes) == 1:
        _read_one(next(iter(lanes.values())), board, delivered)
    else:
        _read_ready(lanes, board, delivered)
    for lane in lanes.values():
        lane.close()


def _read_one(lane: Lane, board: Board, delivered: memoryview) -> None:
    """A blocking read after the other; the kernel ends one that waits too long, so that the phase is seen."""
    lane.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, int(WAIT_S * 1e6)))
    while True:
        try:
            lane.read()
        except BlockingIOError:
            if board.phase >= Phase.FINISH:
                return
        else:
            delivered[0] = lane.counter.delivered


def _read_ready(lanes: dict[int, Lane], board: Board, delivered: memoryview) -> None:
    poll = select.poll()
    for descriptor in lanes:
        poll.register(descriptor, select.POLLIN)
    while True:
        ready = poll.poll(int(WAIT_S * 1000))
        if not ready and board.phase >= Phase.FINISH:
            return
        for descriptor, _ in ready:
            lanes[descriptor].read()
        delivered[0] = sum(lane.counter.delivered for lane in lanes.values())
