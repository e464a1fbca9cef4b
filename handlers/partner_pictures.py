"""What a partner hands out and looks at as pictures: a campaign's link with its QR code, and the funnel as a chart.

Which campaign is meant stands in callback data, which anybody can write: it is looked for among the partner's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from aiogram.methods import SendDocument, SendMessage, SendPhoto
from markupsafe import Markup

from handlers.attachments import document, photo
from handlers.fallback import pending
from handlers.filters import Acting
from handlers.payloads import bot_link, web_link
from handlers.ports import Bar, Chart, Pictures
from handlers.reply import Reply
from handlers.routes import Routes
from handlers.screens import Button, Rows, Screen
from handlers.turn import Event, Turn
from handlers.voice import Voice
from storage.campaigns import Campaign, Campaigns
from storage.funnels import Funnel, Funnels, Period, total

_ALL = "all"


def add_to(routes: Routes) -> None:
    """Route the buttons: the campaigns to choose from, and what is chosen."""
    routes.button(give_link, Acting("partner:link:"))
    routes.button(show_chart, Acting("partner:chart:"))


def buttons(voice: Voice, period: Period) -> tuple[Button, ...]:
    """Return the ways to the pictures, for a screen that shows this period."""
    chart = voice.button("button-partner-chart", f"partner:chart:{period.value}:")
    return (chart, voice.button("button-partner-link", "partner:link:"))


async def give_link(event: Event, turn: Turn, campaigns: Campaigns, pictures: Pictures) -> Reply:
    """Hand out a campaign's link: a photo that can be forwarded, and the code for printing."""
    partner = await campaigns.partner_of(turn.telegram_id)
    own = () if partner is None else await campaigns.of_partner(partner.id)
    code = (turn.action or "").rpartition(":")[2]
    if not own:
        return await pending(event, turn)
    if not code and len(own) > 1:
        return turn.say(Screen(turn.html("partner-choose"), _choice(turn, "partner:link:", own)))
    campaign = _chosen(own, code) if code else own[0]
    if campaign is None:
        return await pending(event, turn)
    screen = Screen(link_text(turn, "partner-link", campaign), ((share_button(turn, campaign),),))
    turn.remember(screen)
    link = bot_link(turn.product, campaign.code)
    picture = photo(turn.telegram_id, await pictures.qr_png(link), screen, turn.language)
    drawing = document(turn.telegram_id, pictures.qr_svg(link), f"r_{campaign.code}.svg", turn.html("partner-svg"))
    return _with(turn, picture, drawing)


async def show_chart(event: Event, turn: Turn, campaigns: Campaigns, funnels: Funnels, pictures: Pictures) -> Reply:
    """Show what came of a campaign, or of all of them, as a chart; its numbers stand below it."""
    partner = await campaigns.partner_of(turn.telegram_id)
    period, _, code = (turn.action or "").removeprefix("partner:chart:").partition(":")
    if partner is None or period not in set(Period):
        return await pending(event, turn)
    rows = await funnels.of_partner(partner.id, Period(period), turn.now)
    own = [campaign for campaign, _ in rows]
    if not code and len(own) > 1:
        choice = _choice(turn, f"partner:chart:{period}:", own)
        every = (turn.button("partner-total", f"partner:chart:{period}:{_ALL}"),)
        return turn.say(Screen(turn.html("partner-choose"), (every, *choice)))
    campaign = _chosen(own, code) if code else next(iter(own), None)
    if campaign is None and code != _ALL:
        return await pending(event, turn)
    funnel = total(one for found, one in rows if campaign in {None, found})
    days = turn.html(f"partner-period-{period}")
    name = partner.name if campaign is None else campaign.name
    chart = Chart(name, str(days), _bars(turn, funnel))
    words = turn.html("partner-title", name=partner.name, period=days)
    words += "\n\n" + turn.html(
        "partner-funnel", name=turn.html("partner-total") if campaign is None else name, **vars(funnel)
    )
    return _with(turn, photo(turn.telegram_id, await pictures.chart_png(chart), Screen(words), turn.language))


def link_text(voice: Voice, key: str, campaign: Campaign) -> Markup:
    """Return the words that go with a campaign's QR code: this text, and the way for who has no Telegram."""
    product = voice.product
    text = voice.html(key, product=product.name, name=campaign.name, link=bot_link(product, campaign.code))
    page = web_link(product, campaign.code)
    return text if page is None else text + "\n\n" + voice.html("link-web", link=page)


def share_button(voice: Voice, campaign: Campaign) -> Button:
    """Return the button that lets somebody choose a chat to send the link to (Telegram, "Share links")."""
    words = voice.texts.plain(voice.language, "link-share", product=voice.product.name)
    said = {"url": bot_link(voice.product, campaign.code), "text": words}
    return voice.link("button-share", f"https://t.me/share/url?{urlencode(said)}")


def _chosen(own: Sequence[Campaign], code: str) -> Campaign | None:
    return next((campaign for campaign in own if campaign.code == code), None)


def _choice(turn: Turn, action: str, own: Sequence[Campaign]) -> Rows:
    """Return a button for each campaign, two in a row: there are fifty at most."""
    names = {one.code: dict.fromkeys(turn.texts.languages, one.name) for one in own}
    each = [Button(labels, action=f"{action}{code}", own=True) for code, labels in names.items()]
    return tuple(tuple(each[at : at + 2]) for at in range(0, len(each), 2))


def _bars(turn: Turn, funnel: Funnel) -> tuple[Bar, ...]:
    return tuple(
        Bar(turn.texts.plain(turn.language, f"partner-bar-{step}"), number, _share(turn, step, number, funnel.starts))
        for step, number in vars(funnel).items()
    )


def _share(turn: Turn, step: str, number: int, starts: int) -> str:
    """Return how many in a hundred of those who started that is, never rounded up; clicks are no people."""
    if step == "clicks" or not starts:
        return ""
    percent = 100 * number // starts
    return turn.texts.plain(turn.language, "partner-share", percent="<1" if number and not percent else percent)


def _with(turn: Turn, *calls: SendPhoto | SendDocument | SendMessage) -> Reply:
    return Reply(before=calls, last=turn.say().last)
