"""Whether the CRM knows a number or an address: asked after the person's own limits, and only where it is told at once.

With `after_proof` nobody is asked: the CRM says no (HTTP 409) when it is told of the registration.
"""

from __future__ import annotations

from dataclasses import dataclass

from handlers.ports import Directory
from handlers.registration.numbers import ParsedNumber
from handlers.turn import Turn
from storage.look_ups import LookUps


@dataclass(frozen=True)
class Elsewhere:
    """`directory` is None where there is none to ask: then nothing is known, and nothing is counted here."""

    directory: Directory | None
    look_ups: LookUps

    async def has_number(self, turn: Turn, number: ParsedNumber, *, own_contact: bool) -> bool:
        """Tell whether somebody is registered with it; an own contact counts as no look-up. Raises LimitReached."""
        if self.directory is None or not turn.product.reveal_existing:
            return False
        place = (number.e164, number.country)
        if not await self.look_ups.wants_number(turn.telegram_id, *place, turn.now, counted=not own_contact):
            return False
        return await self.directory.has_number(number.e164, turn.now)

    async def has_address(self, turn: Turn, email: str, *, verified: bool = False) -> bool:
        """Tell whether somebody is registered with it; a verified one counts as no look-up. Raises LimitReached."""
        if self.directory is None or not turn.product.reveal_existing:
            return False
        if not await self.look_ups.wants_address(turn.telegram_id, email, turn.now, counted=not verified):
            return False
        return await self.directory.has_address(email, turn.now)
