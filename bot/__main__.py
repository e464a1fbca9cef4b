"""The command line: `python -m bot` serves, `python -m bot migrate` brings the database up to date.

Each command loads what it needs when it knows that it does: `--help` nothing, a mistyped setting is told before what
only serving needs is there.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
from typing import TYPE_CHECKING, TextIO

from bot.failures import StartFailed
from bot.own_secret import SettingsError

if TYPE_CHECKING:
    from bot.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code: 0, 1 when it cannot be done, 2 for the settings or the arguments."""
    parser = argparse.ArgumentParser(prog="python -m bot", description="A Telegram bot that registers people.")
    commands = parser.add_subparsers(dest="command", metavar="command")
    commands.add_parser("serve", help="run the bot (the default)")
    commands.add_parser("migrate", help="create the database's tables or bring them up to date, then exit")
    command = parser.parse_args(arguments).command or "serve"
    # The files in DATA_DIR hold numbers and addresses: they are this user's alone.
    os.umask(0o077)
    from bot import logs
    from bot.settings import load

    try:
        settings = load()
        logs.configure(settings.log_level, settings.secrets(), _log_file(settings) if command == "serve" else None)
        {"serve": _serve, "migrate": _migrate}[command](settings)
    except SettingsError as error:
        return _fail(error.lines, 2)
    except StartFailed as error:
        return _fail([str(error)], 1)
    except KeyboardInterrupt:
        return 130
    return 0


def _log_file(settings: Settings) -> TextIO | None:
    """Return the file for the log of a practice, whose terminal is for what to do next; None where stderr is meant."""
    if settings.bot_token is not None or "log_level" in settings.model_fields_set:
        return None
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        return (settings.data_dir / "bot.log").open("a", encoding="utf-8")
    except OSError as error:
        raise StartFailed(
            f"DATA_DIR: {settings.data_dir} cannot be used ({error.strerror}); write a folder of this user"
        ) from error


def _serve(settings: Settings) -> None:
    # Nothing that is loaded is garbage: looking for some again and again takes a fifth of the start, and later stops
    # everybody for a tenth of a second at a time.
    gc.disable()
    from bot.deferred_types import load_aiogram

    # First of all: whatever else imports aiogram has it build all of its types.
    load_aiogram()
    import uvloop

    from bot.app import serve

    gc.freeze()
    gc.set_threshold(5000, 20, 50)
    gc.enable()
    uvloop.run(serve(settings))


def _migrate(settings: Settings) -> None:
    from bot.opening import database_url
    from storage.database import DATABASE_ERRORS
    from storage.migrations import migrate

    try:
        asyncio.run(migrate(database_url(settings)))
    except DATABASE_ERRORS as error:
        raise StartFailed(f"DATABASE_URL: the database cannot be brought up to date ({error})") from error


def _fail(lines: list[str], code: int) -> int:
    for line in lines:
        print(f"error: {line}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
