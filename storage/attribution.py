"""By whose link a person came, and how far: the first touch counts for 30 days, whether or not they go on at once.

A touch is made by a `/start` with a campaign's code and outlives the account. Who is registered already, or comes by
their own link, makes none. The account takes its person's touch over when it is made, so that those who came by no link
cost nothing more, and each step moves the touch forward in its own transaction. The last step is not credited to who
was registered before, under this Telegram id or with this number; erasing the account takes the credit back, and so
does the CRM when it says that they are somebody it has already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, tzinfo
from enum import IntEnum
from functools import cache
from typing import Any

import sqlalchemy as sa

from storage.database import Database
from storage.keys import Keys
from storage.many import ForMany
from storage.marks import mark, mark_is, marks
from storage.models import Account, AccountStatus
from storage.partner_tables import campaigns, former_people, partners, touches
from storage.records import hold
from storage.rows import change
from storage.statements import Connection, Statement
from storage.tables import accounts


class Stage(IntEnum):
    """How far a person came. Stored numbers: permanent, and in the order of the steps."""

    START = 0
    EMAIL = 1
    TERMS = 2
    PHONE = 3
    CONFIRMED = 4


_theirs = touches.alias("theirs")
_NEWEST_LIVE = (
    sa.select(_theirs.c.id)
    .where(mark_is(_theirs.c.person, "toucher"), _theirs.c.at > sa.bindparam("touched_since"))
    .order_by(_theirs.c.id.desc())
    .limit(sa.literal_column("1"))
)
LIVE_TOUCH = _NEWEST_LIVE.scalar_subquery()
"""The touch that a new account takes over: see `toucher`."""
_LIVE = Statement(_NEWEST_LIVE)
_OWNERS = Statement(
    sa.select(campaigns.c.inviter, partners.c.telegram_id)
    .outerjoin_from(campaigns, partners, partners.c.id == campaigns.c.partner_id)
    .where(campaigns.c.id == sa.bindparam("campaign"))
)
_TOUCH = Statement(sa.insert(touches).returning(touches.c.id), sets=("person", "campaign_id", "at", "day", "stage"))
_is_it = touches.c.id == sa.bindparam("touch")
_EARLIER = Statement(
    sa.select(touches.c.id)
    .where(mark_is(touches.c.person, "toucher"), touches.c.campaign_id == sa.bindparam("by"))
    .order_by(touches.c.id.desc())
    .limit(sa.literal_column("1"))
)
_RENEW = Statement(sa.update(touches).where(_is_it), sets=("at",))
_is_earlier = touches.c.stage < sa.bindparam("reached")
_ADVANCE = Statement(sa.update(touches).where(_is_it, _is_earlier), sets=("stage",))
_ADVANCE_PERSON = Statement(sa.update(touches).where(touches.c.id == LIVE_TOUCH, _is_earlier), sets=("stage",))
_WAS_HERE = Statement(sa.select(former_people.c.mark).where(mark_is(former_people.c.mark, "person", "number")))
_TAKE_BACK = ForMany(
    lambda among: (
        sa.update(touches)
        .where(touches.c.id.in_(sa.select(accounts.c.touch_id).where(among(accounts.c.id))))
        .where(touches.c.stage == sa.literal_column(str(Stage.CONFIRMED.value)))
        .values(stage=sa.literal_column(str(Stage.PHONE.value)))
    )
)
_DROP_INVITATIONS = ForMany(lambda among: sa.delete(campaigns).where(among(campaigns.c.inviter)))


class Attribution:
    """What a link that was followed comes to; `zone` is the operator's, where days begin."""

    def __init__(self, database: Database, keys: Keys, window: timedelta, zone: tzinfo) -> None:
        """`window`: for how long a touch counts."""
        self._database = database
        self._keys = keys
        self._window = window
        self._zone = zone

    async def touch(self, telegram_id: int, campaign_id: int, now: datetime) -> bool:
        """Write down that the person came by this campaign's link, unless they came by another before.

        True while a touch of theirs counts, be it this one or an earlier. Safe to repeat.
        """

        async def work(conn: Connection) -> bool:
            return await self.add(conn, await hold(conn, telegram_id), telegram_id, campaign_id, now)

        return await self._database.write(None, work)

    async def add(
        self, conn: Connection, account: Account | None, telegram_id: int, campaign_id: int, now: datetime
    ) -> bool:
        """Do as `touch` in the caller's transaction, which holds the person; `account` is theirs."""
        if account is not None and (account.status is not AccountStatus.PENDING or account.touch_id is not None):
            return account.touch_id is not None
        theirs = self.toucher(telegram_id, now)
        if (await conn.execute(_LIVE, **theirs)).first() is not None:
            return True
        owners = (await conn.execute(_OWNERS, campaign=campaign_id)).one_or_none()
        if owners is None or telegram_id in owners:
            return False
        touch_id = await self._renewed_or_made(conn, theirs, campaign_id, now)
        await reach(conn, touch_id, _stands_at(account))
        if account is not None:
            await change(conn, accounts, account.id, touch_id=touch_id)
        return True

    def toucher(self, telegram_id: int, now: datetime) -> dict[str, Any]:
        """Return the parameters of `LIVE_TOUCH` at this moment."""
        return toucher(self._keys, telegram_id, now - self._window)

    async def _renewed_or_made(self, conn: Connection, theirs: dict[str, Any], campaign_id: int, now: datetime) -> int:
        """Return the person's touch of this campaign, which begins to count now.

        Who came by it before is not counted again: they stay where they are, on the day they first came.
        """
        whose = {name: value for name, value in theirs.items() if name != "touched_since"}
        earlier: int | None = (await conn.execute(_EARLIER, by=campaign_id, **whose)).scalar_one_or_none()
        if earlier is not None:
            await conn.execute(_RENEW, touch=earlier, at=now)
            return earlier
        day = now.astimezone(self._zone).toordinal()
        row = {"person": theirs["toucher"], "campaign_id": campaign_id, "at": now, "day": day}
        touched = await conn.execute(_TOUCH, **row, stage=Stage.START.value)
        return int(touched.scalar_one())


