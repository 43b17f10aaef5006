"""Which function does what a method asks, found by the method's class; they stand in one file for each AMQP class.

connection.* and channel.* are the connection's own, publish and ack come to the channel as runs.
"""

from collections.abc import Callable
from typing import Any, Final

from broker.server.channel import Channel
from broker.server.handlers import basic, exchange, modes, queue

METHOD_HANDLERS: Final[dict[type, Callable[[Channel, Any], None]]] = {
    **exchange.HANDLERS,
    **queue.HANDLERS,
    **basic.HANDLERS,
    **modes.HANDLERS,
}
