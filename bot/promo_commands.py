"""`python -m bot promo`: promo codes, made and counted."""

from __future__ import annotations

import re
from argparse import Namespace
from datetime import date, datetime, time, timedelta, tzinfo

from bot.event_commands import opened
from bot.failures import StartFailed
from bot.settings import Settings
from storage.database import DATABASE_ERRORS, Database, DatabaseClock
from storage.keys import Keys
from storage.promo_codes import FORM, PromoCode, PromoCodes

_MOST = 1_000_000_000
# Of what Python reads as a date this alone: weeks and run-together digits are slips.
_DATE = re.compile("2[0-9]{3}-[0-9]{2}-[0-9]{2}")


async def run(settings: Settings, arguments: Namespace) -> None:
    """Do what `bot/__main__.py` read from the command line, beside a serving process. Raises StartFailed."""
    try:
        async with opened(settings) as database:
            # Codes are nobody's: no key is needed to make or to list them.
            codes = PromoCodes(database, Keys(""), settings.limits())
            match arguments.action:
                case "add":
                    await _add(codes, database, arguments, settings.time_zone)
                case "list":
                    await _list(codes, settings.time_zone)
    except DATABASE_ERRORS as error:
        raise StartFailed(f"DATABASE_URL: the database cannot be used ({error})") from error


async def _add(codes: PromoCodes, database: Database, arguments: Namespace, zone: tzinfo) -> None:
    clock = DatabaseClock(database)
    await clock.refresh()
    promo = _promo(arguments, zone, clock.now())
    if not await codes.add(promo, clock.now()):
        raise StartFailed(f"{promo.code}: there is such a promo code; see python -m bot promo list")
    print(_line(promo, zone))
    print(f"people type /promo {promo.code}, or come by ?start=p_{promo.code}")
    print(f"with a campaign's link: ?start=r_<its code>-p_{promo.code}")


def _promo(given: Namespace, zone: tzinfo, now: datetime) -> PromoCode:
    if not FORM.fullmatch(given.code):
        raise StartFailed(f"{given.code!r} is no promo code; write 1 to 20 of A-Z, 0-9, _ and -")
    begins = None if given.begins is None else _midnight(_date("--from", given.begins), zone)
    # The last day is in it whole.
    ends = None if given.ends is None else _midnight(_date("--until", given.ends) + timedelta(days=1), zone)
    if ends is not None and ends <= now:
        raise StartFailed(f"--until: {given.ends} is over; write today or a later day")
    if begins is not None and ends is not None and begins >= ends:
        raise StartFailed(f"--until: {given.ends} is before --from {given.begins}")
    return PromoCode(
        given.code.upper(), begins, ends, None if given.uses is None else _count("--uses", given.uses),
        _count("--per-person", given.per_person),
    )  # fmt: skip


async def _list(codes: PromoCodes, zone: tzinfo) -> None:
    found = await codes.all()
    for promo in found:
        print(_line(promo, zone))
    print(f"{len(found)} promo codes" if len(found) != 1 else "1 promo code")


def _line(promo: PromoCode, zone: tzinfo) -> str:
    most = "" if promo.max_uses is None else f" of {promo.max_uses}"
    days = []
    if promo.valid_from is not None:
        days.append(f"from {promo.valid_from.astimezone(zone).date()}")
    if promo.valid_until is not None:
        days.append(f"until {promo.valid_until.astimezone(zone).date() - timedelta(days=1)}")
    return f"{promo.code}  used {promo.used}{most}, {promo.per_person} per person, {' '.join(days) or 'at any time'}"


def _date(option: str, given: str) -> date:
    try:
        if _DATE.fullmatch(given):
            return date.fromisoformat(given)
    except ValueError:
        # Of the form, and in no calendar.
        pass
    raise StartFailed(f"{option}: {given!r} is no date; write it as 2026-12-31")


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(), zone)


def _count(option: str, given: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,9}", given) or int(given) > _MOST:
        raise StartFailed(f"{option}: {given!r} is no number of uses; write a whole number of 1 or more")
    return int(given)
