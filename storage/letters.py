"""Letters of invitations on their way: whether one may leave now, and what became of it.

A row is marked before the letter is handed over, in a transaction of its own. A process that dies meanwhile has it
sent once more, by whoever takes the outbox's row over, with the same Message-ID; after a second death it is left at
that. Who asked not to be written to, is registered, or was written to lately gets no letter, and the inviter no word
of it: invitations are no directory of who is registered (T15). What is left to guess from is what mail itself tells:
that a server refused a letter, or was away for a day, says that the letter was not withheld.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from storage import outbox
from storage.database import Database
from storage.invitation_tables import InvitationState, invitations, mail_stops
from storage.invitations import PURPOSE, digest, name_of
from storage.keys import Keys
from storage.known_accounts import ADDRESS_IS_KNOWN, known_address
from storage.ledger import opens_at
from storage.limits import Limits
from storage.marks import mark, mark_is, marks
from storage.models import AccountStatus
from storage.outbox import Notice, OutboxItem
from storage.records import lock
from storage.rows import change, insert_unless_there
from storage.statements import Connection, Statement
from storage.tables import accounts, known_accounts

_LOCK = Statement(
    sa.select(invitations.c.state, invitations.c.once, invitations.c.created_at, invitations.c.expires_at)
    .where(invitations.c.id == sa.bindparam("invitation"))
    .with_for_update()
)
_registered = accounts.c.status != sa.literal_column(f"'{AccountStatus.PENDING.value}'")
_WANTS_NONE = Statement(
    sa.select(sa.literal_column("1", sa.Integer).label("why"))
    .select_from(mail_stops)
    .where(mark_is(mail_stops.c.address, "stopped"))
    .union_all(
        sa.select(sa.literal_column("2", sa.Integer))
        .select_from(accounts)
        .where(accounts.c.email == sa.bindparam("address"), _registered),
        sa.select(sa.literal_column("3", sa.Integer)).select_from(known_accounts).where(ADDRESS_IS_KNOWN),
    )
)
_WRITTEN_TO = Statement(
    sa.select(invitations.c.sent_at)
    .where(mark_is(invitations.c.address, "address"), invitations.c.sent_at > sa.bindparam("since"))
    .where(invitations.c.id != sa.bindparam("invitation"))
    .order_by(invitations.c.sent_at.desc())
)
_BEING_SENT = {
    InvitationState.NEW: InvitationState.SENDING,
    InvitationState.SENDING: InvitationState.REPEATED,
}

_NOT_LEFT = frozenset({InvitationState.REFUSED, InvitationState.FAILED})


@dataclass(frozen=True, repr=False)
class Letter:
    """One letter on its way. No repr: it must not get into a log.

    `name`: of the link. `stop`: the mark of the address, by which it is never written to again. `created_at`: of the
    invitation, the same at each try.
    """

    id: UUID
    address: str
    name: str
    stop: bytes
    inviter: str
    language: str
    created_at: datetime
    expires_at: datetime


class Letters:
    """Each method is one transaction."""

    def __init__(self, database: Database, keys: Keys, limits: Limits) -> None:
        self._database = database
        self._keys = keys
        self._limits = limits

    async def begin(self, item: OutboxItem, now: datetime) -> Letter | None:
        """Mark a letter as being sent and return it; None when it is not to be sent, and then the row is over."""
        invitation_id, email = UUID(item.payload["invitation_id"]), str(item.payload["address"])

        async def work(conn: Connection) -> Letter | None:
            if conn.is_postgresql:
                await lock(conn, "address", email)
            row = (await conn.execute(_LOCK, invitation=invitation_id)).one_or_none()
            if row is None:
                return None
            state = _BEING_SENT.get(row.state)
            if state is None:
                # Sent twice and never known, or settled while the outbox was away.
                if row.state == InvitationState.REPEATED:
                    await change(conn, invitations, invitation_id, state=InvitationState.UNKNOWN)
                return None
            name = self._name(item, row.once)
            if name is None or row.expires_at <= now or await self._is_withheld(conn, invitation_id, email, now):
                await change(conn, invitations, invitation_id, state=InvitationState.WITHHELD)
                return None
            await change(conn, invitations, invitation_id, state=state, sent_at=now)
            return Letter(
                invitation_id, email, name, mark(self._keys.address(email)), str(item.payload["name"]),
                str(item.payload["language"]), row.created_at, row.expires_at,
            )  # fmt: skip

        return await self._database.write(None, work)

    async def settle(
        self, letter: Letter, state: InvitationState, held: tuple[UUID, str], notice: Notice | None = None
    ) -> None:
        """Write down what became of a letter, end its row of the outbox (id, owner), and tell the inviter."""

        async def work(conn: Connection) -> None:
            # What never reached the mailbox keeps no later letter from it.
            left = {"sent_at": None} if state in _NOT_LEFT else {}
            await change(conn, invitations, letter.id, state=state, **left)
            await outbox.done(conn, *held)
            if notice is not None:
                await outbox.notices(self._database, conn, [notice])

        await self._database.write(None, work)

    async def postpone(self, letter: Letter, held: tuple[UUID, str], run_at: datetime, error: str) -> None:
        """Give a letter back that did not leave; `error` says why, without personal data."""

        async def work(conn: Connection) -> None:
            await change(conn, invitations, letter.id, state=InvitationState.NEW, sent_at=None)
            await outbox.change_held(conn, *held, run_at=run_at, error=error, lease_until=None, lease_owner=None)

        await self._database.write(None, work)

    async def stop(self, address: bytes, now: datetime) -> None:
        """Never write to this address (its mark) again. Safe to repeat."""

        async def work(conn: Connection) -> None:
            await insert_unless_there(conn, mail_stops, address=address, at=now)

        await self._database.write(None, work)

    def _name(self, item: OutboxItem, once: bytes) -> str | None:
        """Return the name that the stored hash is of, None when the key it was made with is gone."""
        seed = base64.b64decode(item.payload["seed"])
        names = [name_of(key, seed) for key in self._keys.every(PURPOSE)]
        return next((name for name in names if digest(name) == once), None)

    async def _is_withheld(self, conn: Connection, invitation_id: UUID, email: str, now: datetime) -> bool:
        hmacs, window = self._keys.addresses(email), self._limits.mails_per_address
        whose = marks("stopped", hmacs) | known_address(self._keys, email)
        if (await conn.execute(_WANTS_NONE, address=email, **whose)).first() is not None:
            return True
        theirs = marks("address", hmacs)
        written = await conn.execute(_WRITTEN_TO, invitation=invitation_id, since=now - window.period, **theirs)
        return opens_at(written.scalars(), (window,), now) is not None
