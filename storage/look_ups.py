"""Whether the CRM is to be asked about a number or an address, counted before anybody is asked (T15).

The step that follows counts the same value again, for free.
"""

from __future__ import annotations

from datetime import datetime

from storage.database import Database
from storage.keys import Keys
from storage.ledger import Ledger, Recipient
from storage.limits import Limits
from storage.models import AccountStatus
from storage.records import hold
from storage.statements import Connection
from storage.tables import LookupKind


class LookUps:
    """Each method is one transaction, and safe to repeat."""

    def __init__(self, database: Database, keys: Keys, limits: Limits) -> None:
        self._database = database
        self._ledger = Ledger(database, keys, limits)

    async def wants_number(self, telegram_id: int, number: str, country: str, now: datetime, *, counted: bool) -> bool:
        """Tell whether it matters who else has a number (E.164, of ISO `country`).

        Not for whoever is registered or has proven it: that is themselves. Raises LimitReached (numbers_per_person)
        when it is `counted` and one too many.
        """

        async def work(conn: Connection) -> bool:
            account = await hold(conn, telegram_id)
            if account is None or account.status is not AccountStatus.PENDING or account.phone == number:
                return False
            if counted:
                await self._ledger.look_up_number(conn, Recipient(telegram_id, number, country), now)
            return True

        return await self._database.write(None, work)

    async def wants_address(self, telegram_id: int, email: str, now: datetime, *, counted: bool) -> bool:
        """Tell whether it matters who else has a normalised address.

        Not for whoever has it, or is registered with another. Raises LimitReached (addresses_per_person) when it is
        `counted` and one too many.
        """

        async def work(conn: Connection) -> bool:
            account = await hold(conn, telegram_id)
            settled = account is not None and account.status is not AccountStatus.PENDING
            if account is not None and (account.email == email or (settled and account.email is not None)):
                return False
            if counted:
                limit = await self._ledger.look_up(conn, telegram_id, LookupKind.ADDRESS, email, now)
                if limit is not None:
                    raise limit
            return True

        return await self._database.write(None, work)
