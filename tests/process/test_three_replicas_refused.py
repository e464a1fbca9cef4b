"""What three live replicas do when Telegram takes no call, the person or a message is gone, or one of them dies."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes.smsc import Fault
from tests.process.bot_process import BotProcess, forgive_harmless
from tests.process.replicas import STARTED_WITHIN, Replicas
from tests.process.three_replicas import SOON, PatientSmsc, nothing_was_refused, three, update_of
from tests.waiting import until

__all__ = ["nothing_was_refused", "three"]

pytestmark = pytest.mark.timeout(400)


async def test_f34_telegram_that_takes_no_calls_for_a_while(three: Replicas) -> None:
    """An edit and the final message meet 429 and 500: the update comes again, and nothing is done twice."""
    api, ira = three.outside.api, three.outside.someone()
    await ira.reaches_terms()
    api.flood("editMessageText", retry_after=1)
    await ira.presses(ira.label("terms-consent"))
    await ira.presses(ira.label("button-register"))
    await ira.says(ira.phone)
    code = await ira.code()
    api.flood("sendMessage", retry_after=2)
    api.fail("sendMessage")
    await ira.person.send(code)
    await ira.person.settled(SOON)
    assert [ira.said(text, "registration-done") for text in ira.heard()].count(True) == 1
    # A replica that was not given the flood waits for nothing: `retry_after` went to Telegram as Retry-After.
    tries = [delivery.status for delivery in api.deliveries if delivery.update_id == update_of(ira)]
    assert tries == [503, 503, 200]
    assert await three.rows(f"SELECT status FROM accounts WHERE telegram_id = {ira.id}") == [("confirmed",)]
    assert await three.rows(
        f"SELECT c.attempts FROM challenges c JOIN accounts a ON a.id = c.account_id WHERE a.telegram_id = {ira.id}"
    ) == [(1,)]


async def test_f34_a_notice_that_meets_429_is_sent_later_and_once(three: Replicas) -> None:
    api, smsc, ira = three.outside.api, three.outside.smsc, three.outside.someone()
    assert isinstance(smsc, PatientSmsc)
    await ira.reaches_phone()
    calls = len(api.calls)
    smsc.faults.append(Fault(error_code=8))
    smsc.may_answer.clear()
    await ira.says(ira.phone)
    # Nothing but the notice calls sendMessage from here on.
    api.flood("sendMessage", retry_after=2)
    smsc.may_answer.set()
    await api.until(lambda: ira.was_told("notice-code-undeliverable"), SOON)
    notices = [call for call in api.calls[calls:] if ira.said(str(call.parameters), "notice-code-undeliverable")]
    assert [call.ok for call in notices] == [False, True]
    assert (notices[1].at - notices[0].at).total_seconds() >= 2
    await ira.says("/back")
    other = f"+7903{ira.id:07d}"
    await ira.says(other)
    await ira.says(await ira.code(other))
    ira.expects("registration-done")


async def test_f35_an_answer_that_the_person_has_blocked_is_remembered_until_they_come_back(three: Replicas) -> None:
    ira = three.outside.someone()
    await ira.reaches_code()
    code = await ira.code()

    async def blocked() -> bool:
        query = f"SELECT blocked_at IS NOT NULL, status FROM accounts WHERE telegram_id = {ira.id}"
        ((is_blocked, status),) = await three.rows(query)
        assert status == ("confirmed" if is_blocked else status)
        return bool(is_blocked)

    # They block the bot while the update is under way; Telegram's own word of it comes later, or never.
    await ira.person.send(code)
    ira.person.private.blocked = True
    await ira.person.settled(SOON)
    await until(blocked, SOON)
    (refused,) = three.outside.api.refusals
    assert "blocked" in refused.description
    three.outside.api.calls.remove(refused)
    assert not ira.was_told("registration-done")
    await ira.person.unblock()
    await ira.person.settled(SOON)
    assert not await blocked()
    await ira.says("/start")
    ira.expects("registration-done")


async def test_f36_a_message_that_was_deleted_meanwhile_is_shown_anew(three: Replicas) -> None:
    ira = three.outside.someone()
    await ira.reaches_terms()
    box = ira.person.answers[-1]
    three.outside.api.world.delete(box)
    await ira.person.press_data("terms:toggle", box)
    await ira.person.settled(SOON)
    (gone,) = three.outside.api.refusals
    assert "message to edit not found" in gone.description
    three.outside.api.calls.remove(gone)
    ira.expects("terms-sentence-ticked")
    await ira.presses(ira.label("button-register"))
    await ira.says(ira.phone)
    await ira.finishes()
    assert forgive_harmless(three.outside.api) == []


async def test_f40_killed_between_the_commit_and_the_conversation(three: Replicas) -> None:
    """The hole that a random death seldom hits: the database has it, the answer is half said, nothing is saved."""
    api, ira = three.outside.api, three.outside.someone()
    await ira.reaches_phone()
    at_once = api.before_answer
    revived: list[asyncio.Task[None]] = []

    async def dies_and_comes_back(victim: BotProcess) -> None:
        # The SMS leaves before; else it would only be sent after the lease of the dead.
        await until(lambda: bool(three.outside.smsc.inbox(ira.phone)), SOON)
        await victim.kill()
        await victim.start(STARTED_WITHIN)

    async def never_answered() -> None:
        if api.calls[-1].method == "sendMessage":
            api.before_answer = at_once
            victim = three.bots[three.balancer.given[-1][1]]
            revived.append(asyncio.create_task(dies_and_comes_back(victim)))
            # Ends with the connection of the dead.
            await asyncio.Event().wait()

    async def says_and_it_dies(text: str) -> None:
        api.before_answer = never_answered
        await ira.person.send(text)
        await ira.person.settled(SOON)
        await asyncio.gather(*revived)
        assert api.before_answer is at_once
        assert three.balancer.tries[update_of(ira)] > 1

    await says_and_it_dies(ira.phone)
    ira.expects("registration-code-prompt")
    await says_and_it_dies(await ira.code())
    ira.expects("registration-done")
    told = ("phone-accepted", "code-prompt", "done")
    counts = [sum(ira.said(text, f"registration-{key}") for text in ira.heard()) for key in told]
    assert counts == [2, 1, 2], "what goes by HTTP was said before the death, and again"
    assert len(revived) == 2
    assert await three.rows(
        "SELECT a.status, c.attempts, count(*) OVER () FROM sends s JOIN challenges c ON c.id = s.challenge_id"
        f" JOIN accounts a ON a.id = c.account_id WHERE a.telegram_id = {ira.id}"
    ) == [("confirmed", 1, 1)]
    assert len(three.outside.smsc.inbox(ira.phone)) == 1
