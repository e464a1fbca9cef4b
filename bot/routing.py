"""What the settings say about sending codes: by which gateways, at what price, in which order.

Where several gateways carry a channel to a country, the order is learnt: whichever costs least for a confirmed
registration goes first. It is Thompson sampling ("A Tutorial on Thompson Sampling", Russo et al., 2018, section 3):
for each gateway a conversion p is drawn from Beta(entered + 1, sent - entered + 1) and the gateways are tried in the
order of price / p. So who is known to be better is asked nearly always, and who is not known well now and then.

- Evidence is a gateway's newest 200 codes to the country, of the last seven days at most; with each day a code weighs
  half. So a gateway that gets worse is left after some eighty codes, and one that got better is found again.
- A gateway with fewer than 30 codes in that time keeps the place the operator gave it; one code in five goes by the
  least known of these first. The price of finding out is therefore some thirty codes a week.
- Each process has a snapshot of its own, read once a minute, and draws for itself: replicas agree statistically, not
  from code to code.

Somebody who asks for many codes and enters none makes the gateway that is first look bad, for as long as the limits let
them; GATEWAY_PINS is the operator's word against it. And what is compared is money: a gateway that is cheap enough goes
first although fewer of its codes arrive. `python -m tests.bench.routing` shows what the order costs, and saves.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Protocol

from bot.failures import StartFailed
from bot.prices import Prices, prices_of
from bot.settings import Settings
from handlers.ports import Gateway
from storage.conversion import Figures
from storage.models import Channel
from storage.sending import Offer, ReviewerNumbers, Sending

_PERIOD = timedelta(hours=1)
_PERIODS = 7 * 24
_HALF_LIFE = timedelta(days=1)
_NEWEST = 200
_ENOUGH = 30
_EXPLORED = 0.2
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_UNASKED = (Channel.SMS, Channel.TELEGRAM)

_Key = tuple[str, Channel, str]
# Of one period: how many left, how many were entered.
_Counts = Mapping[_Key, tuple[int, int]]


class Ledger(Protocol):
    """Knows what became of a period's codes: `storage.conversion.Conversion`."""

    async def of(self, since: datetime, until: datetime) -> Figures:
        """Return the figures of the codes asked for after `since`, up to `until`."""
        ...


@dataclass(frozen=True)
class Evidence:
    """What is known of one gateway, channel and country. `sent` counts all; the others the newest, by their age."""

    sent: int = 0
    weight: float = 0.0
    entered: float = 0.0

    def draw(self, chance: random.Random) -> float:
        """Return a conversion that may be the true one."""
        return chance.betavariate(self.entered + 1, self.weight - self.entered + 1)


_NOTHING = Evidence()
_NO_SUMS = 0, 0.0, 0.0


