"""`/partner`: a partner's campaigns, their links, and what came of them. Nobody else learns that the command exists."""

from __future__ import annotations

from collections.abc import Sequence

from aiogram.filters import Command
from markupsafe import Markup

from handlers import partner_pictures
from handlers.attachments import document
from handlers.fallback import pending
from handlers.filters import Acting
from handlers.funnel_table import FILE_NAME, as_csv
from handlers.payloads import bot_link
from handlers.reply import Reply
from handlers.routes import Routes
from handlers.screens import Rows, Screen
from handlers.turn import Event, Turn
from storage.campaigns import CAMPAIGNS, LONGEST_NAME, Campaign, Campaigns, Partner, TooManyCampaigns, is_name
from storage.funnels import Funnel, Funnels, Period, total

# What fits a message of 4096 characters with all its links; the rest is in the file.
_SHOWN = 10


def add_to(routes: Routes) -> None:
    """Route `/partner` and its buttons."""
    routes.command(partner_command, Command("partner", ignore_case=True))
    partner_pictures.add_to(routes)
    routes.button(export, Acting("partner:csv"))
    routes.button(show_period, Acting("partner:"))


async def partner_command(event: Event, turn: Turn, campaigns: Campaigns, funnels: Funnels) -> Reply:
    """Show the last seven days; `/partner new NAME` makes a campaign first."""
    partner = await campaigns.partner_of(turn.telegram_id)
    if partner is None:
        return await pending(event, turn)
    word, _, name = turn.text.partition(" ")[2].strip().partition(" ")
    if word.casefold() != "new":
        return await _show(turn, funnels, partner, Period.WEEK)
    name = " ".join(name.split())
    if not is_name(name):
        return turn.say(Screen(turn.html("partner-name", longest=LONGEST_NAME)))
    try:
        campaign = await campaigns.add(partner.id, name, turn.now)
    except TooManyCampaigns:
        return turn.say(Screen(turn.html("partner-too-many", most=CAMPAIGNS)))
    link = bot_link(turn.product, campaign.code)
    return turn.say(Screen(turn.html("partner-made", name=campaign.name, link=link), _buttons(turn, Period.WEEK)))


async def show_period(event: Event, turn: Turn, campaigns: Campaigns, funnels: Funnels) -> Reply:
    """Show another period, in place."""
    partner = await campaigns.partner_of(turn.telegram_id)
    period = (turn.action or "").rpartition(":")[2]
    if partner is None or period not in set(Period):
        return await pending(event, turn)
    return await _show(turn, funnels, partner, Period(period), edit=True)


async def export(event: Event, turn: Turn, campaigns: Campaigns, funnels: Funnels) -> Reply:
    """Send everything as a table: one row per day and campaign, of nobody in particular."""
    partner = await campaigns.partner_of(turn.telegram_id)
    if partner is None:
        return await pending(event, turn)
    table = as_csv(await funnels.days(partner.id))
    file = document(turn.telegram_id, table, FILE_NAME, turn.html("partner-csv"))
    return Reply(before=(file,), last=turn.say().last)


async def _show(turn: Turn, funnels: Funnels, partner: Partner, period: Period, *, edit: bool = False) -> Reply:
    rows = await funnels.of_partner(partner.id, period, turn.now)
    return turn.say(_funnel_screen(turn, partner, period, rows), edit=edit)


def _funnel_screen(turn: Turn, partner: Partner, period: Period, rows: Sequence[tuple[Campaign, Funnel]]) -> Screen:
    """Say what came of each campaign; those that brought most come first."""
    name = turn.html(f"partner-period-{period.value}")
    parts = [turn.html("partner-title", name=partner.name, period=name)]
    ordered = sorted(rows, key=lambda row: (row[1].starts, row[1].clicks), reverse=True)
    parts += [_lines(turn, one.name, funnel, bot_link(turn.product, one.code)) for one, funnel in ordered[:_SHOWN]]
    if len(ordered) > _SHOWN:
        parts.append(turn.html("partner-more", len(ordered) - _SHOWN))
    if len(ordered) > 1:
        parts.append(_lines(turn, turn.html("partner-total"), total(funnel for _, funnel in ordered)))
    if not ordered:
        parts.append(turn.html("partner-none"))
    parts.append(turn.html("partner-how"))
    return Screen(Markup("\n\n").join(parts), _buttons(turn, period) if ordered else ())


def _lines(turn: Turn, name: str | Markup, funnel: Funnel, link: str = "") -> Markup:
    text = turn.html("partner-funnel", name=name, **vars(funnel))
    return text + "\n" + link if link else text


def _buttons(turn: Turn, period: Period) -> Rows:
    periods = [turn.button(f"button-partner-{one.value}", f"partner:{one.value}") for one in Period]
    table = turn.button("button-partner-csv", "partner:csv")
    return (tuple(periods[:2]), tuple(periods[2:]), partner_pictures.buttons(turn, period), (table,))
