"""The server: HTTP in front of the world, and what tests and a practice page hold in their hands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web

from bot.practice.calls import Call, Via, cut, refusal
from bot.practice.faults import EVERY_METHOD, Fault, Faults
from bot.practice.groups import Channel, Group
from bot.practice.methods_bot import BotMethods
from bot.practice.methods_messages import MessageMethods
from bot.practice.parameters import Parameters, read_body, read_form
from bot.practice.people import Person
from bot.practice.refusals import Refused
from bot.practice.updates import Update, UpdateQueue
from bot.practice.webhook import Delivery, Pace, Webhook
from bot.practice.world import Chat, Clock, Event, Json, MachineClock, User, World

PRACTICE_TOKEN = "1000000001:practice-token-opens-nothing-at-all"  # noqa: S105 - a fixed word, no secret
LARGEST_BODY = 50 * 1024 * 1024


async def _at_once() -> None:
    return


class LocalBotAPI:
    """A Bot API server for one bot on loopback, its state in memory.

    `tokens`: those accepted, all of the same bot. `pace`: webhook retries and timeout in seconds. `before_answer`
    may be set: it is awaited between the effect of a call and its answer, by who must keep the one before the other.
    """

    def __init__(
        self,
        *tokens: str,
        username: str = "practice_bot",
        name: str = "Practice",
        clock: Clock | None = None,
        pace: Pace | None = None,
        first_update_id: int = 700_000_001,
    ) -> None:
        self._tokens = tokens or (PRACTICE_TOKEN,)
        bot_id, *others = {int(token.partition(":")[0]) for token in self._tokens}
        if others:
            raise ValueError("all tokens must be of one bot: the number before the colon differs")
        bot = User(bot_id, name, is_bot=True, username=username)
        self.world = World(bot, clock or MachineClock())
        self.calls: list[Call] = []
        self.before_answer: Callable[[], Awaitable[None]] = _at_once
        self._next_call = 1
        self._people: dict[int, Person] = {}
        self._faults = Faults()
        self.queue = UpdateQueue(self.world.clock, first_update_id, self.world.changed)
        self._webhook = Webhook(self.queue, self.world.clock, pace or Pace(), self._execute_reply, self.world.changed)
        self._about_bot = BotMethods(self.world, self.queue, self._webhook)
        tables = (self._about_bot.table(), MessageMethods(self.world).table())
        self._methods = {name.lower(): (name, method) for table in tables for name, method in table.items()}
        self._runner: web.AppRunner | None = None
        self._address = ("127.0.0.1", 0)

    @property
    def token(self) -> str:
        """The first token the server accepts."""
        return self._tokens[0]

    @property
    def base_url(self) -> str:
        """The server's address, without a slash at the end."""
        return f"http://{self._address[0]}:{self._address[1]}"

    @property
    def people(self) -> list[Person]:
        """Everybody there is, in the order they came."""
        return list(self._people.values())

    @property
    def refusals(self) -> list[Call]:
        """The calls refused for what they were; faults asked for are not among them."""
        return [call for call in self.calls if not call.ok and not call.injected]

    @property
    def polling(self) -> bool:
        """Whether a bot waits for updates right now."""
        return self._about_bot.waiting_polls > 0

    @property
    def deliveries(self) -> list[Delivery]:
        """Every try to deliver an update to the webhook."""
        return self._webhook.deliveries

    @property
    def updates(self) -> list[Update]:
        """Every update there ever was, oldest first."""
        return list(self.queue.all.values())

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Serve; port 0 takes a free one."""
        application = web.Application(client_max_size=LARGEST_BODY)
        application.router.add_route("*", "/bot{token}/{method}", self._serve)
        application.router.add_route("*", "/{anything:.*}", self._serve_unknown)
        # A poll whose client is gone must end, or it would take the updates of the next one.
        self._runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=1, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        self._address = (host, int(self._runner.addresses[0][1]))

    async def stop(self) -> None:
        """End deliveries and serving; the state stays."""
        await self._webhook.stop()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def person(
        self,
        telegram_id: int,
        first_name: str = "Ира",
        language_code: str | None = "ru",
        phone: str = "+79161234567",
        username: str | None = None,
    ) -> Person:
        """Return the person with this Telegram id, new on the first call."""
        if telegram_id not in self._people:
            user = User(telegram_id, first_name, username=username, language_code=language_code)
            person = Person(self.world, self._add_update, self._all_handled, user, phone)
            self._people[telegram_id] = person
            self.world.users[telegram_id] = user
            self.world.chats[telegram_id] = person.private
        return self._people[telegram_id]

    def group(self, chat_id: int, title: str) -> Group:
        """Return the supergroup with this (negative) id."""
        return Group(self.world, self.world.chats.setdefault(chat_id, Chat(chat_id, "supergroup", title)))

    def channel(self, chat_id: int, title: str) -> Channel:
        """Return the channel with this (negative) id."""
        chat = self.world.chats.setdefault(chat_id, Chat(chat_id, "channel", title))
        return Channel(self.world, self._add_update, chat)

    def commands(self, language_code: str | None) -> list[Json]:
        """Return the commands a client of this language lists."""
        return self._about_bot.commands_for(language_code or "")

    def subscribe(self) -> AsyncIterator[Event]:
        """Return what people see change from now on, without an end."""
        return self.world.stream()

    async def until(self, holds: Callable[[], bool], timeout: float = 10) -> None:
        """Return once `holds()`, looked at whenever anything changes here; raises TimeoutError."""
        await self.world.until(holds, timeout)

    def flood(self, method: str = EVERY_METHOD, times: int = 1, retry_after: int = 1) -> None:
        """Answer the next calls with 429 and `retry_after` seconds."""
        self._faults.add(Fault("flood", method, seconds=retry_after), times)

    def fail(self, method: str = EVERY_METHOD, times: int = 1, status: int = 500, page: bool = False) -> None:
        """Answer the next calls with 500 or 502; `page`: with a web page instead of JSON, as a balancer does."""
        self._faults.add(Fault("page" if page else "fail", method, status=status), times)

    def drop(self, method: str = EVERY_METHOD, times: int = 1, after: bool = False) -> None:
        """Cut the connection of the next calls; `after`: once the call has had its effect."""
        self._faults.add(Fault("lose" if after else "drop", method), times)

    def delay(self, seconds: float, method: str = EVERY_METHOD, times: int = 1) -> None:
        """Let the next calls wait before anything happens."""
        self._faults.add(Fault("delay", method, seconds=seconds), times)

    def calm(self) -> None:
        """Forget the faults that have not struck yet."""
        self._faults.clear()

    def restart_update_ids(self, at: int) -> None:
        """Give the next update the id `at`, as Telegram does after an idle week."""
        self.queue.restart_ids(at)

    def duplicate_next(self, copies: int) -> None:
        """Deliver the next update to the webhook in `copies` parallel requests; one answer is executed."""
        self._webhook.duplicate_next(copies)

    async def redeliver(self, update_id: int, times: int = 1, parallel: bool = True) -> list[str]:
        """Hand an old update out again: to the webhook, returning its answers unexecuted, or to the next polls."""
        update = self.queue.all[update_id]
        if self._webhook.active:
            return await self._webhook.again(update, times, parallel)
        for _ in range(times):
            self.queue.again(update)
        return []

    def _add_update(self, kind: str, body: Json, chat_id: int, author: int) -> None:
        self.queue.add(kind, body, chat_id, author)
        self._webhook.wake()

    def _all_handled(self, author: int) -> bool:
        return all(update.author != author for update in self.queue.pending())

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["method"]
        try:
            if request.match_info["token"] not in self._tokens:
                raise Refused(401, "Unauthorized")
            parameters = await read_body(request.headers, request.content_type, await request.read())
            parameters.values = read_form(request.query_string) | parameters.values
        except Refused as refused:
            self._record(name, Parameters(), "http", refused=refused)
            return refusal(refused)
        fault = self._faults.take(name)
        try:
            if fault is not None and (answer := await self._strike(fault, name, parameters, request)) is not None:
                return answer
            result = await self._execute(name, parameters, "http")
            await self.before_answer()
        except Refused as refused:
            return refusal(refused)
        if fault is not None and fault.kind == "lose":
            return cut(request)
        return web.json_response({"ok": True, "result": result})

    async def _serve_unknown(self, request: web.Request) -> web.Response:
        return refusal(Refused(404, "Not Found"))

    async def _strike(
        self, fault: Fault, name: str, parameters: Parameters, request: web.Request
    ) -> web.StreamResponse | None:
        """Let a fault happen before the call; None when the call goes on."""
        if fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
        if fault.kind in ("delay", "lose"):
            return None
        refused = Refused(fault.status, {502: "Bad Gateway"}.get(fault.status, "Internal Server Error"))
        if fault.kind == "flood":
            wait = int(fault.seconds)
            refused = Refused(429, f"Too Many Requests: retry after {wait}", retry_after=wait)
        self._record(name, parameters, "http", refused=refused, injected=True)
        if fault.kind == "drop":
            return cut(request)
        if fault.kind == "page":
            page = f"<html><head><title>{fault.status}</title></head><body></body></html>"
            return web.Response(status=fault.status, text=page, content_type="text/html")
        return refusal(refused)

    async def _execute_reply(self, name: str, parameters: Parameters) -> object:
        return await self._execute(name, parameters, "webhook")

    async def _execute(self, name: str, parameters: Parameters, via: Via) -> object:
        try:
            if name.lower() not in self._methods:
                raise Refused(404, "Not Found")
            name, method = self._methods[name.lower()]
            result = await method(parameters)
        except Refused as refused:
            self._record(name, parameters, via, refused=refused)
            raise
        # An empty poll says nothing, and there are many.
        if name != "getUpdates" or result:
            self._record(name, parameters, via, result)
        return result

    def _record(
        self,
        name: str,
        parameters: Parameters,
        via: Via,
        result: object = None,
        *,
        refused: Refused | None = None,
        injected: bool = False,
    ) -> None:
        code, words = (refused.code, refused.description) if refused else (200, "")
        number, now = self._next_call, self.world.clock.now()
        readable = parameters.readable()
        self.calls.append(Call(number, now, name, readable, via, refused is None, result, code, words, injected))
        self._next_call += 1
        self.world.changed()

    def remember(self, calls: list[Call]) -> None:
        """Put calls of an earlier run into the record; what comes is numbered after them."""
        self.calls = calls
        self._next_call = max((call.id for call in calls), default=0) + 1
