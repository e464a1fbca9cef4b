"""`python -m bot partner`: partners, their campaigns with links, and what came of them."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from bot.bot_name import ask_bot_name
from bot.event_commands import opened
from bot.failures import StartFailed
from bot.partner_settings import read_person
from bot.settings import Settings
from storage.campaigns import (
    LONGEST_NAME,
    Campaign,
    Campaigns,
    Partner,
    PartnerExists,
    TelegramIdTaken,
    TooManyCampaigns,
    is_name,
)
from storage.database import DATABASE_ERRORS, Database, DatabaseClock
from storage.funnels import Funnel, Funnels, Period, total


async def run(settings: Settings, arguments: Namespace) -> None:
    """Do what `bot/__main__.py` read from the command line, beside a serving process. Raises StartFailed."""
    try:
        async with opened(settings) as database:
            await PartnerCommands(settings, database).run(arguments)
    except DATABASE_ERRORS as error:
        raise StartFailed(f"DATABASE_URL: the database cannot be used ({error})") from error


class PartnerCommands:
    """Prints to stdout; what cannot be done is a StartFailed of one line."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._campaigns = Campaigns(database)
        self._funnels = Funnels(database, settings.time_zone)
        self._clock = DatabaseClock(database)
        self._bot: str | None = None

    async def run(self, arguments: Namespace) -> None:
        """Do one action."""
        await self._clock.refresh()
        match arguments.action:
            case "add":
                await self._add(arguments.name, arguments.telegram_id, arguments.campaign)
            case "assign":
                await self._assign(arguments.name, arguments.telegram_id)
            case "campaign":
                await self._campaign(arguments.name, arguments.campaign)
            case "list":
                await self._list()

    async def _add(self, given_name: str, given_id: str | None, given_campaign: str | None) -> None:
        # Everything is looked at before anything is made.
        name, telegram_id = _name(given_name), None if given_id is None else _person(given_id)
        campaign = None if given_campaign is None else _name(given_campaign)
        try:
            partner = await self._campaigns.add_partner(name, telegram_id, self._clock.now())
        except PartnerExists as error:
            raise StartFailed(f"{name}: there is a partner of that name; see python -m bot partner list") from error
        except TelegramIdTaken as taken:
            raise _taken(taken) from taken
        print(_title(partner))
        if campaign is not None:
            await self._make(partner, campaign)

    async def _assign(self, given_name: str, given_id: str) -> None:
        telegram_id = _person(given_id)
        try:
            print(_title(await self._campaigns.assign(await self._partner(given_name), telegram_id)))
        except TelegramIdTaken as taken:
            raise _taken(taken) from taken

    async def _campaign(self, given_name: str, given_campaign: str) -> None:
        partner, name = await self._partner(given_name), _name(given_campaign)
        own = await self._campaigns.of_partner(partner.id)
        if any(campaign.name == name for campaign in own):
            raise StartFailed(f"{name}: {partner.name} has a campaign of that name; see python -m bot partner list")
        await self._make(partner, name)

    async def _make(self, partner: Partner, name: str) -> None:
        try:
            campaign = await self._campaigns.add(partner.id, name, self._clock.now())
        except TooManyCampaigns as error:
            raise StartFailed(f"{partner.name}: has as many campaigns as one may have") from error
        self._bot = await ask_bot_name(self._settings)
        self._print([(campaign, None)])
        self._say_whose()

    async def _list(self) -> None:
        partners = await self._campaigns.partners()
        self._bot = await ask_bot_name(self._settings) if partners else None
        for partner in partners:
            rows = await self._funnels.of_partner(partner.id, Period.ALL, self._clock.now())
            print(_title(partner))
            self._print(rows, indent="  ")
            print(f"  in all: {_numbers(total(funnel for _, funnel in rows))}")
        print(f"{len(partners)} partners" if len(partners) != 1 else "1 partner")
        if partners:
            self._say_whose()

    async def _partner(self, given_name: str) -> Partner:
        name = _name(given_name)
        partner = await self._campaigns.partner_named(name)
        if partner is None:
            raise StartFailed(f"{name}: there is no partner of that name; see python -m bot partner list")
        return partner

    def _print(self, rows: Sequence[tuple[Campaign, Funnel | None]], indent: str = "") -> None:
        for campaign, funnel in rows:
            print(f"{indent}{campaign.name}  r_{campaign.code}  {self._link(campaign)}")
            if funnel is not None:
                print(f"{indent}  {_numbers(funnel)}")

    def _say_whose(self) -> None:
        if self._bot is None:
            print("<bot>: its name is not known without BOT_TOKEN and Telegram's answer; /partner shows whole links")

    def _link(self, campaign: Campaign) -> str:
        return f"https://t.me/{self._bot or '<bot>'}?start=r_{campaign.code}"


def _title(partner: Partner) -> str:
    if partner.telegram_id is None:
        return f"{partner.name}  nobody sees the numbers in the chat"
    return f"{partner.name}  Telegram id {partner.telegram_id}, who sees the numbers with /partner"


def _numbers(funnel: Funnel) -> str:
    return ", ".join(f"{name} {count}" for name, count in vars(funnel).items())


def _name(given: str) -> str:
    name = " ".join(given.split())
    if not is_name(name):
        raise StartFailed(f"{given!r} is no name; write one line of {LONGEST_NAME} characters at most")
    return name


def _person(given: str) -> int:
    try:
        return read_person(given)
    except ValueError as error:
        raise StartFailed(str(error)) from error


def _taken(taken: TelegramIdTaken) -> StartFailed:
    return StartFailed(f"that person is the partner {taken} already; one person sees one partner's numbers")
