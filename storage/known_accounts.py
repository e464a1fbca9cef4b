"""Who is registered elsewhere: numbers and addresses that the CRM listed, kept as HMACs.

What is listed counts as registered, for how long nobody here knows: a number that is listed is never moved to whoever
proves it. A rotated secret hides rows once the one before it is gone, so the list is then to be imported anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa

from storage.database import Database
from storage.keys import Keys
from storage.ledger import hmac_is, under
from storage.statements import Connection, Statement
from storage.tables import LookupKind, known_accounts

# Rows per transaction: a conversation that writes meanwhile waits some milliseconds.
_BATCH = 500
_row = known_accounts.c
NUMBER_IS_KNOWN = hmac_is(_row.value_hmac, "known_number")
ADDRESS_IS_KNOWN = hmac_is(_row.value_hmac, "known_address")
_OLD = sa.select(_row.value_hmac).where(_row.imported_at < sa.bindparam("before")).limit(sa.literal_column(str(_BATCH)))
_FORGET_OLD = Statement(sa.delete(known_accounts).where(_row.value_hmac.in_(_OLD)))
_FORGET = Statement(sa.delete(known_accounts).where(sa.or_(NUMBER_IS_KNOWN, ADDRESS_IS_KNOWN)))
_COUNT = Statement(sa.select(sa.func.count().label("count")).select_from(known_accounts))


class KnownAccounts:
    """Changes the list, beside serving processes."""

    def __init__(self, database: Database, keys: Keys) -> None:
        self._database = database
        self._keys = keys

    async def add(self, values: Sequence[tuple[LookupKind, str]], now: datetime) -> None:
        """Add numbers (E.164) and addresses (normalised), in one transaction for every 500; known ones stay."""
        for begin in range(0, len(values), _BATCH):
            rows = self._rows(values[begin : begin + _BATCH], now)

            async def work(conn: Connection, rows: Sequence[Mapping[str, object]] = rows) -> None:
                await conn.execute_many(_add(conn.insert), rows)

            await self._database.write(None, work)

    async def forget_older(self, before: datetime) -> int:
        """Take from the list what was last imported before this moment; return how many there were."""

        async def work(conn: Connection) -> int:
            return (await conn.execute(_FORGET_OLD, before=before)).count

        gone = 0
        while (count := await self._database.write(None, work)) > 0:
            gone += count
        return gone

    async def count(self) -> int:
        """Return how many values are listed."""

        async def work(conn: Connection) -> int:
            count: int = (await conn.execute(_COUNT)).scalar_one()
            return count

        return await self._database.read(work)

    def _rows(self, values: Iterable[tuple[LookupKind, str]], now: datetime) -> list[dict[str, object]]:
        hmac_of = {LookupKind.NUMBER: self._keys.number, LookupKind.ADDRESS: self._keys.address}
        # Each once, in one order: two imports at the same time must not wait for each other in a circle.
        found = {hmac_of[kind](value): kind for kind, value in values}
        return [{"value_hmac": hmac, "kind": found[hmac], "imported_at": now} for hmac in sorted(found)]


def known_number(keys: Keys, number: str) -> dict[str, str]:
    """Return the parameters of `NUMBER_IS_KNOWN`."""
    return under("known_number", keys.numbers(number))


def known_address(keys: Keys, email: str) -> dict[str, str]:
    """Return the parameters of `ADDRESS_IS_KNOWN`."""
    return under("known_address", keys.addresses(email))


async def forget(conn: Connection, keys: Keys, number: str, email: str) -> None:
    """Take a number and an address from the list, in the caller's transaction: their account is gone."""
    await conn.execute(_FORGET, **known_number(keys, number), **known_address(keys, email))


@cache
def _add(insert: Callable[[sa.Table], Any]) -> Statement:
    adding = insert(known_accounts)
    again = {"imported_at": adding.excluded.imported_at}
    adding = adding.on_conflict_do_update(index_elements=[_row.value_hmac], set_=again)
    return Statement(adding, sets=("value_hmac", "kind", "imported_at"))
