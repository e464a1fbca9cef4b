"""Everything that may go wrong while people register, one after the other: what a log and an error page are made of."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web

from bot.practice.refusals import bad_request
from tests.fakes.smsc import FakeSmsc, Fault
from tests.journeys.stage import Outside, Registrant
from tests.process.bot_process import BotProcess
from tests.process.leaks import Sensitive, spellings_of_a_number
from tests.waiting import until

# Seconds. A call to the carrier, and what a person waits for when a store was away or the carrier was asked again.
GATEWAY_TIMEOUT, LEASE = 2, 4
PATIENCE = 60


class TalkativeSmsc(FakeSmsc):
    """A carrier whose every error repeats what it was sent: the password, the number and the code."""

    def __init__(self, login: str, password: str) -> None:
        super().__init__(login, password)
        self._said = ""

    def refusal(self, code: int | str, request: web.Request) -> web.Response:
        return web.json_response({"error": f"denied: {self._said}", "error_code": code})

    async def _send(self, request: web.Request) -> web.StreamResponse:
        self._said = (await request.read()).decode()
        answer = await super()._send(request)
        if isinstance(answer, web.Response) and answer.status != 200:
            return web.Response(status=answer.status, text=f"{request.url}?{self._said}", headers={"Retry-After": "1"})
        return answer


class Site:
    """The bot's own HTTP routes, and everything they have answered."""

    def __init__(self, port: int) -> None:
        self.answers: list[str] = []
        self.statuses: set[int] = set()
        self._port = port

    async def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, str]:
        """Return the status and the text of the answer."""
        url = f"http://127.0.0.1:{self._port}{path}"
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(
                method, url, data=io.BytesIO(body) if body else None, headers=headers, allow_redirects=False
            ) as answer,
        ):
            text = await answer.text(errors="replace")
            self.answers.append(f"{answer.status} {answer.reason}\n{dict(answer.headers)}\n{text}")
            self.statuses.add(answer.status)
            return answer.status, text

    async def says(self, words: bytes) -> None:
        """Say something that is no HTTP, and keep what comes back until the other side hangs up.

        The server shows who sent a malformed line that very line, and nobody else: it is left out.
        """
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(words)
        answer = (await asyncio.wait_for(reader.read(), PATIENCE)).decode(errors="replace")
        writer.close()
        assert answer.startswith("HTTP/1.0 400"), answer
        for line in words.split(b"\r\n"):
            answer = answer.replace(repr(line), "<the line>")
        self.answers.append(answer)


@dataclass(frozen=True)
class Store:
    """SQL or Redis, which can be taken away."""

    takes_away: Callable[[], Awaitable[object]]
    brings_back: Callable[[], Awaitable[object]]


