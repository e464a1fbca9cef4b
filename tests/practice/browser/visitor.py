"""Somebody at the practice page, who finds things by what they are called, as a person or a screen reader does."""

from __future__ import annotations

import re
from typing import Any

from playwright.async_api import ConsoleMessage, Error, Locator, Page, Request, expect

from locales import Texts

TEXTS = Texts()
# What the page itself calls things, by its language; a wrong word here fails a test at once.
SAID = {
    "ru": {
        "start": "Запустить", "write": "Сообщение", "send": "Отправить", "share": "Поделиться", "cancel": "Отмена",
        "commands": "Команды бота", "keyboard": "Клавиатура бота", "ok": "ОК", "people": "Люди", "phone": "Телефон",
        "hide keyboard": "Скрыть клавиатуру бота", "show keyboard": "Показать клавиатуру бота", "log": "Сообщения",
        "edited": "изменено", "ask contact": "Поделиться номером телефона?", "chat": "Чат", "calls": "Вызовы",
        "note": "Это тренировка: ни одно сообщение не покидает этот компьютер.", "language": "Язык в Telegram",
        "add": "Добавить человека", "name": "Имя", "number": "Номер телефона", "block": "Заблокировать бота",
        "unblock": "Разблокировать", "foreign": "Чужой контакт", "forwarded": "Пересланный контакт",
        "sticker": "Стикер", "voice": "Голосовое", "old button": "Нажать старую кнопку", "save": "Сохранить",
        "edit older": "Изменить старое сообщение", "link": "Ссылка на бота", "open": "Открыть", "dark": "Тёмная тема",
        "light": "Светлая тема", "edit": "Изменить", "delete": "Удалить", "menu": "Действия с сообщением",
    },
    "en": {
        "start": "Start", "write": "Message", "send": "Send", "share": "Share", "cancel": "Cancel",
        "commands": "The bot's commands", "keyboard": "The bot's keyboard", "ok": "OK", "people": "People",
        "phone": "Phone", "hide keyboard": "Hide the bot's keyboard", "show keyboard": "Show the bot's keyboard",
        "log": "Messages", "edited": "edited", "ask contact": "Share your phone number?", "chat": "Chat",
        "calls": "Calls", "note": "This is practice: no message leaves this machine.",
        "language": "Language in Telegram", "add": "Add a person", "name": "Name", "number": "Phone number",
        "block": "Block the bot", "unblock": "Unblock", "foreign": "Someone else's contact",
        "forwarded": "Forwarded contact", "sticker": "Sticker", "voice": "Voice message", "save": "Save",
        "old button": "Press an old button", "edit older": "Edit an older message", "link": "A link to the bot",
        "open": "Open", "dark": "Dark theme", "light": "Light theme", "edit": "Edit", "delete": "Delete",
        "menu": "What to do with the message",
    },
}  # fmt: skip


class Visitor:
    """One open page and the person it plays. `troubles` collects what the browser complains about."""

    def __init__(self, page: Page, address: str, language: str = "ru") -> None:
        self.page = page
        self.address = address
        self.language = language
        self.phone = ""
        self.troubles: list[str] = []
        self.foreign: list[str] = []
        page.on("console", self._hear)
        page.on("pageerror", self._fail)
        page.on("request", self._watch)

    def _hear(self, message: ConsoleMessage) -> None:
        # A refused act answers 400, which the browser notes; the page shows the sentence.
        if message.type in ("error", "warning") and "400 (Bad Request)" not in message.text:
            self.troubles.append(message.text)

    def _fail(self, error: Error) -> None:
        self.troubles.append(str(error))

    def _watch(self, request: Request) -> None:
        if not request.url.startswith(self.address):
            self.foreign.append(request.url)

    def said(self, name: str) -> str:
        """What the page calls this."""
        return SAID[self.language][name]

    def label(self, key: str) -> str:
        """A button's label as the bot's catalogue has it."""
        return TEXTS.plain(self.language, key)

    def words(self, key: str, n: int | None = None, **values: Any) -> re.Pattern[str]:
        """The first line of one of the bot's texts, what is not given left open."""
        template = re.sub(r"<[^>]+>", "", TEXTS.template(self.language, key, n)).split("\n")[0]
        given = {name: str(value) for name, value in (values if n is None else {"n": n} | values).items()}
        parts = re.split(r"\{(\w+)\}", template)
        found = [re.escape(given[part]) if odd and part in given else ".*?" if odd else re.escape(part)
                 for odd, part in ((index % 2, part) for index, part in enumerate(parts))]  # fmt: skip
        return re.compile("".join(found), re.DOTALL)

    async def opens(self, person: int | None = None) -> None:
        """Open the page, as the first person or a given one."""
        await self.page.goto(self.address if person is None else f"{self.address}?person={person}")
        await expect(self.page.locator("body.ready")).to_be_visible()

    def button(self, name: str | re.Pattern[str], within: Locator | None = None) -> Locator:
        """The newest button of exactly this name."""
        place = within or self.page.locator("body")
        return place.get_by_role("button", name=name, exact=True).last

    @property
    def log(self) -> Locator:
        """The messages."""
        return self.page.get_by_role("log")

    @property
    def field(self) -> Locator:
        """Where messages are written."""
        return self.page.get_by_role("textbox", name=self.said("write"))

    @property
    def keyboard(self) -> Locator:
        """The bot's keyboard below the field."""
        return self.page.get_by_role("group", name=self.said("keyboard"))

    @property
    def dialog(self) -> Locator:
        """The dialog in front."""
        return self.page.locator("dialog[open]")

    async def starts(self) -> None:
        """Press the big button."""
        await self.button(self.said("start")).click()
        await self.hears("registration-email-prompt")

    async def says(self, text: str) -> None:
        """Type and send."""
        await self.field.fill(text)
        await self.button(self.said("send")).click()

    async def presses(self, key: str) -> None:
        """Press the newest inline button of this label."""
        await self.button(self.label(key), self.log).click()

    async def hears(self, key: str, n: int | None = None, **values: Any) -> Locator:
        """Wait for the bot to say this; returns the message."""
        message = self.log.locator(".bot", has_text=self.words(key, n, **values)).last
        await expect(message).to_be_visible()
        return message

    async def accepts_terms(self) -> None:
        """Tick the box and go on to the number."""
        await self.presses("terms-consent")
        await self.presses("button-register")
        await self.hears("registration-phone-reason")

    async def shares_contact(self) -> None:
        """Share the own contact by the key, and confirm."""
        await self.button(self.label("button-share-contact"), self.keyboard).click()
        await self.button(self.said("share"), self.dialog).click()

    @property
    def codes(self) -> Locator:
        """The buttons with the codes that came by SMS, newest first."""
        return self.page.locator(".sms .code")

    async def reaches_phone(self, email: str) -> None:
        """From the start to the number."""
        await self.starts()
        await self.says(email)
        await self.accepts_terms()
