"""Partners, and the campaigns whose links are handed out: partners', the house's, each person's own invitations."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from storage import referral_codes
from storage.database import Database
from storage.partner_tables import campaigns, partners
from storage.rows import change, insert_unless_there
from storage.statements import Connection, Statement

CAMPAIGNS = 50
"""How many campaigns one partner may make in the chat."""
LONGEST_NAME = 40
"""Characters of a campaign's or a partner's name."""
# A fresh code is taken once in a million tries when there are a million campaigns.
_TRIES = 5
_NO_CODE = "no free code was found for a campaign"

_row = (campaigns.c.id, campaigns.c.name, campaigns.c.partner_id, campaigns.c.inviter)
_select = sa.select(*_row)
_BY_ID = Statement(_select.where(campaigns.c.id == sa.bindparam("campaign")))
_OF_PARTNER = Statement(
    _select.where(campaigns.c.partner_id == sa.bindparam("partner")).order_by(campaigns.c.created_at, campaigns.c.id)
)
_OF_PERSON = Statement(_select.where(campaigns.c.inviter == sa.bindparam("person")))
_NAMED = Statement(
    _select.where(campaigns.c.partner_id == sa.bindparam("partner"), campaigns.c.name == sa.bindparam("title"))
)
_HOUSE = Statement(
    _select.where(campaigns.c.partner_id.is_(None), campaigns.c.inviter.is_(None)).where(
        campaigns.c.name == sa.bindparam("title")
    )
)
_partner = sa.select(partners.c.id, partners.c.name, partners.c.telegram_id)
_PARTNER_OF = Statement(_partner.where(partners.c.telegram_id == sa.bindparam("person")))
_PARTNER_NAMED = Statement(_partner.where(partners.c.name == sa.bindparam("title")))
_PARTNERS = Statement(_partner.order_by(partners.c.name))
_LEAVE = Statement(sa.update(partners).where(partners.c.telegram_id == sa.bindparam("person")), sets=("telegram_id",))


class TooManyCampaigns(Exception):
    """The partner has made as many campaigns as one may."""


class TelegramIdTaken(Exception):
    """Another partner has this Telegram id; its text is that partner's name."""


class PartnerExists(Exception):
    """There is a partner of this name."""

    def __init__(self, partner: Partner) -> None:
        super().__init__(partner.name)
        self.partner = partner


@dataclass(frozen=True)
class Partner:
    """Who hands out links; `telegram_id` is whose chat shows what came of them."""

    id: UUID
    name: str
    telegram_id: int | None


@dataclass(frozen=True)
class Campaign:
    """One link. `partner_id` and `inviter` (a Telegram id) are both None for the house's."""

    id: int
    name: str
    partner_id: UUID | None
    inviter: int | None

    @property
    def code(self) -> str:
        """What stands for it in links: eight letters and digits."""
        return referral_codes.written(self.id)


