"""Logins by JSON Web Tokens: a token in the place of the password. Loaded only where ``auth_backends`` has oauth2."""

import asyncio

from broker.config import Settings
from broker.core.access.scopes import Grant
from broker.core.access.tokens import TokenRefused, granted, key_id
from broker.server.clock import Clock
from broker.server.signing_keys import SigningKeys


class TokenLogin:
    """Checks tokens with the keys that there are."""

    def __init__(self, settings: Settings, clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
        """Raises OAuth2Error for settings or files that do not do."""
        self.keys = SigningKeys(settings, clock, loop)
        self._clock = clock

    def check(self, token: bytes) -> Grant | str:
        """Return what a token grants, or why it is refused. Raises KeysWanted where its key has to be fetched."""
        try:
            text = token.decode("ascii")
            return granted(text, self.keys.key(key_id(text)), self.keys.rules, self._clock.wall_ms())
        except UnicodeDecodeError:
            return "it is no JSON Web Token"
        except TokenRefused as refused:
            return str(refused)
