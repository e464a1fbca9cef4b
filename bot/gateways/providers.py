"""What a sign-up asks of a provider, and how a provider may fail."""

from __future__ import annotations

from typing import Protocol

from storage.identities import Identity


class ProviderAway(Exception):
    """The provider does not answer, or not to us: later may be better. The text is for the log."""


class NotProven(Exception):
    """What came back does not prove who it is. The text is for the log, without personal data."""


class Provider(Protocol):
    """One provider; every call raises ProviderAway, and `identify` NotProven too."""

    @property
    def name(self) -> str:
        """Its name in addresses and in the database: permanent."""

    @property
    def issuer(self) -> str:
        """Who vouches for its identities: permanent."""

    async def consent_url(self, state: str, nonce: str, verifier: str, redirect_uri: str) -> str:
        """Return where the browser asks the person. `verifier` is PKCE's."""
        ...

    async def identify(self, code: str, nonce: str, verifier: str, redirect_uri: str) -> Identity:
        """Return who the code stands for; a code is good once. The e-mail is as the provider writes it."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...
