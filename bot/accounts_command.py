"""`python -m bot accounts import`: whom the CRM knows, taken from its export as HMACs; beside serving processes too."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from bot.event_commands import opened
from bot.failures import StartFailed
from bot.known_list import BadLine, Known, KnownList, NoCsv
from bot.progress_line import ProgressLine
from bot.settings import Settings
from storage.database import DATABASE_ERRORS, DatabaseClock
from storage.keys import Keys
from storage.known_accounts import KnownAccounts
from storage.tables import LookupKind

_BATCH = 500
# Of more bad lines only the count is told: then it is the wrong file, or the wrong column.
_TOLD = 20


async def run(settings: Settings, file: str, *, replace: bool) -> None:
    """Import the file (`-`: the standard input) and say what was done. Raises StartFailed."""
    listed = KnownList(settings.countries, settings.number_types)
    try:
        with _lines(file) as lines:
            async with opened(settings) as database:
                clock = DatabaseClock(database)
                await clock.refresh()
                known = KnownAccounts(database, Keys(settings.secret(), settings.previous_secret()))
                await _Import(known, clock.now()).run(listed.read(lines), replace=replace)
    except DATABASE_ERRORS as error:
        raise StartFailed(f"DATABASE_URL: the database cannot be used ({error})") from error


@contextmanager
def _lines(file: str) -> Iterator[Iterable[str]]:
    """Yield the lines; the letters of values are ASCII, so what is not UTF-8 is a bad line at worst."""
    if file == "-":
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="replace", newline="")  # type: ignore[union-attr]
        yield sys.stdin
        return
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(Path(file).open(encoding="utf-8-sig", errors="replace", newline=""))
        except OSError as error:
            reason = f"{file} cannot be read ({error.strerror})"
            raise StartFailed(f"FILE: {reason}; write the path of the list, or -") from error
        yield stream


class _Import:
    """One import; all of it has one moment, by which `replace` knows what is not in the list."""

    def __init__(self, known: KnownAccounts, now: datetime) -> None:
        self._known = known
        self._now = now
        self._line = ProgressLine(sys.stdout)
        self._batch: list[tuple[LookupKind, str]] = []
        self._read: Counter[LookupKind] = Counter()
        self._bad: list[BadLine] = []
        self._batches = self._more_bad = 0

    async def run(self, found: Iterator[Known | BadLine], *, replace: bool) -> None:
        try:
            for one in found:
                await self._take(one)
        except NoCsv as error:
            raise StartFailed(f"FILE: {error}; nothing is forgotten, what stands before it may be imported") from error
        await self._add()
        self._tell_bad()
        if not self._read:
            raise StartFailed("FILE: holds no number and no address that can be read; nothing was changed")
        forgotten = f"; {await self._known.forget_older(self._now):,} forgotten" if replace else ""
        self._line.end(f"done: {self}{forgotten}; {await self._known.count():,} are known in all")

    def __str__(self) -> str:
        numbers, addresses = self._read[LookupKind.NUMBER], self._read[LookupKind.ADDRESS]
        return f"{numbers:,} numbers and {addresses:,} addresses imported"

    async def _take(self, one: Known | BadLine) -> None:
        if isinstance(one, BadLine):
            if len(self._bad) < _TOLD:
                self._bad.append(one)
            else:
                self._more_bad += 1
            return
        self._read[one.kind] += 1
        self._batch.append((one.kind, one.value))
        if len(self._batch) == _BATCH:
            await self._add()

    async def _add(self) -> None:
        if self._batch:
            await self._known.add(self._batch, self._now)
            self._batch.clear()
            self._batches += 1
            self._line.show(self, self._batches)

    def _tell_bad(self) -> None:
        for bad in self._bad:
            print(f"line {bad.line}: {bad.why}", file=sys.stderr)
        if self._more_bad:
            print(f"and {self._more_bad:,} more that cannot be read", file=sys.stderr)
