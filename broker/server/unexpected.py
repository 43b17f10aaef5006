"""Events as errors name them, and what is told of those that come on a channel which is not open."""

from protocol.acks import Ack
from protocol.errors import ChannelFault
from protocol.frames import Event


def ids_of_event(event: Event) -> tuple[int, int]:
    """Return class and method id of content or acknowledgements: those of basic.publish or basic.ack."""
    return (60, 80) if type(event) is Ack else (60, 40)


def not_open(event: Event) -> ChannelFault:
    """Return the error (504) of content or acknowledgements on a channel that nobody has opened. Texts: RabbitMQ's."""
    class_id, method_id = ids_of_event(event)
    detail = "expected 'channel.open'" if event.channel else "unexpected method in connection state running"
    return ChannelFault(detail, class_id=class_id, method_id=method_id)
