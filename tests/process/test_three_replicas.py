"""What one person's updates meet on three live replicas behind a balancer: forged, repeated, at once."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Iterator
from typing import Any

import aiohttp
import pytest

from tests.journeys.stage import Registrant
from tests.process.bot_process import BotProcess
from tests.process.conftest import SECRET
from tests.process.replicas import Replicas
from tests.process.three_replicas import SOON, nothing_was_refused, three, update_of
from tests.process.walker import STEPS, Walker

__all__ = ["nothing_was_refused", "three"]

HEADER = "X-Telegram-Bot-Api-Secret-Token"
RIGHT = SECRET.replace(" ", "-")
FORGED = (None, "", "wrong", RIGHT[:-1], RIGHT + "k", RIGHT.upper(), "ё" * len(RIGHT), "\t" + RIGHT[1:])

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(params=[1, 3], ids=["one", "all"])
def served_by(request: pytest.FixtureRequest, three: Replicas) -> Iterator[Replicas]:
    """The balancer gives to one replica only, or to all of them in turn."""
    ports = three.balancer.ports
    three.balancer.ports = ports[: request.param]
    yield three
    three.balancer.ports = ports


async def posted(bot: BotProcess, update: dict[str, Any], secret: str | None = RIGHT) -> tuple[int, str]:
    """Give an update to one replica past the balancer."""
    headers = {} if secret is None else {HEADER: secret}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"http://127.0.0.1:{bot.port}/telegram", json=update, headers=headers) as response,
    ):
        return response.status, await response.text()


async def test_t12_a_forged_update_has_no_effect_on_any_replica(three: Replicas) -> None:
    ira = three.outside.someone()
    chat = {"id": ira.id, "type": "private"}
    sender = {"id": ira.id, "is_bot": False, "first_name": "E"}
    message = {"message_id": 1, "date": 1, "chat": chat, "from": sender, "text": "/start"}
    for number, (bot, secret) in enumerate(itertools.product(three.bots, FORGED), start=1):
        assert await posted(bot, {"update_id": number, "message": message}, secret) == (401, "unauthorized")
    # Of what is called meanwhile, such as announcing the commands, nothing is about her.
    assert [call for call in three.outside.api.calls if str(ira.id) in str(call.parameters)] == []
    assert await three.rows(f"SELECT update_id FROM applied_updates WHERE telegram_id = {ira.id}") == []
    # Neither the token nor the secret stands where addresses are written down.
    hooks = [call.parameters["url"] for call in three.outside.api.calls if call.method == "setWebhook"]
    assert len(hooks) == 3
    logs = [bot.log.read_text() for bot in three.bots]
    for text in (*hooks, *logs):
        assert RIGHT not in text
        assert three.outside.api.token.partition(":")[2] not in text
    await ira.registers()


async def ten_times(three: Replicas, ira: Registrant, act: Awaitable[object]) -> dict[str, Any] | None:
    """Do something whose update Telegram gives ten times at once; returns the one answer all ten got."""
    three.outside.api.duplicate_next(10)
    await act
    await ira.person.settled(SOON)
    given = [delivery for delivery in three.outside.api.deliveries if delivery.update_id == update_of(ira)]
    assert [delivery.status for delivery in given] == [200] * 10
    (body,) = {delivery.body for delivery in given}
    return json.loads(body) if body else None


async def test_t13_f30_the_same_update_ten_times_at_once_at_every_step(served_by: Replicas) -> None:
    three = served_by
    undisturbed = Walker(three.outside.someone())
    await undisturbed.walks(len(STEPS), SOON)
    ira = three.outside.someone()

    def says(answer: dict[str, Any] | None, key: str) -> bool:
        return answer is not None and answer["method"] == "sendMessage" and ira.said(ira.last(), key)

    async def rows(what: str) -> list[tuple[Any, ...]]:
        return await three.rows(
            f"SELECT {what} FROM accounts a LEFT JOIN challenges c ON c.account_id = a.id"
            f" LEFT JOIN sends s ON s.challenge_id = c.id WHERE a.telegram_id = {ira.id}"
        )

    assert says(await ten_times(three, ira, ira.person.send("/start")), "registration-email-prompt")
    assert says(await ten_times(three, ira, ira.person.send("no address")), "registration-email-no-at")
    assert says(await ten_times(three, ira, ira.person.send(ira.email)), "registration-terms-prompt")
    answer = await ten_times(three, ira, ira.person.press(ira.label("terms-consent")))
    assert answer is not None
    assert answer["method"] == "answerCallbackQuery"
    assert ira.label("terms-consent-ticked") in ira.person.answers[-1].labels
    register = ira.person.press(ira.label("button-register"))
    assert says(await ten_times(three, ira, register), "registration-phone-prompt")
    assert await rows("a.status, count(*) OVER ()") == [("pending", 1)]
    assert says(await ten_times(three, ira, ira.person.send(ira.phone)), "registration-code-prompt")
    code = await ira.code()
    wrong = f"{(int(code) + 1) % 1_000_000:06d}"
    answer = await ten_times(three, ira, ira.person.send(wrong))
    assert answer is not None
    ira.expects("registration-code-wrong", 4)
    assert await rows("c.attempts") == [(1,)]
    # The end goes by HTTP, once; there is nothing left to say in the answers.
    assert await ten_times(three, ira, ira.person.send(code)) is None
    ira.expects("registration-done")
    assert await rows("a.status, c.attempts, s.state") == [("confirmed", 2, "accepted")]
    assert len(three.outside.smsc.inbox(ira.phone)) == 1
    # Two mistakes were answered; nothing else differs from who was given each update once.
    mistakes = (("registration-email-no-at", None), ("registration-code-wrong", 4))
    others = [text for text in ira.heard() if not any(ira.said(text, key, n) for key, n in mistakes)]
    assert len(ira.heard()) - len(others) == 2
    assert len(others) == len(undisturbed.story())


async def test_f31_a_press_and_a_message_of_one_person_at_once(three: Replicas) -> None:
    people = [three.outside.someone() for _ in range(10)]

    async def both(ira: Registrant) -> None:
        await ira.reaches_terms()
        prompt = ira.person.answers[-1]
        await asyncio.gather(
            ira.person.press(ira.label("terms-consent")), ira.person.send(ira.label("button-register"))
        )
        await ira.person.settled(SOON)
        # Whichever came first: the box is ticked, and the other was answered after or before it.
        assert ira.label("terms-consent-ticked") in prompt.labels
        if ira.said(ira.last(), "registration-terms-missing"):
            await ira.presses(ira.label("button-continue"))
            await ira.presses(ira.label("button-register"))
        ira.expects("registration-phone-prompt")
        await ira.says(ira.phone)
        await ira.finishes()

    await asyncio.gather(*(both(ira) for ira in people))


class Toggles:
    """Twenty presses of one box at once, each an update of its own; Telegram is slow to take the edits."""

    def __init__(self, three: Replicas, ira: Registrant) -> None:
        self.api = three.outside.api
        self.most_at_once = 0
        self._under_way = 0
        first = self.api.queue.next_id
        self.api.restart_update_ids(first + 20)
        box = ira.person.answers[-1]
        self.updates = [self._update(first + n, ira, box) for n in range(20)]

    def _update(self, update_id: int, ira: Registrant, box: Any) -> dict[str, Any]:
        press = self.api.world.press(ira.person.user, box, "terms:toggle")
        query = {"id": press.id, "from": ira.person.user.as_json(), "message": box.as_json(), "data": "terms:toggle"}
        return {"update_id": update_id, "callback_query": query | {"chat_instance": str(ira.id)}}

    async def slowly(self) -> None:
        """Between the effect of a call and its answer: whoever does not wait for their turn is seen here."""
        self._under_way += 1
        self.most_at_once = max(self.most_at_once, self._under_way)
        # Telegram's time, not ours: long enough for another replica to come in between.
        await asyncio.sleep(0.03)
        self._under_way -= 1


async def test_f32_two_replicas_never_handle_two_updates_of_one_person_at_a_time(three: Replicas) -> None:
    ira = three.outside.someone()
    await ira.reaches_terms()
    toggles, calls = Toggles(three, ira), len(three.outside.api.calls)

    async def given(number: int) -> None:
        # A replica that could not get the lock in time asks for the update again.
        while (await posted(three.bots[number % 2], toggles.updates[number]))[0] == 503:
            pass

    three.outside.api.before_answer, at_once = toggles.slowly, three.outside.api.before_answer
    await asyncio.gather(*(given(number) for number in range(20)))
    three.outside.api.before_answer = at_once
    assert toggles.most_at_once == 1
    # Each saw what the one before had left: on, off, on, off, with none lost.
    edits = [call for call in three.outside.api.calls[calls:] if call.method == "editMessageText"]
    assert len(edits) == 20
    ticked = [ira.label("terms-consent-ticked") in json.dumps(call.parameters, ensure_ascii=False) for call in edits]
    assert ticked == [True, False] * 10
    await ira.presses(ira.label("terms-consent"))
    await ira.presses(ira.label("button-register"))
    await ira.says(ira.phone)
    await ira.finishes()


async def test_f32_twenty_messages_at_once_are_answered_in_order(three: Replicas) -> None:
    ira = three.outside.someone()
    await ira.says("/start")
    for number in range(20):
        await ira.person.send(f"word@bad_domain{number}")
    await ira.person.settled(SOON)
    named = [text for text in ira.heard() if "bad_domain" in text]
    assert [f"bad_domain{number}" in text for number, text in enumerate(named)] == [True] * 20
    await ira.says(ira.email)
    ira.expects("registration-terms-prompt")


async def test_f38_update_ids_that_restart_lower_are_handled(three: Replicas) -> None:
    ira = three.outside.someone()
    await ira.reaches_phone()
    three.outside.api.restart_update_ids(5)
    await ira.says(ira.phone)
    await ira.finishes()
