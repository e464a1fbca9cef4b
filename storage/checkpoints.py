"""Copies what SQLite's log holds into the file, beside who writes: left to a commit, everybody waits for the disk."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable

# Seconds between two copies while anything is written: what is written again and again meanwhile is copied once.
_EVERY = 1.0
# Each round copies what was written during the one before; so few pages take the writer some milliseconds.
_ROUNDS, _LITTLE = 10, 300
# It copies what it can without keeping anybody from reading or writing (SQLite, "Checkpoint Mode").
_COPY = "PRAGMA wal_checkpoint(PASSIVE)"


class Checkpoints:
    """A thread with a connection of its own, and the writer's short share of its work."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._written, self._copied, self._ended = threading.Event(), threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def written(self, raw: sqlite3.Connection) -> None:
        """Take note of a commit on the writer's connection; call it when those who waited for it are answered."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="checkpoints", daemon=True)
            self._thread.start()
        if self._copied.is_set():
            # What was written during the copy is little. Once nothing is left, the next commit begins the log anew.
            self._copied.clear()
            _copy(raw)
        self._written.set()

    def stop(self) -> None:
        """End after the copy under way; what is left is copied when the last connection is closed."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._ended.set()
            self._written.set()
            thread.join()
            self._ended.clear()

    def _serve(self) -> None:
        with contextlib.closing(self._connect()) as raw:
            while not self._ended.is_set():
                self._written.wait()
                self._written.clear()
                self._catch_up(raw)
                self._copied.set()
                self._ended.wait(_EVERY)

    def _catch_up(self, raw: sqlite3.Connection) -> None:
        before = 0
        for _ in range(_ROUNDS):
            copied = _copy(raw)
            if copied - before < _LITTLE or self._ended.is_set():
                return
            before = copied


def _copy(raw: sqlite3.Connection) -> int:
    """Return how many pages of the log are copied by now, 0 when none could be."""
    # What cannot be copied now, on a full disk for example, is tried again; a commit says it by itself.
    with contextlib.suppress(sqlite3.Error):
        return int(raw.execute(_COPY).fetchone()[2])
    return 0
