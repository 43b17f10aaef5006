"""Clients that say what others said before them, and are let in without all of it being decoded again.

A program sends the same octets each time that it logs in and opens its connection, and many do so for each request that
they serve. What these octets mean is remembered; whether they let anybody in is asked each time: the user must be as it
was when the password was right, and limits and permissions are those of the moment. Whoever says anything else goes
through ``protocol/handshake.py``, with all that it has said so far. Spec: AMQP 0-9-1, 2.2.4.
"""

from collections.abc import Container, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

from broker.core.access.access import Access
from broker.server.admission import Visitor
from broker.server.login import Login
from protocol.constants import FRAME_END_OCTET, FRAME_METHOD, PROTOCOL_HEADER
from protocol.content import FRAME_HEAD
from protocol.errors import NotAllowed
from protocol.handshake import MECHANISMS, OPEN_OK, Handshake, Negotiated, Offer
from protocol.tables import FieldTable

LOGINS_KEPT: Final = 256
OPENINGS_KEPT: Final = 16
"""So many logins are remembered, and so many ways to go on after each; the oldest are forgotten."""
LOGIN_OCTETS_MAX: Final = 4096
OPENING_OCTETS_MAX: Final = 512
"""What is longer is decoded each time."""


class Opening(NamedTuple):
    """What tune-ok and open came to."""

    negotiated: Negotiated
    access: Access


class KnownLogin:
    """A start-ok that was right. ``openings`` is what tune-ok and open came to, by the octets of both together;
    ``tunings`` are those of tune-ok alone, since open may come in the next read.
    """

    __slots__ = ("client_properties", "mechanism", "openings", "tunings", "visitor")

    def __init__(self, visitor: Visitor, mechanism: str, client_properties: FieldTable) -> None:
        self.visitor = visitor
        self.mechanism = mechanism
        self.client_properties = client_properties
        self.openings: dict[bytes, Opening] = {}
        self.tunings: set[bytes] = set()

    def learn(self, tune_ok: bytes, octets: bytes, opening: Opening) -> None:
        """Remember what tune-ok and open came to."""
        if len(self.openings) >= OPENINGS_KEPT:
            self.openings.clear()
            self.tunings.clear()
        self.openings[octets] = opening
        self.tunings.add(tune_ok)


class ReturningClients:
    """What is remembered of all clients. Of octets with a password only a digest is kept, by a key of this process."""

    __slots__ = ("_key", "_logins", "start_frame", "tune_frame", "vhosts")

    def __init__(self, offer: Offer, vhosts: Container[str], key: bytes) -> None:
        self.start_frame = offer.start_frame(" ".join(MECHANISMS))
        self.tune_frame = offer.tune_frame()
        self.vhosts = vhosts
        self._key = key
        self._logins: dict[bytes, KnownLogin] = {}

    def find(self, start_ok: bytes) -> KnownLogin | None:
        """Return what came of the same frame before."""
        if len(start_ok) > LOGIN_OCTETS_MAX:
            return None
        return self._logins.get(self._digest(start_ok))

    def learn(self, frames: Sequence[bytes], login: Login, negotiated: Negotiated, access: Access) -> None:
        """Remember ``frames``, all that the client of a ``login`` has sent from start-ok to open, and what came of it.

        What is not the usual three frames is not remembered, nor is who came by a token or a certificate. The checks in
        ``access`` look at the permissions of the moment, so connections may share it.
        """
        visitor = login.visitor
        if len(frames) != 3 or visitor is None or visitor.checked is None or len(frames[0]) > LOGIN_OCTETS_MAX:
            return
        start_ok, tune_ok, open_ = frames
        octets = tune_ok + open_
        if len(octets) > OPENING_OCTETS_MAX:
            return
        digest = self._digest(start_ok)
        known = self._logins.get(digest)
        if known is None or known.visitor.checked is not visitor.checked:
            if len(self._logins) >= LOGINS_KEPT:
                del self._logins[next(iter(self._logins))]
            known = self._logins[digest] = KnownLogin(visitor, negotiated.mechanism, negotiated.client_properties)
        known.learn(tune_ok, octets, Opening(negotiated, access))

    def _digest(self, start_ok: bytes) -> bytes:
        return blake2b(start_ok, key=self._key, digest_size=32).digest()


class ReturningClient:
    """One client, for as long as it has said nothing new; ``result`` is set when its connection is open."""

    __slots__ = ("_clients", "_has_begun", "_known", "_login", "_said", "result")

    def __init__(self, clients: ReturningClients, login: Login) -> None:
        self.result: Opening | None = None
        self._clients = clients
        self._login = login
        self._known: KnownLogin | None = None
        self._has_begun = False
        self._said: list[bytes] = []

    def answer(self, octets: bytes) -> bytes | None:
        """Return what to send for one read; None if it is new, and then nothing has come of it."""
        known, clients, said = self._known, self._clients, self._said
        if known is None:
            if not self._has_begun:
                if octets != PROTOCOL_HEADER:
                    return None
                self._has_begun = True
                return clients.start_frame
            known = clients.find(octets)
            if known is None or not self._login.comes_again(known.visitor):
                return None
            self._known = known
            said.append(octets)
            return clients.tune_frame
        result = known.openings.get(octets if len(said) == 1 else said[1] + octets)
        if result is None:
            if len(said) > 1 or octets not in known.tunings:
                return None
            said.append(octets)
            return b""
        try:
            user, vhost = result.negotiated[:2]
            if vhost not in clients.vhosts or not self._login.may_enter(user, vhost):
                return None
        except NotAllowed:
            return None  # It is asked once more, by who tells the client.
        self.result = result
        return OPEN_OK

    def go_on_with(self, handshake: Handshake) -> tuple[bytes, list[bytes]]:
        """Bring ``handshake`` to where the client is; return what it has sent: protocol header and frames."""
        if not self._has_begun:
            return b"", []
        handshake.receive_header(PROTOCOL_HEADER)
        if self._known is not None:
            handshake.resume(self._known.visitor.name, self._known.mechanism, self._known.client_properties)
            for frame in self._said[1:]:
                handshake.receive(0, frame[7:-1])
        return PROTOCOL_HEADER, self._said


def frame_of(payload: bytes) -> bytes:
    """Return the method frame on channel 0 that has this payload."""
    return FRAME_HEAD.pack(FRAME_METHOD, 0, len(payload)) + payload + FRAME_END_OCTET
