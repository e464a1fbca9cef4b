"""A database with very many accounts, made by the database itself: rows as the bot leaves them, of nobody real.

A fifth of the accounts is expired and waits for the cleanup; the others are confirmed. Row ids grow as the bot's do.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import asyncpg

# Every so many accounts the first one is expired.
SHARE = 5
_COLUMNS = {
    "accounts": (
        "id, telegram_id, status, language, email, email_verified, phone, phone_proof, phone_proven_at, terms_version,"
        " terms_accepted_at, created_at, expires_at, reminded_at, confirmed_at"
    ),
    "terms_acceptances": "id, account_id, version, language, sentence_hash, accepted_at",
    "challenges": (
        "id, account_id, number, number_hmac, country, key_id, language, codes, attempts, state, created_at,"
        " last_action_at"
    ),
    "sends": (
        "id, challenge_id, code_n, at, number_hmac, prefix_hmac, person_hmac, country, channel, gateway, price, state,"
        " repeated, changed_at, entered_at"
    ),
    "outbox": "id, kind, telegram_id, payload, run_at, attempts, status",
    "applied_updates": "telegram_id, update_id, outcome, at",
}
# {expired}: whether this account is. Of those, 3 of 4 were asked for a number and 1 of 20 has something queued.
_ROWS = {
    "accounts": (
        "{id1}, 2000000000 + i, CASE WHEN {expired} THEN 'pending' ELSE 'confirmed' END, 'ru',"
        " 'p' || {shuffled} || '@example.org', {false}, CASE WHEN {expired} THEN NULL ELSE {number} END,"
        " CASE WHEN {expired} THEN NULL ELSE 'code' END, CASE WHEN {expired} THEN NULL ELSE {at} END, '1', {at}, {at},"
        " {end}, CASE WHEN {expired} THEN {at} END, CASE WHEN {expired} THEN NULL ELSE {at} END",
        "{true}",
    ),
    "terms_acceptances": ("{id2}, {id1}, '1', 'ru', {hash}, {at}", "{true}"),
    "challenges": (
        "{id3}, {id1}, {number}, {hash}, 'RU', '0000', 'ru', 1, 0,"
        " CASE WHEN {expired} THEN 'open' ELSE 'confirmed' END, {at}, {at}",
        "NOT ({expired}) OR i % 4 <> 3",
    ),
    "sends": (
        "{id4}, {id3}, 1, {at}, {hash}, {hash}, {hash}, 'RU', 'sms', 'smsc', 100,"
        " CASE WHEN {expired} AND i % 40 = 0 THEN 'queued' ELSE 'delivered' END, {false}, {at},"
        " CASE WHEN {expired} THEN NULL ELSE {at} END",
        "NOT ({expired}) OR i % 4 <> 3",
    ),
    "outbox": ("{id5}, 'notice', 2000000000 + i, '{{}}', {later}, 0, 'new'", "{expired} AND i % 20 = 0"),
    "applied_updates": (
        '2000000000 + i, 1, \'{{"kind": "progress", "confirmed_now": false, "displaced": []}}\', {recent}',
        "{expired}",
    ),
}


_COSTS = """INSERT INTO running_costs
    SELECT floor(extract(epoch FROM at) / 600)::integer, sum(price) FROM sends WHERE price > 0 GROUP BY 1"""


def _insert(table: str, words: dict[str, str]) -> str:
    values, condition = _ROWS[table]
    filled = {"expired": f"i % {SHARE} = 0", "shuffled": "(i * 2654435761 % 4294967296)"}
    filled["number"] = f"'+7' || (3000000000 + {filled['shuffled']})"
    filled |= words
    select = f"SELECT {values.format(**filled)} FROM s WHERE {condition.format(**filled)}"
    return f"INSERT INTO {table} ({_COLUMNS[table]}) {select}"


def _words(
    now: datetime, text: Callable[[datetime], str], ids: Callable[[int], str], fresh: str, end: str
) -> dict[str, str]:
    old, day = text(now - timedelta(days=30)), text(now - timedelta(days=1))
    words = {f"id{n}": ids(n) for n in range(1, 6)}
    words |= {"hash": fresh, "at": f"CASE WHEN i % {SHARE} = 0 THEN {day} ELSE {old} END"}
    return words | {
        "end": end.format(day),
        "later": text(now + timedelta(days=1)),
        "recent": text(now - timedelta(hours=12)),
    }


def fill_sqlite(path: str, accounts: int) -> None:
    """Fill a migrated file; nobody else may have it open."""
    raw = sqlite3.connect(path, isolation_level=None)
    try:
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-1000000"):
            raw.execute(f"PRAGMA {pragma}")
        words = _words(
            datetime.now(UTC), lambda at: f"'{at:%Y-%m-%d %H:%M:%S.%f}'", lambda n: f"printf('019a000{n}%024x', i)",
            "lower(hex(randomblob(32)))", "strftime('%Y-%m-%d %H:%M:%f', {}, (-i / 100.0) || ' seconds') || '000'",
        )  # fmt: skip
        series = f"WITH RECURSIVE s(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM s WHERE i < {accounts - 1}) "
        for table in _ROWS:
            raw.execute(series + _insert(table, words | {"true": "1", "false": "0"}))
    finally:
        raw.close()
    # What was written without waiting for the disk must not be waited for by who is measured.
    with open(path, "rb") as file:
        os.fsync(file.fileno())


async def fill_postgresql(url: str, accounts: int) -> None:
    """Fill a migrated database."""
    raw = await asyncpg.connect(url)
    try:
        words = _words(
            datetime.now(UTC), lambda at: f"'{at.isoformat()}'::timestamptz",
            lambda n: f"('019a000{n}' || lpad(to_hex(i), 24, '0'))::uuid",
            "md5(random()::text) || md5(random()::text)", "{} - i * interval '10 milliseconds'",
        )  # fmt: skip
        await raw.execute("SET synchronous_commit = off")
        # Very many codes of one moment in one transaction: their sum would be written anew for each of them.
        await raw.execute("ALTER TABLE sends DISABLE TRIGGER USER")
        for table in _ROWS:
            insert = _insert(table, words | {"true": "true", "false": "false"})
            head, select = insert.split(") SELECT", 1)
            series = f"WITH s(i) AS (SELECT generate_series(0, {accounts - 1})::bigint)"
            await raw.execute(f"{head}) {series} SELECT{select}")
        await raw.execute("ALTER TABLE sends ENABLE TRIGGER USER")
        await raw.execute(_COSTS)
        # What a database that has grown slowly has behind it; else it would be done while answers are timed.
        await raw.execute("VACUUM ANALYZE")
        await raw.execute("CHECKPOINT")
    finally:
        await raw.close()
