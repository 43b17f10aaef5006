"""What one connection may make the broker hold for it, and how long one is waited for that is on its way out."""

from typing import Final, Literal

Pause = Literal["alarm", "full log", "dead letters", "unread replies", "other clients", "signing keys", "held request"]
"""Why a connection is not read."""

WRITE_HIGH_OCTETS: Final = 1 << 20
"""Deliveries to a client stop while more than this waits to be sent to it."""
OUT_LIMIT_OCTETS: Final = 512 << 10
"""What is gathered for one write at most."""
UNREAD_LIMIT_OCTETS: Final = 16 << 20
"""A client that does not read its replies is not read either, from here on."""
REFUSED_LINGER_MS: Final = 1000
"""A refused login is dropped only after this, so that guessing passwords is slow."""
REFUSED_CLOSE_MS: Final = 250
"""The same for a client that is told."""
LARGE_OCTETS: Final = 16 << 20
SMALL_FRAME_OCTETS: Final = 8192
"""Messages above, and frames below, are noted, since later versions of RabbitMQ refuse them."""
CACHED_ROUTES: Final = 1024
"""So many ways of publishing does a channel remember."""
METHODS_A_TURN: Final = 64
"""So many of a client's ordinary methods are done before other clients get a turn; a read may have ten thousand."""
CLOSE_LINGER_MS: Final = 5000
"""How long the client has to answer connection.close, or to close the socket after its own."""