class Campaigns:
    """Each method is one transaction, and safe to repeat; `random` returns so many random bytes."""

    def __init__(self, database: Database, random: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._database = database
        self._random = random

    async def by_code(self, code: str) -> Campaign | None:
        """Return the campaign of a code as somebody may have typed it, None when there is none."""
        campaign_id = referral_codes.read(code)
        return None if campaign_id is None else await self._find(_BY_ID, campaign=campaign_id)

    async def partner_of(self, telegram_id: int) -> Partner | None:
        """Return the partner whose chat this is."""

        async def work(conn: Connection) -> Partner | None:
            row = (await conn.execute(_PARTNER_OF, person=telegram_id)).one_or_none()
            return None if row is None else Partner(*row)

        return await self._database.read(work)

    async def partners(self) -> tuple[Partner, ...]:
        """Return every partner, by name."""

        async def work(conn: Connection) -> tuple[Partner, ...]:
            return tuple(Partner(*row) for row in (await conn.execute(_PARTNERS)).all())

        return await self._database.read(work)

    async def of_partner(self, partner_id: UUID) -> tuple[Campaign, ...]:
        """Return a partner's campaigns, the oldest first."""

        async def work(conn: Connection) -> tuple[Campaign, ...]:
            return await campaigns_of(conn, partner_id)

        return await self._database.read(work)

    async def add_partner(self, name: str, telegram_id: int | None, now: datetime) -> Partner:
        """Make a partner. Raises PartnerExists, TelegramIdTaken."""

        async def work(conn: Connection) -> Partner:
            partner = Partner(self._database.new_id(), name, telegram_id)
            if await insert_unless_there(conn, partners, **vars(partner), created_at=now):
                return partner
            namesake = (await conn.execute(_PARTNER_NAMED, title=name)).one_or_none()
            if namesake is not None:
                raise PartnerExists(Partner(*namesake))
            raise TelegramIdTaken((await conn.execute(_PARTNER_OF, person=telegram_id)).one().name)

        return await self._database.write(None, work)

    async def partner_named(self, name: str) -> Partner | None:
        """Return the partner of this very name."""

        async def work(conn: Connection) -> Partner | None:
            row = (await conn.execute(_PARTNER_NAMED, title=name)).one_or_none()
            return None if row is None else Partner(*row)

        return await self._database.read(work)

    async def assign(self, partner: Partner, telegram_id: int) -> Partner:
        """Let another person see the partner's numbers, in place of whoever did. Raises TelegramIdTaken."""

        async def work(conn: Connection) -> Partner:
            holder = (await conn.execute(_PARTNER_OF, person=telegram_id)).one_or_none()
            if holder is not None and holder.id != partner.id:
                raise TelegramIdTaken(holder.name)
            await change(conn, partners, partner.id, telegram_id=telegram_id)
            return replace(partner, telegram_id=telegram_id)

        return await self._database.write(None, work)

    async def add(self, partner_id: UUID, name: str, now: datetime) -> Campaign:
        """Make a partner's campaign, or return the one of this name. Raises TooManyCampaigns."""

        async def work(conn: Connection) -> Campaign:
            own = await campaigns_of(conn, partner_id)
            if len(own) >= CAMPAIGNS and name not in {campaign.name for campaign in own}:
                raise TooManyCampaigns
            return await self._found_or_made(
                conn, _NAMED, {"partner": partner_id, "title": name}, now, partner_id=partner_id, name=name
            )

        return await self._database.write(None, work)

    async def house(self, name: str, now: datetime) -> Campaign:
        """Return the house's campaign of this name, made at its first use."""

        async def work(conn: Connection) -> Campaign:
            return await self._found_or_made(conn, _HOUSE, {"title": name}, now, name=name)

        return await self._database.write(None, work)

    async def of_person(self, telegram_id: int, now: datetime) -> Campaign:
        """Return a person's own invitations, made at their first use."""

        async def work(conn: Connection) -> Campaign:
            campaign_id = await own_campaign(conn, telegram_id, now, self._random)
            return Campaign(campaign_id, "", None, telegram_id)

        return await self._database.write(None, work)

    async def _find(self, statement: Statement, **which: Any) -> Campaign | None:
        async def work(conn: Connection) -> Campaign | None:
            row = (await conn.execute(statement, **which)).one_or_none()
            return None if row is None else Campaign(*row)

        return await self._database.read(work)

    async def _found_or_made(
        self, conn: Connection, wanted: Statement, which: Mapping[str, Any], now: datetime, **row: Any
    ) -> Campaign:
        for _ in range(_TRIES):
            found = (await conn.execute(wanted, **which)).one_or_none()
            if found is not None:
                return Campaign(*found)
            code = _fresh(self._random)
            # Somebody else may have made the same campaign meanwhile, or have the same code: then again.
            if await insert_unless_there(conn, campaigns, id=code, created_at=now, **row):
                return Campaign(code, row["name"], row.get("partner_id"), row.get("inviter"))
        raise LookupError(_NO_CODE)


async def own_campaign(conn: Connection, telegram_id: int, now: datetime, random: Callable[[int], bytes]) -> int:
    """Return the id of a person's own invitations, in the caller's transaction: one statement at their first use."""
    for _ in range(_TRIES):
        code = _fresh(random)
        if await insert_unless_there(conn, campaigns, id=code, created_at=now, inviter=telegram_id, name=""):
            return code
        found = (await conn.execute(_OF_PERSON, person=telegram_id)).one_or_none()
        if found is not None:
            return int(found.id)
    raise LookupError(_NO_CODE)


def _fresh(random: Callable[[int], bytes]) -> int:
    return int.from_bytes(random(referral_codes.BITS // 8))


def is_name(name: str) -> bool:
    """Tell whether a campaign or a partner may be called so: one line that can be shown."""
    return 0 < len(name) <= LONGEST_NAME and name.isprintable()


async def campaigns_of(conn: Connection, partner_id: UUID) -> tuple[Campaign, ...]:
    """Return a partner's campaigns in the caller's transaction, the oldest first."""
    return tuple(Campaign(*row) for row in (await conn.execute(_OF_PARTNER, partner=partner_id)).all())


async def leave(conn: Connection, telegram_id: int) -> None:
    """Take a person's Telegram id from the partner they are, in the transaction that erases them."""
    await conn.execute(_LEAVE, person=telegram_id, telegram_id=None)
