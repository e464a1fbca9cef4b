"""Many people at once, and prices: what the tests of limits, the guard of ranges and the budget share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from storage.errors import Refusal
from storage.models import AccountStatus, Channel, CodeSent, Progress, SendState
from storage.sending import Offer
from storage.tables import outbox, sends
from tests.storage.world import Actor, World

RANGE = "+7916123"
OTHER_RANGE = "+7916124"


@dataclass(frozen=True)
class ByCountry:
    """Offers of each country; for all others those of `*`."""

    offers_of: dict[str, tuple[Offer, ...]]

    def offers(self, country: str, channel: Channel | None) -> tuple[Offer, ...]:
        wanted = (Channel.SMS, Channel.TELEGRAM) if channel is None else (channel,)
        return tuple(offer for offer in self._of(country) if offer.channel in wanted)

    def channels(self, country: str) -> frozenset[Channel]:
        return frozenset(offer.channel for offer in self._of(country))

    def _of(self, country: str) -> tuple[Offer, ...]:
        return self.offers_of.get(country, self.offers_of.get("*", ()))


async def people(world: World, ids: Iterable[int]) -> list[Actor]:
    """People who have accepted the terms."""
    found = [world.person(telegram_id) for telegram_id in ids]
    for person in found:
        await person.accepts()
    return found


async def ask_at_once(actors: Iterable[Actor], prefix: str = RANGE) -> list[CodeSent | Progress | Refusal]:
    """Each asks for a code to a number of their own in this range, all at the same time."""
    asking = (actor.asks(f"{prefix}{actor.id:04}") for actor in actors)
    outcomes = await asyncio.gather(*asking, return_exceptions=True)
    for outcome in outcomes:
        assert isinstance(outcome, (CodeSent, Progress, Refusal)), repr(outcome)
    return outcomes  # type: ignore[return-value]


async def enters(actor: Actor) -> None:
    """Type the newest code."""
    assert (await actor.tries((await actor.codes())[-1])).account.phone is not None


async def finishes(actor: Actor, outcome: CodeSent | Progress) -> None:
    """Register by what an own contact led to: at once, or by the code that is on its way."""
    if isinstance(outcome, CodeSent):
        await enters(actor)
    assert (await actor.account()).status is AccountStatus.CONFIRMED


async def left(world: World, **values: Any) -> list[Any]:
    """The ledger's rows of what left or is about to, oldest first."""
    rows = await world.rows(sends, sends.c.state.not_in([SendState.REFUSED, SendState.FAILED]))
    rows = [row for row in rows if all(getattr(row, name) == value for name, value in values.items())]
    return sorted(rows, key=lambda row: row.at)


async def refusals(world: World) -> list[str]:
    """Which limits refused something, oldest first."""
    rows = await world.rows(sends, sends.c.state == SendState.REFUSED)
    return [row.refused_by for row in sorted(rows, key=lambda row: row.at)]


async def alerts(world: World) -> list[tuple[str, dict[str, Any]]]:
    """What the operator is told, in the order it was queued."""
    rows = await world.rows(outbox, outbox.c.kind == "alert")
    return [(row.payload["text"], row.payload["values"]) for row in sorted(rows, key=lambda row: (row.run_at, row.id))]


def most_within(moments: Iterable[datetime], period: timedelta) -> int:
    """The largest number of these moments in any window of this length; its end is not in it."""
    ordered = sorted(moments)
    return max((sum(first <= at < first + period for at in ordered) for first in ordered), default=0)
