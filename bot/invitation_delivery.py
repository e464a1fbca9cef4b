"""How an invitation reaches its mailbox, and what its inviter is told when it does not."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from bot.gateways.smtp import MailResult
from bot.letter import Composer
from handlers.ports import Accepted, Misconfigured, Refused, Unavailable, Unknown
from handlers.registration.addresses import masked
from storage.clock import Clock
from storage.invitation_tables import InvitationState
from storage.letters import Letter, Letters
from storage.outbox import Notice, Outbox, OutboxItem

log = logging.getLogger(__name__)

# A server that greylists wants minutes, one that is away hours (RFC 5321, 4.5.4.1); the inviter waits a day at most.
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(seconds=30), timedelta(hours=1)
_GIVEN_UP_AFTER = timedelta(hours=24)


class Mailer(Protocol):
    """Hands letters to a mail server. Never raises for what the server or the network does: the result says it."""

    async def send(self, recipient: str, letter: bytes) -> MailResult:
        """Hand over a whole letter for one address, once."""
        ...


@dataclass(frozen=True)
class Post:
    """What sending takes: a mail server, who writes the letters, and where a mailbox (its mark) asks for no more."""

    mailer: Mailer
    composer: Composer
    stop_url: Callable[[bytes], str]


class InvitationDelivery:
    """Sends one letter. The address and the link exist only while it is sent; the log has neither."""

    def __init__(
        self, outbox: Outbox, letters: Letters, post: Post | None, clock: Clock, chance: random.Random, owner: str
    ) -> None:
        """`post` is None where mail was configured once and is no more; `owner` is the courier's name on its leases."""
        self._outbox = outbox
        self._letters = letters
        self._post = post
        self._clock = clock
        self._chance = chance
        self._owner = owner

    async def deliver(self, item: OutboxItem) -> None:
        """Send, and settle the row by what became of it."""
        letter = await self._letters.begin(item, self._clock.now())
        if letter is None:
            await self._outbox.done(item.id, self._owner)
            return
        result = await self._send(letter)
        held = (item.id, self._owner)
        match result:
            case Accepted():
                log.info("invitation %s was taken by the mail server", letter.id)
                await self._letters.settle(letter, InvitationState.SENT, held)
            case Refused(detail):
                log.info("invitation %s is refused: %s", letter.id, detail)
                await self._end(item, letter, InvitationState.REFUSED, "notice-invitation-refused")
            case Unknown(detail):
                log.warning("nobody knows whether invitation %s was sent: %s", letter.id, detail)
                await self._end(item, letter, InvitationState.UNKNOWN, "notice-invitation-unknown")
            case Misconfigured(detail):
                log.error("mail must be mended: %s", detail)
                await self._again(item, letter, "misconfigured")
            case Unavailable(detail):
                log.warning("invitation %s waits for the mail server: %s", letter.id, detail)
                await self._again(item, letter, "unavailable")

    async def _send(self, letter: Letter) -> MailResult:
        if self._post is None:
            return Misconfigured("SMTP_HOST: this process does not have it any more")
        try:
            written = self._post.composer.compose(letter, self._post.stop_url(letter.stop))
            return await self._post.mailer.send(letter.address, written)
        except Exception as error:
            # Without its words, which may repeat the address.
            log.error("the mail gateway failed over invitation %s: %s", letter.id, type(error).__name__)
            return Unknown("a fault in the gateway's code")

    async def _again(self, item: OutboxItem, letter: Letter, error: str) -> None:
        now = self._clock.now()
        doubled = _FIRST_PAUSE * 2.0 ** min(item.attempts - 1, 10) * self._chance.uniform(0.75, 1.25)
        run_at = now + min(doubled, _LONGEST_PAUSE)
        if run_at < letter.created_at + _GIVEN_UP_AFTER:
            await self._letters.postpone(letter, (item.id, self._owner), run_at, error)
        else:
            await self._end(item, letter, InvitationState.FAILED, "notice-invitation-failed")

    async def _end(self, item: OutboxItem, letter: Letter, state: InvitationState, text: str) -> None:
        values = {"address": masked(letter.address)}
        whom = int(item.payload["telegram_id"])
        notice = Notice(whom, letter.language, text, self._clock.now(), values)
        await self._letters.settle(letter, state, (item.id, self._owner), notice)
