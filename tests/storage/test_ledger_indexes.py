"""What limits are counted over is found by indexes that leave the rest out: an attack slows nobody down."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from storage import history, ledger, spending
from storage.database import Database
from storage.sends import _KNOWN
from storage.tables import code_attempts, sends
from tests.sql import connected

SINCE = datetime(2026, 5, 4, tzinfo=UTC)
COUNTED = {
    "number": (history._LATELY, "ix_sends_number_hmac_at"),
    "number alone": (history._SENT_TO_NUMBER, "ix_sends_number_hmac_at"),
    "range": (history._LATELY, "ix_sends_prefix_hmac_at"),
    "guesses of a history": (history._LATELY, "ix_code_attempts_number_hmac_person_hmac_at"),
    # Either leaves out what cost nothing; PostgreSQL weighs them by their size.
    "budget": (spending.SPENT, "ix_sends_at_price_paid|ix_sends_country_at_price"),
    "oldest": (spending.OLDEST_SPENT, "ix_sends_at_price_paid"),
    "country": (spending.SPENT_ON_COUNTRY, "ix_sends_country_at_price"),
    "report": (_KNOWN, "ix_sends_gateway_provider_id"),
    "guesses": (ledger._GUESSED_WRONG, "ix_code_attempts_number_hmac_person_hmac_at"),
    "left": (spending.UNENTERED_ON_COUNTRY, "ix_sends_country_at_price_unentered"),
}
# An attack: for each code that left, a hundred that were refused.
ROWS = [
    {
        "id": UUID(int=n), "at": SINCE + timedelta(seconds=n), "changed_at": SINCE, "number_hmac": f"n{n % 50}",
        "prefix_hmac": f"r{n % 5}", "person_hmac": f"p{n % 200}", "country": "RU", "channel": "sms", "repeated": False,
        "state": "refused" if n % 100 else "accepted", "refused_by": "sends_per_number" if n % 100 else None,
        "gateway": None if n % 100 else "n1", "provider_id": None if n % 100 else f"n{n}",
        "price": None if n % 100 else 400, "entered_at": None if n % 500 else SINCE,
    }
    for n in range(4000)
]  # fmt: skip

TRIES = [
    {
        "id": UUID(int=n), "challenge_id": UUID(int=n), "at": SINCE, "number_hmac": f"n{n % 50}",
        "person_hmac": f"p{n % 200}", "outcome": "right" if n % 20 else "wrong",
    }
    for n in range(4000)
]  # fmt: skip


SINCES = {f"{to}_since": SINCE for to in ("number", "range", "person")}
KNOWN = {**SINCES, "since": SINCE, "lately": SINCE, "most": 10, "slot": 5, "whole_from": SINCE + timedelta(minutes=10)}


@pytest.mark.parametrize("counted", COUNTED)
async def test_what_does_not_count_is_not_looked_at(database: Database, counted: str) -> None:
    statement, index = COUNTED[counted]
    core: Any = statement._core
    async with connected(database) as conn:
        await conn.execute(sa.insert(sends), ROWS)
        await conn.execute(sa.insert(code_attempts), TRIES)
        await conn.execute(sa.text("ANALYZE"))
        compiled = core.compile(dialect=conn.dialect)
        given = {name: value for name, value in compiled.params.items() if value is not None}
        values = {name: KNOWN.get(name, "n1") for name in compiled.params} | given
        words = "EXPLAIN" if conn.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
        plan = await conn.exec_driver_sql(f"{words} {compiled}", tuple(values[name] for name in compiled.positiontup))
        assert re.search(rf"\b({index})\b", "\n".join(str(row) for row in plan.all()))