class FullRun:
    """People, and everything that happens to them; what must not be seen of it is collected in `sensitive`."""

    def __init__(self, outside: Outside, bot: BotProcess, sensitive: Sensitive) -> None:
        self.outside = outside
        self.bot = bot
        self.sensitive = sensitive
        self._people: list[Registrant] = []

    def someone(self, language: str = "ru") -> Registrant:
        """Return a new person, whose address has signs that few have."""
        ira = self.outside.someone(language)
        ira.email = f"ira!o'hara+{ira.id}@mail.example.org" if ira.id % 2 else f"ira.ivanova{ira.id}@example.org"
        self.sensitive.addresses.add(ira.email)
        self.sensitive.numbers.add(ira.phone)
        self._people.append(ira)
        return ira

    def codes(self) -> None:
        """Add every code that was sent, and every token and ticket in a link that somebody was given."""
        for ira in self._people:
            links = [button.url or "" for message in ira.person.chat for button in message.buttons]
            for n, secret in enumerate(set(re.findall(r"(?:token|ticket)=([^&\s]+)", " ".join(links)))):
                # Of a token the part that nobody can do without: its signature.
                self.sensitive.secrets[f"link {n} of {ira.id}"] = secret.rpartition(".")[2]
            texts = self.outside.smsc.inbox(ira.phone)
            self.sensitive.codes |= {
                word for text in texts for word in text.split() if word.isdigit() and len(word) == 6
            }

    async def people_register(self) -> None:
        """By a number written in several ways, by contact, after mistakes, after a resend; one update comes twice."""
        await asyncio.gather(
            *(self._types(spelling) for spelling in (4, 5, 6)),
            self._shares(), self._is_confused(), self._asks_again("en"),
        )  # fmt: skip
        await self.outside.api.redeliver(self.outside.api.updates[-1].id)

    async def _types(self, spelling: int) -> None:
        ira = self.someone()
        await ira.reaches_phone()
        await ira.says(spellings_of_a_number(ira.phone)[spelling])
        code = await ira.code()
        await ira.says(f"{(int(code) + 1) % 1_000_000:06}")
        await ira.says(f"Ваш код:\n{code[:3]}-{code[3:]}")
        ira.expects("registration-done")

    async def _shares(self) -> None:
        ira = self.someone()
        await ira.reaches_phone()
        await ira.taps(ira.label("button-share-contact"))
        await ira.finishes()

    async def _is_confused(self) -> None:
        """Say everything at the wrong place."""
        ira, other = self.someone(), self.someone()
        await ira.says("/start r_ABCDEFGH-p_SPRING")
        await ira.says(ira.phone)
        await ira.says(ira.email.replace("@", "@@"))
        await ira.says(ira.email.partition("@")[0] + "@mailinator.com")
        await ira.reaches_phone()
        await ira.says(ira.email)
        await ira.shares_contact(of=other.person)
        await ira.shares_contact(forwarded=True)
        await ira.says(other.phone[:-2])
        await ira.says(ira.phone)
        message = await ira.person.send(f"{ira.email} {ira.phone}")
        await ira.person.edit(message, f"123456 {ira.phone} {ira.email}")
        await ira.person.press_data(f"code:{ira.phone}:{ira.email}", ira.person.answers[-1])
        await ira.person.sticker()
        await ira.says(f"/delete {ira.phone}")
        await ira.says(f"/promo {ira.email}")
        await ira.says("/start")
        await ira.finishes()

    async def _asks_again(self, language: str) -> None:
        ira = self.someone(language)
        await ira.reaches_code()
        await ira.code()
        await ira.presses(ira.label("button-code-missing"))
        told = ira.last()
        # The message with the seconds is edited when they are over.
        await self.outside.api.until(lambda: ira.last() != told, PATIENCE)
        await ira.presses(ira.label("button-resend"))
        await ira.says(await ira.code(count=2))
        ira.expects("registration-done")

    async def carrier_fails(self, faults: Sequence[Fault]) -> None:
        """Let somebody ask for a code at each of these faults, and somebody else register afterwards."""
        for fault in faults:
            ira = self.someone()
            await ira.reaches_phone()
            self.outside.smsc.faults.append(fault)
            await ira.says(ira.phone)
            await until(lambda: not self.outside.smsc.faults, PATIENCE)
        await self.somebody_registers()

    async def somebody_registers(self, seconds: float = PATIENCE) -> None:
        """Show that the bot works."""
        ira = self.someone()
        await ira.reaches_code()
        await self.outside.smsc.wait_for(ira.phone, timeout=seconds)
        await ira.finishes()

    async def telegram_fails(self) -> None:
        """Errors of every kind, a web page instead of JSON, a refusal that repeats everything."""
        api = self.outside.api
        for misbehave in (api.fail, api.drop, lambda method: api.fail(method, status=502, page=True), api.flood):
            ira = self.someone()
            await ira.reaches_code()
            code = await ira.code()
            misbehave("sendMessage")
            await ira.person.send(code)
            await ira.person.settled(PATIENCE)
            await ira.says("/start")
            ira.expects("registration-done")
        ira = self.someone()
        await ira.reaches_code()
        self.refused_once(
            ira,
            "registration-done",
            f"can't parse\n{ira.phone}\t{ira.email} \xa0{await ira.code()} of {self.bot_token}",
        )
        await ira.says(await ira.code())
        await ira.says("/start")
        ira.expects("registration-done")

    async def a_notice_is_refused(self) -> None:
        """The carrier knows no such number, and Telegram repeats it."""
        ira = self.someone()
        await ira.reaches_phone()
        self.outside.smsc.faults.append(Fault(error_code=7))
        self.refused_once(ira, "notice-code-undeliverable", f"no rights to write to {ira.phone[1:]}и {ira.email}")
        await ira.says(ira.phone)
        await until(lambda: self.bot.log_says("Telegram refuses a notice") > 0, PATIENCE)

    @property
    def bot_token(self) -> str:
        return self.outside.api.token

    def refused_once(self, ira: Registrant, key: str, words: str) -> None:
        """Have this person's next message with this text (by key) refused with these words."""
        api = self.outside.api
        at_once = api.before_answer

        async def refuse() -> None:
            if ira.said(re.sub("<[^>]+>", "", str(api.calls[-1].parameters.get("text"))), key):
                api.before_answer = at_once
                raise bad_request(words)

        api.before_answer = refuse

    async def a_store_goes(self, store: Store, site: Site) -> None:
        """Let somebody write while it is away; they register when it is back."""
        ira = self.someone()
        await ira.reaches_code()
        code = await ira.code()
        waited = self.bot.log_says("storage is away")
        await store.takes_away()
        await ira.person.send(code)
        for path in ("/readyz", "/healthz", "/metrics"):
            await site.ask("GET", path)
        await until(lambda: self.bot.log_says("is away") > waited, PATIENCE)
        await store.brings_back()
        await ira.person.settled(PATIENCE)
        ira.expects("registration-done")

    async def a_handler_has_a_bug(
        self, breaks: Callable[[], Awaitable[Any]], mends: Callable[[], Awaitable[Any]]
    ) -> None:
        """Let the database say no, with the person's number and address in its words."""
        ira = self.someone()
        await ira.reaches_phone()
        await breaks()
        await ira.says(ira.phone)
        ira.expects("apology")
        await mends()
        await ira.says(ira.phone)
        await ira.finishes()
