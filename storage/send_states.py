"""The states of a ledger's row, and which may follow which: only forward, and two at once cannot both succeed."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from storage.models import SendState
from storage.statements import Connection, Statement
from storage.tables import sends

ON_THE_WAY = (SendState.SENDING, SendState.UNKNOWN, SendState.ACCEPTED)
"""It may still arrive, as far as anybody knows."""
# From which states each one may be reached. QUEUED again only while the vendor certainly has nothing of it.
_FROM = {
    SendState.QUEUED: (SendState.SENDING,),
    SendState.ACCEPTED: (SendState.SENDING, SendState.UNKNOWN),
    SendState.UNKNOWN: (SendState.SENDING,),
    # A vendor may take "did not arrive" back, but never "arrived".
    SendState.DELIVERED: (*ON_THE_WAY, SendState.UNDELIVERED),
    SendState.UNDELIVERED: ON_THE_WAY,
    SendState.FAILED: (SendState.QUEUED, SendState.SENDING),
}


async def settle(conn: Connection, send_id: UUID, state: SendState, now: datetime, **values: Any) -> SendState | None:
    """Bring a row to this state and return what it became; None when that would be back, which changes nothing.

    A repeat that failed says nothing of the first try, which may have left: its row is unknown, and stays paid for.
    """
    as_read = False if state is SendState.FAILED else None
    if await change_in(conn, send_id, _FROM[state], as_read=as_read, state=state, changed_at=now, **values):
        return state
    unknown = {"state": SendState.UNKNOWN, "changed_at": now}
    if state is SendState.FAILED and await change_in(conn, send_id, _FROM[state], as_read=True, **unknown):
        return SendState.UNKNOWN
    return None


async def change_in(
    conn: Connection, send_id: UUID, states: Collection[SendState], as_read: bool | None = None, **values: object
) -> bool:
    """Change a row if it is still in one of these states, and as it was read (`as_read`: its `repeated`)."""
    change = _change(tuple(states), as_read, tuple(values))
    return (await conn.execute(change, send=send_id, **values)).count > 0


@cache
def _change(states: tuple[SendState, ...], as_read: bool | None, columns: tuple[str, ...]) -> Statement:
    still = sends.c.state.in_([sa.literal_column(f"'{SendState(state).value}'") for state in states])
    change = sa.update(sends).where(sends.c.id == sa.bindparam("send"), still)
    if as_read is not None:
        change = change.where(sends.c.repeated.is_(sa.true() if as_read else sa.false()))
    return Statement(change, sets=columns)
