"""The command line: `python -m bot` serves, `migrate` brings the database up to date, others look and change beside it.

Each command loads what it needs when it knows that it does: `--help` nothing, a mistyped setting is told before what
only serving needs is there.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TextIO
from uuid import UUID

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
    commands.add_parser("doctor", help="look at everything the bot needs, say what is wrong and how to mend it")
    cleanup = commands.add_parser("cleanup", help="remind and delete at once what is due, as the bot does by the clock")
    cleanup.add_argument("--dry-run", action="store_true", help="only say what would be reminded and deleted")
    _add_accounts(commands.add_parser("accounts", help="tell the bot whom the CRM knows already"))
    _add_events(commands.add_parser("events", help="list what the CRM has not taken yet, and send it again"))
    _add_partner(commands.add_parser("partner", help="make partners and their campaigns, see what came of them"))
    _add_promo(commands.add_parser("promo", help="make promo codes, see how often they were used"))
    given = parser.parse_args(arguments)
    command = given.command or "serve"
    # The files in DATA_DIR hold numbers and addresses: they are this user's alone.
    os.umask(0o077)
    from bot import logs
    from bot.settings import load

    try:
        settings = load()
        logs.configure(settings.log_level, settings.secrets(), _log_file(settings) if command == "serve" else None)
        runs: dict[str, Callable[[Settings], None]] = {"serve": _serve, "migrate": _migrate}
        runs |= {"events": partial(_events, given), "doctor": _doctor, "cleanup": partial(_cleanup, given)}
        runs |= {"partner": partial(_partner, given), "promo": partial(_promo, given)}
        runs |= {"accounts": partial(_accounts, given)}
        runs[command](settings)
    except SettingsError as error:
        return _fail(error.lines, 2)
    except StartFailed as error:
        return _fail([str(error)], 1)
    except KeyboardInterrupt:
        return 130
    return 0


def _add_events(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="action", required=True)
    listing = actions.add_parser("list", help="one line per event, oldest first")
    listing.add_argument("--dead", action="store_true", help="only those that are put aside")
    replay = actions.add_parser("replay", help="send what is put aside again, from the first try")
    which = replay.add_mutually_exclusive_group(required=True)
    which.add_argument("id", nargs="?", type=UUID, help="one event's id")
    which.add_argument("--all", action="store_true", help="all of them")
    actions.add_parser("resume", help="go on after the CRM wanted no more (HTTP 410)")


def _add_partner(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="action", required=True)
    add = actions.add_parser("add", help="make a partner")
    add.add_argument("name", help="what the partner is called; the CRM is told it too")
    add.add_argument("--telegram-id", metavar="N", help="who sees the numbers with /partner in the chat")
    add.add_argument("--campaign", metavar="NAME", help="make a first campaign too")
    assign = actions.add_parser("assign", help="let another person see a partner's numbers")
    assign.add_argument("name", help="the partner's name")
    assign.add_argument("telegram_id", metavar="N", help="that person's Telegram id")
    campaign = actions.add_parser("campaign", help="make a campaign and show its link")
    campaign.add_argument("name", help="the partner's name")
    campaign.add_argument("campaign", help="the campaign's name")
    actions.add_parser("list", help="every partner, their campaigns, and what came of them")


def _add_promo(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="action", required=True)
    add = actions.add_parser("add", help="make a promo code")
    add.add_argument("code", help="1 to 20 of A-Z, 0-9, _ and -; people may type it in small letters")
    add.add_argument("--uses", metavar="N", help="how many registrations it is good for (any number)")
    add.add_argument("--per-person", metavar="N", default="1", help="how many of one person, and of one number (1)")
    add.add_argument("--from", dest="begins", metavar="DATE", help="its first day, as 2026-12-01, in TIME_ZONE")
    add.add_argument("--until", dest="ends", metavar="DATE", help="its last day")
    actions.add_parser("list", help="one line per code, oldest first")


def _add_accounts(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="action", required=True)
    listing = actions.add_parser("import", help="take numbers and addresses that are registered already, as HMACs")
    listing.add_argument("file", metavar="FILE", help="a value per line or CSV, see README.md; - is the standard input")
    listing.add_argument("--replace", action="store_true", help="forget what was imported before and is not in it")


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


def _events(given: argparse.Namespace, settings: Settings) -> None:
    from bot.event_commands import run

    asyncio.run(run(settings, given))


def _partner(given: argparse.Namespace, settings: Settings) -> None:
    from bot.partner_commands import run

    asyncio.run(run(settings, given))


def _promo(given: argparse.Namespace, settings: Settings) -> None:
    from bot.promo_commands import run

    asyncio.run(run(settings, given))


def _accounts(given: argparse.Namespace, settings: Settings) -> None:
    from bot.accounts_command import run

    asyncio.run(run(settings, given.file, replace=given.replace))


def _doctor(settings: Settings) -> None:
    from bot.deferred_types import load_aiogram

    load_aiogram()
    from bot.doctor import run

    if not run(settings):
        raise SystemExit(1)


def _cleanup(given: argparse.Namespace, settings: Settings) -> None:
    from bot.cleanup_command import run

    asyncio.run(run(settings, dry_run=given.dry_run))


def _fail(lines: list[str], code: int) -> int:
    from bot.logs import mask

    for line in lines:
        # What was given by mistake, such as a token as the port, is repeated in the line about it.
        print(f"error: {mask(line)}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
