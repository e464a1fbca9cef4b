"""What linked identities and followed invitations vouch for, known inside other transactions."""

from __future__ import annotations

import sqlalchemy as sa

from storage.invitation_tables import invitations
from storage.statements import Connection, Statement
from storage.tables import identities

_of_person = identities.c.telegram_id == sa.bindparam("person")
_invited = sa.and_(invitations.c.invitee == sa.bindparam("person"), invitations.c.email.is_not(None))
_linked = sa.select(identities.c.email, identities.c.linked_at.label("at")).where(
    _of_person, identities.c.email_verified.is_(sa.true())
)
_claimed = sa.select(invitations.c.email, invitations.c.used_at.label("at")).where(_invited)
_VOUCHED = Statement(_linked.union_all(_claimed).order_by("at"))
_PROVEN = Statement(
    _linked.where(identities.c.email == sa.bindparam("address"))
    .union_all(_claimed.where(invitations.c.email == sa.bindparam("address")))
    .limit(sa.literal_column("1"))
)
_FORGET = Statement(sa.delete(identities).where(_of_person))
_FORGET_CLAIMS = Statement(
    sa.update(invitations).where(invitations.c.invitee == sa.bindparam("person")).values(invitee=None, email=None)
)


async def has_proven(conn: Connection, telegram_id: int, email: str) -> bool:
    """Tell whether an identity of the person's or an invitation they followed vouches for this normalised address."""
    return (await conn.execute(_PROVEN, person=telegram_id, address=email)).first() is not None


async def vouched(conn: Connection, telegram_id: int) -> str | None:
    """Return the address that the person proved last before they have an account."""
    found = [row.email for row in (await conn.execute(_VOUCHED, person=telegram_id)).all() if row.email is not None]
    return found[-1] if found else None


async def forget_identities(conn: Connection, telegram_id: int) -> bool:
    """Delete the person's identities; tell whether there were any."""
    return bool((await conn.execute(_FORGET, person=telegram_id)).count)


async def forget_claims(conn: Connection, telegram_id: int) -> bool:
    """Keep the address of an invitation no longer: the account has it, or the person goes; tell whether it was kept."""
    return bool((await conn.execute(_FORGET_CLAIMS, person=telegram_id)).count)
