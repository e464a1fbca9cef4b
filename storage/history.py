"""What was sent lately to a person, to a number and to its range, and how often they guessed: read by one statement.

Five statements one after the other took most of the time of a code that is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from storage.keys import Keys
from storage.ledger import COUNTED, GUESSED_WRONG, Recipient, hmac_is, under
from storage.limits import Limits
from storage.models import Channel
from storage.statements import Connection, Statement
from storage.tables import prefix_blocks, sends

# Refused rows are most of the ledger while somebody attacks: the indexes that are counted over leave them out.
_PAID_FOR = sa.and_(
    COUNTED, sends.c.refused_by.is_(None), sends.c.channel != sa.literal_column(f"'{Channel.TEST.value}'")
)
# A code may leave minutes after it was asked for, while gateways are away: what counts is when it left.
_LEFT = sa.func.coalesce(sends.c.left_at, sends.c.at, type_=sends.c.at.type)
# What was to wake somebody and did not is not counted; an SMS is paid for all the same.
_REACHED = sa.or_(sends.c.channel == sa.literal_column("'sms'"), sends.c.state != sa.literal_column("'undelivered'"))


def _rows(about: str, moment: Any, until: Any = None, whose: Any = None) -> sa.Select[Any]:
    """Return a part of the statement: four columns, whatever it reads."""
    nothing = sa.null()
    return sa.select(
        sa.literal_column(f"'{about}'", sa.Text).label("about"),
        moment.label("at"),
        (nothing if until is None else until).label("until"),
        (nothing if whose is None else whose).label("whose"),
    )


def _sent(to: str, where: sa.ColumnElement[bool], **columns: Any) -> sa.Select[Any]:
    return _rows(to, _LEFT, **columns).where(where, _PAID_FOR, sends.c.at > sa.bindparam(f"{to}_since"))


_TO_NUMBER = _sent("number", hmac_is(sends.c.number_hmac, "number"), whose=sends.c.channel).where(_REACHED)
_LATELY = Statement(
    sa.union_all(
        # The first one's columns say what those of all are.
        _sent("range", hmac_is(sends.c.prefix_hmac, "prefix"), until=sends.c.entered_at, whose=sends.c.person_hmac),
        _rows("block", prefix_blocks.c.blocked_at, until=prefix_blocks.c.until).where(
            hmac_is(prefix_blocks.c.prefix_hmac, "prefix")
        ),
        _TO_NUMBER,
        _sent("person", hmac_is(sends.c.person_hmac, "person")),
        _rows("wrong", GUESSED_WRONG.subquery("guesses").c.at),
    )
)
_SENT_TO_NUMBER = Statement(_TO_NUMBER)


@dataclass(frozen=True)
class Sent:
    """One code that left to a range: when it was entered (None: not yet), and the HMAC of who asked for it."""

    at: datetime
    entered_at: datetime | None
    person_hmac: str


@dataclass(frozen=True)
class Block:
    """A time in which a range is closed."""

    blocked_at: datetime
    until: datetime


@dataclass(frozen=True)
class History:
    """What a code that is asked for is judged by, each newest first; moments are when codes left.

    `to_number`: of each code its channel too. `wrong`: when this person guessed wrong for this number.
    """

    wrong: tuple[datetime, ...]
    to_person: tuple[datetime, ...]
    to_number: tuple[tuple[datetime, Channel], ...]
    to_range: tuple[Sent, ...]
    blocks: tuple[Block, ...]


async def history_of(conn: Connection, keys: Keys, limits: Limits, to: Recipient, now: datetime) -> History:
    """Return what was sent within the longest window of each limit. On PostgreSQL the caller holds what it counts."""
    windows = {
        "person": limits.sends_per_person,
        "number": (*limits.sends_per_number, limits.calls_per_number),
        "range": (limits.prefix_evidence, limits.sends_per_prefix),
    }
    since = {
        # What left after that moment may have been asked for before it.
        f"{to}_since": now - max(window.period for window in each) - limits.code_lifetime
        for to, each in windows.items()
    }
    hmacs = {
        **under("person", keys.persons(to.telegram_id)),
        **under("number", keys.numbers(to.number)),
        **under("prefix", keys.prefixes(to.number)),
    }
    rows = (await conn.execute(_LATELY, most=limits.wrong_codes.count, **since, **hmacs)).all()
    found: dict[str, list[Any]] = {"range": [], "block": [], "number": [], "person": [], "wrong": []}
    for row in rows:
        found[row.about].append(row)
    return History(
        wrong=tuple(row.at for row in _newest_first(found["wrong"])),
        to_person=tuple(row.at for row in _newest_first(found["person"])),
        to_number=_by_channel(found["number"]),
        to_range=tuple(Sent(row.at, row.until, row.whose) for row in _newest_first(found["range"])),
        blocks=tuple(Block(row.at, row.until) for row in found["block"]),
    )


async def sent_to_number(
    conn: Connection, limits: Limits, hmacs: Sequence[str], now: datetime
) -> tuple[tuple[datetime, Channel], ...]:
    """Return what `History.to_number` holds, alone; `hmacs` are the number's."""
    longest = max(window.period for window in (*limits.sends_per_number, limits.calls_per_number))
    since = now - longest - limits.code_lifetime
    rows = (await conn.execute(_SENT_TO_NUMBER, number_since=since, **under("number", hmacs))).all()
    return _by_channel(rows)


def _by_channel(rows: Iterable[Any]) -> tuple[tuple[datetime, Channel], ...]:
    return tuple((row.at, Channel(row.whose)) for row in _newest_first(rows))


def _newest_first(rows: Iterable[Any]) -> list[Any]:
    return sorted(rows, key=lambda row: row.at, reverse=True)
