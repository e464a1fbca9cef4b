"""Run a module with every SQL statement written down: `python -m tests.bench.counted <file> <module>`.

Each line of the file is JSON: the number of the connection, and the statement. What runs so is counted, not timed.
"""

from __future__ import annotations

import itertools
import json
import os
import runpy
import sqlite3
import sqlite3.dbapi2
import sys
from typing import Any

# Characters: enough to see the verb and the tables.
_LONGEST = 400


def main() -> None:
    path, module = sys.argv[1:]
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    numbers = itertools.count(1)
    connect = sqlite3.connect

    def counted(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        number = next(numbers)

        def write(statement: str) -> None:
            # At once and in one piece: it is read while the process runs, and several threads write.
            os.write(file, json.dumps([number, statement[:_LONGEST]]).encode() + b"\n")

        connection.set_trace_callback(write)
        return connection

    sqlite3.connect = sqlite3.dbapi2.connect = counted  # type: ignore[assignment]
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