def _stands_at(account: Account | None) -> Stage:
    """Return how far somebody has come whom a link reaches in the middle of it."""
    if account is None:
        return Stage.START
    if account.phone is not None or account.asked_number is not None:
        return Stage.PHONE
    return Stage.START if account.terms_version is None else Stage.TERMS


def toucher(keys: Keys, telegram_id: int, since: datetime) -> dict[str, Any]:
    """Return the parameters of `LIVE_TOUCH`: whose, and not older than this."""
    return {**marks("toucher", keys.persons(telegram_id)), "touched_since": since}


async def reach(conn: Connection, touch_id: int | None, stage: Stage) -> None:
    """Move a touch forward to this stage, in the caller's transaction; it never moves back by this."""
    if touch_id is not None:
        await conn.execute(_ADVANCE, touch=touch_id, reached=stage.value, stage=stage.value)


async def reach_without_account(conn: Connection, theirs: dict[str, Any], stage: Stage) -> None:
    """Do the same for whoever has no account yet; `theirs` as `toucher` has it."""
    await conn.execute(_ADVANCE_PERSON, reached=stage.value, stage=stage.value, **theirs)


async def credit(conn: Connection, keys: Keys, account: Account, *, moved: bool) -> bool:
    """Credit the touch of an account that is being confirmed; tell whether it was earned.

    `moved`: the number was somebody else's here until now.
    """
    if account.touch_id is None or account.phone is None or moved:
        return False
    whose = marks("person", keys.persons(account.telegram_id)) | marks("number", keys.numbers(account.phone))
    if (await conn.execute(_WAS_HERE, **whose)).first() is not None:
        return False
    await reach(conn, account.touch_id, Stage.CONFIRMED)
    return True


async def remember_former(conn: Connection, keys: Keys, account: Account, now: datetime) -> None:
    """Remember that somebody was registered, as their account goes: they are no newcomer when they come back."""
    hmacs = [keys.person(account.telegram_id), *([keys.number(account.phone)] if account.phone else [])]
    await conn.execute_many(_remember(conn.insert), [{"mark": mark(hmac), "at": now} for hmac in sorted(hmacs)])


async def take_back(conn: Connection, account_ids: Sequence[Any]) -> None:
    """Take back what these accounts earned for others; how far they came stays."""
    await _TAKE_BACK.execute(conn, account_ids)


async def forget_touches(conn: Connection, account_ids: Sequence[Any], telegram_ids: Sequence[int]) -> None:
    """Take back what these accounts earned for others, and drop their own invitations' link; they go after this."""
    await take_back(conn, account_ids)
    await _DROP_INVITATIONS.execute(conn, telegram_ids)


@cache
def _remember(insert: Callable[[sa.Table], Any]) -> Statement:
    return Statement(insert(former_people).on_conflict_do_nothing(), sets=("mark", "at"))
