"""`python -m storage.migrations <file>`: bring one SQLite file up to date; the last line of stderr says why not."""

from __future__ import annotations

import asyncio
import sys

from storage.database import DATABASE_ERRORS
from storage.migrations import migrate

if __name__ == "__main__":
    try:
        asyncio.run(migrate(f"sqlite:///{sys.argv[1]}"))
    except DATABASE_ERRORS as error:
        # SQLAlchemy's own text goes on with the statement.
        sys.exit(str(getattr(error, "orig", None) or error).partition("\n")[0])
