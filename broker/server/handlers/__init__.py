"""What each method does, one file a class; ``METHOD_HANDLERS`` finds the function by the method's class.

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
