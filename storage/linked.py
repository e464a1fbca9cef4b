"""What is known of linked identities inside other transactions."""

from __future__ import annotations

import sqlalchemy as sa

from storage.statements import Connection, Statement
from storage.tables import identities

_of_person = identities.c.telegram_id == sa.bindparam("person")
_PROVEN = Statement(
    sa.select(identities.c.id)
    .where(_of_person, identities.c.email == sa.bindparam("address"), identities.c.email_verified.is_(sa.true()))
    .limit(sa.literal_column("1"))
)
_FORGET = Statement(sa.delete(identities).where(_of_person))


async def has_proven(conn: Connection, telegram_id: int, email: str) -> bool:
    """Tell whether one of the person's identities vouches for this normalised address."""
    return (await conn.execute(_PROVEN, person=telegram_id, address=email)).first() is not None


async def forget_identities(conn: Connection, telegram_id: int) -> bool:
    """Delete the person's identities; tell whether there were any."""
    return bool((await conn.execute(_FORGET, person=telegram_id)).count)
