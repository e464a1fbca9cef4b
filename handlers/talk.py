"""The little a conversation keeps between updates. Redis may lose it: all but a not yet stored e-mail is rebuilt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from handlers.meaning import Offer


@dataclass
class Talk:
    """One person's conversation data; the step itself is the FSM state.

    `email`: given, but not stored yet (no account before the terms). `candidate`: waits for the typo hint's answer.
    `ticked`: the version of the terms whose box is ticked. `search`: what the country picker is
    narrowed by. `terms_version`: the version in force when the step was last computed; `terms_changed`: an older one
    was accepted. `number`: the number being proven. `taken`: a number found registered, for "this is my number"
    (`taken_by_contact`: it was shared as the own contact).
    `email_verified`: a linked identity or an invitation vouches for that address. `suggested`: one that a provider
    named, to be offered.
    `arrived`: under which name they came back from a provider, until they answer. `linking`: an existing account is
    being looked for by its number.
    `touched`: they came by a campaign's link. `promo`: the promo code that is theirs.
    `exported`: when their data was last sent to them (unix time, seconds).
    `account`: id of the account once it is confirmed, for the link that signs in; `invite`: their own link's code.
    `erased`: everything was erased, and nothing was said since.
    `keyboard`: a reply keyboard may be on the person's screen. `latest`: id of the person's newest message.
    """

    language: str
    email: str | None = None
    email_verified: bool = False
    suggested: str | None = None
    arrived: str | None = None
    linking: bool = False
    candidate: str | None = None
    ticked: str | None = None
    country: str | None = None
    search: str | None = None
    terms_version: str | None = None
    terms_changed: bool = False
    number: str | None = None
    taken: str | None = None
    taken_by_contact: bool = False
    touched: bool = False
    promo: str | None = None
    account: str | None = None
    invite: str | None = None
    exported: int | None = None
    paused: bool = False
    erased: bool = False
    keyboard: bool = False
    latest: int | None = None
    numbered: bool = False
    offers: tuple[Offer, ...] = field(default=())

    def dump(self) -> dict[str, Any]:
        """Return the JSON form, without what has its default."""
        kept = {name: value for name, value in vars(self).items() if value not in (None, False, ())}
        if self.offers:
            kept["offers"] = [offer.dump() for offer in self.offers]
        return kept

    @staticmethod
    def load(data: Mapping[str, Any]) -> Talk:
        """Return the talk of a JSON form."""
        values = dict(data)
        values["offers"] = tuple(Offer.load(offer) for offer in values.get("offers", ()))
        return Talk(**values)
