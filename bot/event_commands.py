"""`python -m bot events`: what the CRM has not taken yet, listed without personal data and sent again."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

from bot.failures import StartFailed
from bot.opening import database_url
from bot.settings import Settings
from storage.database import DATABASE_ERRORS, Database, DatabaseClock
from storage.event_letters import EventLetters, Letter
from storage.event_queue import EventQueue
from storage.migrations import SchemaState, schema_state


async def run(settings: Settings, arguments: Namespace) -> None:
    """Do what `bot/__main__.py` read from the command line, beside a serving process. Raises StartFailed."""
    try:
        async with opened(settings) as database:
            match arguments.action:
                case "list":
                    await _list(EventLetters(database), dead=arguments.dead)
                case "replay":
                    await _replay(database, arguments.id)
                case "resume":
                    await _resume(database)
    except DATABASE_ERRORS as error:
        raise StartFailed(f"DATABASE_URL: the database cannot be used ({error})") from error


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Database]:
    """Open the database beside a serving process, inside the block. Raises StartFailed for another schema."""
    database = Database(database_url(settings))
    try:
        if await schema_state(database) is not SchemaState.CURRENT:
            raise StartFailed("DATABASE_URL: the tables are not this version's; run: python -m bot migrate")
        yield database
    finally:
        await database.dispose()


async def _list(letters: EventLetters, *, dead: bool) -> None:
    stopped = await letters.stopped_at()
    if stopped is not None:
        print(f"stopped since {_moment(stopped)}: the CRM wants no events (410); python -m bot events resume")
    count = 0
    async for letter in letters.all(dead=dead):
        count += 1
        print(f"{letter.id}  {letter.type:<22}  account {letter.account_id}  of {letter.at}  {_state(letter)}")
    print(f"{count} {'put aside' if dead else 'not taken yet'}")


def _state(letter: Letter) -> str:
    why = f" ({letter.error})" if letter.error else ""
    if letter.dead:
        return f"put aside, tries: {letter.attempts}{why}"
    if letter.waits:
        return "waits for an earlier one of its account"
    return f"tries: {letter.attempts}, next at {_moment(letter.run_at)}{why}"


async def _replay(database: Database, event_id: UUID | None) -> None:
    clock = DatabaseClock(database)
    await clock.refresh()
    count = await EventLetters(database).replay(event_id, clock.now())
    if event_id is not None and not count:
        raise StartFailed(f"{event_id}: no event of that id is put aside; see python -m bot events list --dead")
    print(f"{count} will be sent again")


async def _resume(database: Database) -> None:
    # The lease is for who takes rows.
    resumed = await EventQueue(database, lease=timedelta(0)).resume()
    print("events are sent again" if resumed else "events were not stopped")


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
