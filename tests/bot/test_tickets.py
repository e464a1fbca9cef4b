"""What the bot signs for its pages: tickets, and the codes of Facebook's deletion requests with what these do."""

from __future__ import annotations

import re
import string
from datetime import timedelta
from random import Random

import aiohttp
import pytest

from bot.tickets import DeletionCodes, ExpiredTicket, Ticket, Tickets
from storage.keys import Keys
from storage.tables import identities
from tests.bot.social_pages import stage
from tests.fakes.surfer import Surfer
from tests.journeys.social_stage import SocialStage, links, page_says
from tests.storage.world import SECRET, MovableClock

__all__ = ["stage"]


def test_a_ticket_proves_whose_chat_it_stood_in() -> None:
    clock, keys = MovableClock(), Keys(SECRET)
    tickets = Tickets(keys, timedelta(minutes=10))
    for ticket in (Ticket(1, "ru"), Ticket(2**52, "en")):
        text = tickets.make(ticket, clock.now())
        assert re.fullmatch(r"[A-Za-z0-9_-]+", text)
        assert tickets.read(text, clock.now()) == ticket
        for place in range(0, len(text), 3):
            other = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
            assert tickets.read(other, clock.now()) is None
        assert Tickets(Keys(SECRET + "2"), timedelta(minutes=10)).read(text, clock.now()) is None
        assert Tickets(Keys(SECRET + "2", SECRET), timedelta(minutes=10)).read(text, clock.now()) == ticket
        with pytest.raises(ExpiredTicket):
            tickets.read(text, clock.now() + timedelta(minutes=10))
    assert tickets.read(DeletionCodes(keys, lambda n: b"1" * n).make(), clock.now()) is None


@pytest.mark.parametrize("chance", range(8))
def test_a_deletion_code_has_one_spelling(chance: int) -> None:
    """Its last sign has bits to spare, which base64 reads over."""
    codes = DeletionCodes(Keys(SECRET), Random(chance).randbytes)
    code = codes.make()
    signs = string.ascii_letters + string.digits + "-_"
    assert [sign for sign in signs if codes.is_ours(code[:-1] + sign)] == [code[-1]]
    assert not any(codes.is_ours(other) for other in (f"{code}=", f"{code}==", f"{code}\n", f" {code}", code[:-1], ""))


async def deletes(stage: SocialStage, request: str) -> tuple[int, dict[str, str]]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{stage.base_url}/oauth/facebook/deletion", data={"signed_request": request}) as response,
    ):
        return response.status, await response.json()


async def test_facebooks_deletion_request(stage: SocialStage) -> None:
    """What came from there goes at once; the code and the page say so; the registration stays."""
    ira, other = stage.someone(), stage.graph.user("Other", None)
    facebook = stage.graph.user("Ира", "ira@example.org")
    await ira.registers()
    await ira.says("/settings")
    await links(ira, facebook)
    now = int(stage.clock.now().timestamp())
    assert (await deletes(stage, stage.graph.signed_request(facebook.id, now, secret="forged")))[0] == 400
    assert await stage.linked(facebook.id) == ira.id
    status, answer = await deletes(stage, stage.graph.signed_request(facebook.id, now))
    assert status == 200
    assert answer["url"] == f"{stage.base_url}/oauth/facebook/deletion/{answer['confirmation_code']}"
    assert await stage.linked(facebook.id) is None
    await ira.is_told("notice-identity-withdrawn")
    async with Surfer() as surfer:
        await surfer.open(answer["url"])
        assert surfer.status == 200
        assert page_says(ira, surfer, "page-deleted")
        await surfer.open(answer["url"][:-1] + ("A" if answer["url"][-1] != "A" else "B"))
        assert surfer.status == 404
    # Nobody there is deleted as well, and Facebook is told so.
    assert (await deletes(stage, stage.graph.signed_request(other.id, now)))[0] == 200
    assert (await stage.account(ira)).status == "confirmed"


async def test_a_repeated_deletion_request_does_not_undo_a_later_link(stage: SocialStage) -> None:
    ira, facebook = stage.someone(), stage.graph.user("Ира", None)
    await ira.registers()
    await ira.says("/settings")
    await links(ira, facebook)
    request = stage.graph.signed_request(facebook.id, int(stage.clock.now().timestamp()))
    await deletes(stage, request)
    stage.clock.move(minutes=20)
    await ira.says("/settings")
    await links(ira, facebook)
    assert (await deletes(stage, request))[0] == 200
    assert await stage.linked(facebook.id) == ira.id
    assert len(await stage.rows(identities)) == 1
