"""What one person's updates meet on three live replicas behind a balancer: forged, repeated, at once, refused."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from bot.practice import LocalBotAPI
from bot.practice.webhook import Pace
from bot.valkey import Valkey
from storage.redis import connect
from tests.conftest import Postgres
from tests.fakes.smsc import FakeSmsc, Fault
from tests.journeys.stage import Outside, Registrant
from tests.process.bot_process import BotProcess, forgive_harmless
from tests.process.conftest import SECRET
from tests.process.replicas import STARTED_WITHIN, Replicas, replicas
from tests.process.walker import STEPS, Walker
from tests.waiting import until

HEADER = "X-Telegram-Bot-Api-Secret-Token"
RIGHT = SECRET.replace(" ", "-")
FORGED = (None, "", "wrong", RIGHT[:-1], RIGHT + "k", RIGHT.upper(), "ё" * len(RIGHT), "\t" + RIGHT[1:])
# Seconds, on a machine that does other things too.
SOON = 60

pytestmark = pytest.mark.timeout(400)


class PatientSmsc(FakeSmsc):
    """A carrier that answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def _send(self, request: web.Request) -> web.StreamResponse:
        await self.may_answer.wait()
        return await super()._send(request)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def three(
    postgres: Postgres, valkey: Valkey, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Replicas]:
    """Three processes on one PostgreSQL and one Valkey, for all tests here."""
    redis = connect(valkey.url)
    await redis.flushall()
    await redis.aclose()
    api, smsc = LocalBotAPI(pace=Pace(pause=0.5, longest_pause=2)), PatientSmsc()
    await api.start()
    await smsc.start()
    outside, folder = Outside(api, smsc), tmp_path_factory.mktemp("replicas")
    with postgres.fresh("migrated") as url:
        stores = {"database_url": url, "redis_url": valkey.url}
        # A call to the carrier must outlast what a test does meanwhile.
        async with replicas(
            outside, "webhook", 3, folder, **stores, GATEWAY_TIMEOUT="60s", OUTBOX_LEASE="120s"
        ) as three:
            yield three
    await api.stop()
    await smsc.stop()


@pytest.fixture(params=[1, 3], ids=["one", "all"])
def served_by(request: pytest.FixtureRequest, three: Replicas) -> Iterator[Replicas]:
    """The balancer gives to one replica only, or to all of them in turn."""
    ports = three.balancer.ports
    three.balancer.ports = ports[: request.param]
    yield three
    three.balancer.ports = ports


@pytest.fixture(autouse=True)
def nothing_was_refused(three: Replicas) -> Iterator[None]:
    yield
    assert three.outside.api.refusals == [], "Telegram refused a call"


def update_of(ira: Registrant) -> int:
    """Return the id of this person's newest update."""
    return next(update.id for update in reversed(ira.stage.api.updates) if update.author == ira.id)


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


async def test_f38_update_ids_that_restart_lower_are_handled(three: Replicas) -> None:
    ira = three.outside.someone()
    await ira.reaches_phone()
    three.outside.api.restart_update_ids(5)
    await ira.says(ira.phone)
    await ira.finishes()


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
