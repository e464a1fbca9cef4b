"""Looking into a database from beside the bot, and changing what is there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database import Database
from storage.engine import create_engine


@asynccontextmanager
async def connected(database: Database) -> AsyncIterator[AsyncConnection]:
    """One transaction on a connection of its own; what is done in it is kept."""
    engine = create_engine(database.url)
    try:
        async with engine.begin() as connection:
            yield connection
    finally:
        await engine.dispose()
