"""Messages whose headers say more about their way than the publish method: CC, BCC, direct reply-to.

RabbitMQ: Sender-selected Distribution, Direct Reply-to.
"""

from typing import Final

from broker.core.publish.routable import Routable
from protocol.content import Shape, short_string
from protocol.errors import PreconditionFailed
from protocol.headers import decode_headers, with_header_payload, with_headers, with_reply_to
from protocol.tables import FieldTable, type_name

REPLY_TO: Final = "amq.rabbitmq.reply-to"
"""The pseudo-queue that a client consumes from to get replies."""


class Addressed(Routable):
    """Messages of one content header, with all routing keys: the publisher's first, then those of CC and BCC.

    BCC is taken out of the header, and kept in ``blind_copies`` (None without one). Raises PreconditionFailed (406)
    where CC or BCC is no array.
    """

    __slots__ = ("blind_copies",)
    headers: FieldTable
    pieces: list[bytes]
    shape: Shape

    def __init__(self, shape: Shape, pieces: list[bytes], routing_key: str) -> None:
        payload = shape.header_payload(pieces[0])
        headers = decode_headers(payload)
        self.headers: FieldTable = headers
        self.routing_keys = [routing_key, *carbon_keys(headers, "CC"), *carbon_keys(headers, "BCC")]
        self.shape = shape
        self.pieces = pieces
        self.blind_copies: object = headers.pop("BCC", None)
        if self.blind_copies is not None:
            self.shape, self.pieces = with_header_payload(shape, pieces, with_headers(payload, headers))

    def put_blind_copies_back(self) -> None:
        """Have BCC in the header again, for messages that will be routed once more before anybody gets them."""
        payload = with_headers(self.header_payload(), {**self.headers, "BCC": self.blind_copies})
        self.shape, self.pieces = with_header_payload(self.shape, self.pieces, payload)

    def replace_reply_to(self, name: str) -> None:
        """Name the queue that leads back to the publisher."""
        payload = with_reply_to(self.shape.header_payload(self.pieces[0]), short_string(name.encode()))
        self.shape, self.pieces = with_header_payload(self.shape, self.pieces, payload)


def carbon_keys(headers: FieldTable, name: str) -> list[str]:
    """Return the routing keys in a CC or BCC header; an item that is no text is passed over.

    Raises PreconditionFailed (406) where the header is no array.
    """
    values = headers.get(name)
    if values is None:
        return []
    if not isinstance(values, list):
        text = f'invalid message: {{unacceptable_type_in_header,"{name}",{type_name(values)}}}'
        raise PreconditionFailed(text, class_id=60, method_id=40)
    return [value for value in values if isinstance(value, str)]
