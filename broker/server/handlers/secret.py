"""connection.update-secret: a token's successor, before the token's time is over. RabbitMQ: Extensions."""

from typing import TYPE_CHECKING

import structlog
from pamqp import commands

from broker.server.login import Refused
from protocol.errors import NotAllowed
from protocol.handshake import octets_of
from protocol.methods import encode_method

if TYPE_CHECKING:
    from broker.server.connection import Connection

log = structlog.get_logger("leveret.connection")


def update_secret(connection: "Connection", method: commands.Connection.UpdateSecret) -> None:
    """Go on with the client's next token. Raises NotAllowed (530), KeysWanted. Ref: connection.update-secret."""
    login = connection.login
    try:
        login.renew(octets_of(method.new_secret))
    except Refused as refused:
        log.warning("secret not updated", peer=connection.peer, user=connection.user, why=str(refused))
        raise NotAllowed("New secret was refused by one of the backends") from None
    if login.grant is not None:
        connection.access.grant = login.grant
        connection.vhost.topology_version += 1  # Channels look at what they were granted again.
        log.info("secret updated", peer=connection.peer, user=connection.user)
    connection.send(encode_method(0, commands.Connection.UpdateSecretOk()))
    login.watch(connection.broker.clock, connection.credential_expired)
