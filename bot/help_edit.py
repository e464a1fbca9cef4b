"""The one edit of the help message once a code may be asked for again, built from how things stand by then."""

from __future__ import annotations

from uuid import UUID

from bot.deliveries import TelegramDelivery
from handlers.product import Product
from handlers.registration.code import help_screen
from handlers.voice import Voice
from locales import Texts
from storage.accounts import Accounts
from storage.challenges import Challenges
from storage.clock import Clock
from storage.outbox import OutboxItem


class HelpEdit:
    """Edits nothing when the number was proven, changed or asked for anew meanwhile: it would tell what is not so."""

    def __init__(
        self,
        telegram: TelegramDelivery,
        accounts: Accounts,
        challenges: Challenges,
        texts: Texts,
        product: Product,
        clock: Clock,
    ) -> None:
        self._telegram = telegram
        self._accounts = accounts
        self._challenges = challenges
        self._texts = texts
        self._product = product
        self._clock = clock

    async def deliver(self, item: OutboxItem) -> None:
        """Say what has happened since, in the language the person speaks now."""
        telegram_id, now = int(item.payload["telegram_id"]), self._clock.now()
        account = await self._accounts.of(telegram_id)
        timeline = await self._challenges.timeline(telegram_id, now=now)
        if account is None or timeline.challenge_id != UUID(item.payload["challenge_id"]):
            await self._telegram.drop(item)
            return
        screen = help_screen(Voice(self._texts, self._product, account.language, now), timeline)
        edit = screen.edit(telegram_id, int(item.payload["message_id"]), account.language)
        await self._telegram.call(item, telegram_id, edit)
