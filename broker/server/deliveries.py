"""Deliveries to several consumers of one channel at once: to each what it was handed, or one message each in turn.

What comes of it on that channel is what ``Channel.deliver`` does with one part after another.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from broker.core.consumers import Consumer
from broker.core.messages import Stretch
from broker.core.unacked import Delivery
from protocol.delivery import DeliveryWriter, TurnHeads, write_each

if TYPE_CHECKING:
    from broker.server.channel import Channel


def deliver_each(channel: "Channel", handed: Sequence[tuple[Consumer, Stretch]], each_octets: int) -> None:
    """Send several stretches, none of them redelivered, that of each to one of the channel's consumers.

    A delivery has about so many octets at most.
    """
    writers = [consumer.writer for consumer, _ in handed]
    if len(handed) == 1 or set(map(type, writers)) != {DeliveryWriter}:
        for consumer, stretch in handed:
            channel.deliver(consumer, stretch)
        return
    connection = channel.connection
    runs = [stretch.pieces for _, stretch in handed]
    counts = list(map(len, runs))
    count = sum(counts)
    tag = channel.take_tags(count)
    write_each(connection.out, writers, [stretch.shape for _, stretch in handed], runs, tag)
    for (consumer, stretch), each_count in zip(handed, counts, strict=True):
        consumer.delivered_count += each_count
        if not consumer.no_ack:
            channel.keep_unacked(tag, consumer, stretch)
        tag += each_count
    connection.delivered(count * each_octets)


def deliver_in_turn(channel: "Channel", consumers: Sequence[Consumer], stretch: Stretch, known: TurnHeads) -> None:
    """Send the messages of ``stretch`` to consumers of the channel, one each in turn."""
    count = len(stretch.pieces)
    first_tag = channel.take_tags(count)
    connection = channel.connection
    writers = [consumer.writer for consumer in consumers]
    if set(map(type, writers)) == {DeliveryWriter}:
        writers[0].write_turns(
            connection.out, writers, stretch.shape, stretch.pieces, first_tag, stretch.redelivered, known
        )
    else:
        for place, piece in enumerate(stretch.pieces):
            writer = writers[place % len(writers)]
            writer.write(connection.out, stretch.shape, [piece], first_tag + place, stretch.redelivered)
    whole, rest = divmod(count, len(consumers))
    for share, some in ((whole + 1, consumers[:rest]), (whole, consumers[rest:])):
        for consumer in some:
            consumer.delivered_count += share
            if consumer.prefetch:
                consumer.credit -= share
        if stretch.redelivered:
            for consumer in some:
                consumer.redelivered_count += share
    if False in [consumer.no_ack for consumer in consumers]:
        for place in range(count):
            consumer = consumers[place % len(consumers)]
            if not consumer.no_ack:
                part = stretch.part(place, place + 1)
                channel.unacked.add(Delivery(first_tag + place, consumer.queue, consumer, part))
    connection.delivered(stretch.delivered_octets())