class LearnedRoutes:
    """The offers of each country, in the order experience says. Safe to ask from the databases' threads."""

    def __init__(
        self,
        offers: Mapping[str, tuple[Offer, ...]],
        pins: Mapping[str, str],
        chance: random.Random,
        settled_after: timedelta,
    ) -> None:
        """`offers` by ISO country, in the operator's order; `pins`: the gateway that is first there, whatever is known.

        `settled_after`: how long after it was asked for a code may still be entered. Younger ones say nothing yet.
        """
        self._offers = offers
        self._rivals = frozenset(
            (offer.gateway, offer.channel, country)
            for country, of in offers.items()
            for offer in of
            if sum(other.channel is offer.channel for other in of) > 1
        )
        self._pins = pins
        self._chance = chance
        self._settled_after = settled_after
        # What ended long enough ago changes no more: it is read once.
        self._ended: dict[datetime, _Counts] = {}
        # Replaced as a whole, never changed: whoever is reading it goes on with the one it has.
        self._known: Mapping[_Key, Evidence] = {}

    def offers(self, country: str, channel: Channel | None) -> tuple[Offer, ...]:
        """Return what carries a code there, the best first; nothing to a country that is not served."""
        wanted = _UNASKED if channel is None else (channel,)
        offered = [offer for offer in self._offers.get(country, ()) if offer.channel in wanted]
        # A channel's offers share the places the operator gave them: another channel keeps its own.
        queues = {each: iter(self._ordered(country, [o for o in offered if o.channel is each])) for each in wanted}
        ordered = [next(queues[offer.channel]) for offer in offered]
        pinned = self._pins.get(country)
        return tuple(sorted(ordered, key=lambda offer: offer.gateway != pinned))

    def channels(self, country: str) -> frozenset[Channel]:
        """Return every channel that some gateway has for this country."""
        return frozenset(offer.channel for offer in self._offers.get(country, ()))

    async def refresh(self, ledger: Ledger, now: datetime) -> None:
        """Learn what became of the codes so far; nothing is read where nothing could be learnt. Raises StorageError."""
        if not self._rivals:
            return
        until = now - self._settled_after
        newest = until - (until - _EPOCH) % _PERIOD
        starts = [newest - _PERIOD * age for age in range(1, _PERIODS)]
        for start in starts:
            if start not in self._ended:
                self._ended[start] = self._counts(await ledger.of(start, start + _PERIOD))
        self._ended = {start: self._ended[start] for start in starts}
        unended = self._counts(await ledger.of(newest, until))
        self._known = _weighed(
            [(timedelta(0), unended), *((until - start - _PERIOD, self._ended[start]) for start in starts)]
        )

    def _counts(self, figures: Figures) -> _Counts:
        found = {(each.gateway, each.channel, each.country): (each.sent, each.entered) for each in figures.converted}
        # What was entered has left, whatever its row says by now.
        return {
            key: (max(sent, entered), entered) for key, (sent, entered) in found.items() if key in self._rivals and sent
        }

    def _ordered(self, country: str, offers: list[Offer]) -> list[Offer]:
        if len(offers) < 2:
            return offers
        known = {offer: self._known.get((offer.gateway, offer.channel, country), _NOTHING) for offer in offers}
        cost = {offer: self._cost(offer, known[offer]) for offer in offers if known[offer].sent >= _ENOUGH}
        learned = iter(sorted(cost, key=lambda offer: cost[offer]))
        ordered = [next(learned) if offer in cost else offer for offer in offers]
        if len(cost) < len(offers) and self._chance.random() < _EXPLORED:
            least = min((offer for offer in offers if offer not in cost), key=lambda offer: known[offer].sent)
            ordered.sort(key=lambda offer: offer != least)
        return ordered

    def _cost(self, offer: Offer, known: Evidence) -> tuple[float, float]:
        """Return what a confirmed registration may cost; of two that cost nothing, the one that is entered more."""
        conversion = max(known.draw(self._chance), 1e-9)
        return offer.price / conversion, -conversion


def _weighed(periods: Sequence[tuple[timedelta, _Counts]]) -> Mapping[_Key, Evidence]:
    """Add up periods, each with its age, the newest first; beyond the newest codes they only count."""
    sums: dict[_Key, tuple[int, float, float]] = {}
    for age, counts in periods:
        share = 0.5 ** (age / _HALF_LIFE)
        for key, (sent, entered) in counts.items():
            before, weight, right = sums.get(key, _NO_SUMS)
            if before < _NEWEST:
                taken = share * min(1.0, (_NEWEST - before) / sent)
                weight, right = weight + sent * taken, right + entered * taken
            sums[key] = before + sent, weight, right
    return {key: Evidence(*each) for key, each in sums.items()}


def routes_of(settings: Settings, gateways: Sequence[Gateway], chance: random.Random) -> LearnedRoutes:
    """Return the offers of these gateways, in the order of SMS_GATEWAYS until more is known.

    Raises StartFailed for a price that is missing, and for a pin to a gateway that is not there.
    """
    names = {gateway.name for gateway in gateways}
    for country, name in settings.gateway_pins.items():
        if name not in names:
            raise StartFailed(f"GATEWAY_PINS: {country}={name}, but SMS_GATEWAYS has no {name}; write it into both")
    prices = prices_of(settings, gateways)
    offers = {country: _offers(country, gateways, prices) for country in settings.countries}
    return LearnedRoutes(offers, settings.gateway_pins, chance, settings.code_lifetime)


def _offers(country: str, gateways: Sequence[Gateway], prices: Prices) -> tuple[Offer, ...]:
    found = []
    for gateway in gateways:
        for channel in Channel:
            price = prices.of(gateway.name, channel, country) if channel in gateway.channels else None
            if price is not None:
                found.append(Offer(gateway.name, channel, price))
    return tuple(found)


def sending_of(settings: Settings, routes: LearnedRoutes) -> Sending:
    """Return what the engine is told of sending."""
    return Sending(
        routes=routes,
        daily_budget=settings.daily_budget,
        paused=settings.sms_paused,
        test_numbers=reviewers(settings),
    )


def reviewers(settings: Settings) -> ReviewerNumbers:
    """Return TEST_NUMBERS; the last day is whole in TIME_ZONE."""
    last = settings.test_numbers_until
    if last is None:
        return ReviewerNumbers()
    until = datetime.combine(last + timedelta(days=1), time(), settings.time_zone).astimezone(UTC)
    return ReviewerNumbers({number: code.get_secret_value() for number, code in settings.test_numbers.items()}, until)
