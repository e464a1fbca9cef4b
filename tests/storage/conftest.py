from __future__ import annotations

import pytest

from storage.database import Database
from tests.storage.world import World


@pytest.fixture
def world(database: Database) -> World:
    """The repositories on a fresh database; each test runs on SQLite and PostgreSQL."""
    return World(database)
