"""A small world for the storage tests: the repositories on one database, a clock that is moved, people who act."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from storage.accounts import Accounts
from storage.attribution import Attribution
from storage.campaigns import Campaigns
from storage.challenges import Challenges
from storage.clicks import Clicks
from storage.database import Database
from storage.events import Events
from storage.expiry import Expiry
from storage.funnels import Funnels
from storage.keys import Keys
from storage.limits import Limits, Window
from storage.models import Account, Channel, CodeSent, Progress, SendState, TermsAcceptance, UpdateRef
from storage.outbox import Outbox, OutboxItem
from storage.promo_codes import PromoCodes
from storage.sending import Offer, Sending
from storage.sends import Dispatch, Sends
from storage.tables import challenges, metadata, outbox
from tests.sql import connected

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
# With microseconds: a column that cuts them off is noticed.
MOMENT = datetime(2026, 5, 4, 12, 0, 0, 123456, tzinfo=UTC)
SECRET = "a secret of the tests, long enough for them"
VERSION = "2026-01"
LIMITS = Limits(
    code_length=6,
    code_lifetime=timedelta(minutes=10),
    code_attempts=5,
    wrong_codes=Window(10, DAY),
    live_codes=3,
    resend_delays=tuple(timedelta(seconds=seconds) for seconds in (60, 120, 300, 600)),
    sends_per_challenge=3,
    sends_per_number=(Window(3, HOUR), Window(5, DAY)),
    calls_per_number=Window(1, HOUR),
    sends_per_person=(Window(4, HOUR), Window(8, DAY)),
    sends_per_prefix=Window(10, HOUR),
    prefix_evidence=Window(20, DAY),
    prefix_confirmed_percent=20,
    prefix_blocked_for=timedelta(hours=12),
    verification_message_ttl=timedelta(seconds=60),
    numbers_per_person=Window(3, DAY),
    addresses_per_person=Window(5, DAY),
    challenge_session=timedelta(minutes=10),
    unconfirmed_lifetime=DAY,
    reminder_before=timedelta(hours=4),
    number_recycle_after=timedelta(days=90),
    outbox_lease=timedelta(seconds=60),
    outbox_tries=5,
)
NUMBER, OTHER_NUMBER, THIRD_NUMBER = "+79161234567", "+79161234568", "+79031112233"
_updates = itertools.count(1)


@dataclass
class MovableClock:
    """Stands still until it is moved."""

    moment: datetime = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    def move(self, **by: float) -> datetime:
        self.moment += timedelta(**by)
        return self.moment


class World:
    """The repositories, wired as the bot wires them."""

    def __init__(
        self,
        database: Database,
        keys: Keys | None = None,
        limits: Limits = LIMITS,
        sending: Sending | None = None,
        told: bool = False,
    ) -> None:
        self.database = database
        self.events = Events(database, told)
        self.clock = MovableClock()
        self.keys = keys or Keys(SECRET)
        self.limits = limits
        self.sending = sending or Sending()
        self.accounts = Accounts(database, self.keys, limits, VERSION, self.events)
        self.challenges = Challenges(database, self.keys, limits, VERSION, self.sending, self.events)
        self.outbox = Outbox(database, limits)
        self.sends = Sends(database, self.keys, limits, self.sending)
        self.expiry = Expiry(database, limits, self.events)
        self.campaigns = Campaigns(database)
        self.clicks, self.funnels = Clicks(database, UTC), Funnels(database, UTC)
        self.attribution = Attribution(database, self.keys, limits.attribution_window, UTC)
        self.promo_codes = PromoCodes(database, self.keys, limits)

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def with_limits(self, **changes: Any) -> World:
        """The same world at the same moment under other limits."""
        world = World(self.database, self.keys, replace(self.limits, **changes), self.sending)
        world.clock = self.clock
        return world

    def with_sending(self, **changes: Any) -> World:
        """The same world at the same moment, sending otherwise."""
        world = World(self.database, self.keys, self.limits, replace(self.sending, **changes))
        world.clock = self.clock
        return world

    async def begins(self, send_id: UUID, gateway: str = "smsc", price: int = 0) -> Dispatch | None:
        """Play the courier: begin a send by SMS; None when it must not go."""
        begun = await self.sends.begin(send_id, Offer(gateway, Channel.SMS, price), self.now)
        return begun if isinstance(begun, Dispatch) else None

    async def settle(self, send_id: UUID, state: SendState, **facts: Any) -> bool:
        """Play the courier: settle a send of which nothing but its id matters."""
        dispatch = Dispatch(send_id, "smsc", Channel.SMS, NUMBER, "RU", "", "ru", 1, self.now)
        return await self.sends.settle(dispatch, state, self.now, **facts)

    def person(self, telegram_id: int, email: str | None = None) -> Actor:
        return Actor(self, telegram_id, email or f"person{telegram_id}@example.org")

    async def rows(self, table: sa.Table, *where: sa.ColumnElement[bool]) -> list[Any]:
        """All rows of a table, for looking at what is really there."""
        async with connected(self.database) as conn:
            return list((await conn.execute(sa.select(table).where(*where))).all())

    async def everything(self) -> str:
        """The text of every value in every table: what a thief of the database holds."""
        tables = [await self.rows(table) for table in metadata.sorted_tables]
        values = [value for rows in tables for row in rows for value in row]
        return " ".join(
            value.isoformat(timespec="seconds") if isinstance(value, datetime) else str(value) for value in values
        )

    async def notices(self) -> list[tuple[int, str]]:
        """Who is told what, in the order it fell due, by text key."""
        items = [item for item in await self._queued() if item.kind == "notice"]
        return sorted((item.payload["telegram_id"], item.payload["text"]) for item in items)

    async def deliver(self) -> list[str]:
        """Play the courier: send all codes that are due; return them in order."""
        codes = []
        for item in await self.outbox.take("courier", self.now, batch=1000):
            if item.kind == "code":
                send_id = UUID(item.payload["send_id"])
                dispatch = await self.begins(send_id, "console")
                if dispatch is not None:
                    codes.append(dispatch.code)
                await self.settle(send_id, SendState.ACCEPTED)
            await self.outbox.done(item.id, "courier")
        return codes

    async def _queued(self) -> list[OutboxItem]:
        return [OutboxItem(row.id, row.kind, row.payload, row.attempts) for row in await self.rows(outbox)]


class Actor:
    """One person; each call is a new update unless one is given."""

    def __init__(self, world: World, telegram_id: int, email: str) -> None:
        self.world = world
        self.id = telegram_id
        self.email = email

    def update(self) -> UpdateRef:
        return UpdateRef(self.id, next(_updates))

    async def account(self) -> Account:
        account = await self.world.accounts.of(self.id)
        assert account is not None
        return account

    async def accepts(
        self, email: str | None = "", version: str = VERSION, update: UpdateRef | None = None
    ) -> Progress:
        acceptance = TermsAcceptance(version, "ru", "0" * 64)
        address = self.email if email == "" else email
        return await self.world.accounts.accept_terms(
            update or self.update(), "ru", address, acceptance, now=self.world.now
        )

    async def gives(
        self, email: str, *, verified: bool = False, reveal: bool = True, update: UpdateRef | None = None
    ) -> Progress | None:
        return await self.world.accounts.give_email(
            update or self.update(), email, verified=verified, reveal=reveal, now=self.world.now
        )

    async def asks(
        self,
        number: str = NUMBER,
        *,
        contact: bool = False,
        needs_code: bool = True,
        claim: bool = False,
        reveal: bool = True,
        update: UpdateRef | None = None,
    ) -> CodeSent | Progress:
        return await self.world.challenges.ask_code(
            update or self.update(), number, "RU", "ru",
            own_contact=contact, contact_needs_code=needs_code, claim=claim, reveal=reveal, now=self.world.now,
        )  # fmt: skip

    async def resends(self, update: UpdateRef | None = None) -> CodeSent:
        return await self.world.challenges.resend(update or self.update(), "ru", now=self.world.now)

    async def tries(self, code: str, update: UpdateRef | None = None) -> Progress:
        return await self.world.challenges.try_code(update or self.update(), code, now=self.world.now)

    async def codes(self) -> list[str]:
        """The codes of the challenge now being asked about, as the key derives them."""
        account = await self.account()
        for row in await self.world.rows(challenges, challenges.c.account_id == account.id):
            if row.state in ("open", "dead"):
                return [self.world.keys.code(row.id, n, row.key_id) for n in range(1, row.codes + 1)]
        return []

    async def wrong(self) -> str:
        """A well-formed code that is none of the live ones."""
        codes = await self.codes()
        return next(code for code in (f"{n:06}" for n in range(10)) if code not in codes)

    async def registers(self, number: str = NUMBER) -> Progress:
        """Go the whole way by an own contact that needs no code."""
        await self.accepts()
        result = await self.asks(number, contact=True, needs_code=False, claim=True)
        assert isinstance(result, Progress)
        return result
