"""An SMS centre of the operator's own, by SMPP 3.4: one kept connection per process that sends and brings receipts.

Receipts do not come by HTTP: whoever sets `on_report` gets them, and from then on the connection is kept, rebound
after a loss. Without it the connection is made by the first message. An SMS centre that names a message in
hexadecimal when it takes it and in decimal in its receipts (5.2.23 leaves that open) is not understood: its receipts
are of unknown messages.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

from bot.gateways.smpp_pdu import Status, check_library, receipt, submit
from bot.gateways.smpp_session import Account, Answer, BindRefused, Session, bound
from bot.settings import Settings
from bot.sms_text import spare
from handlers.ports import (
    Accepted,
    CodeMessage,
    InvalidNumber,
    Misconfigured,
    Refused,
    Report,
    SendResult,
    Unavailable,
    Unknown,
)
from storage.clock import Clock
from storage.models import Channel

log = logging.getLogger(__name__)

# Seconds between two questions whether the other side still lives (enquire_link).
_ENQUIRE_EVERY = 30.0
# Requests that wait for an answer at one time: beyond about as many, SMS centres throttle.
_WINDOW = 10
# Seconds before the connection is made anew; doubled while that fails.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_ADDRESS = "SMPP_HOST, SMPP_PORT and SMPP_TLS"
_ACCOUNT = "SMPP_SYSTEM_ID and SMPP_PASSWORD"

OnReport = Callable[[Report], Awaitable[None]]


def make_smpp(settings: Settings, clock: Clock, report_url: str | None) -> Smpp:
    """Return the gateway of these settings. Raises StartFailed when its library is not installed."""
    check_library()
    account = Account(
        host=settings.smpp_host or "",
        port=settings.smpp_port,
        tls=settings.smpp_tls,
        system_id=settings.smpp_system_id or "",
        password=settings.smpp_password.get_secret_value() if settings.smpp_password else "",
    )
    return Smpp(account, settings.smpp_sender or "", settings.gateway_timeout)


class Smpp:
    """One account at an SMS centre. Make it inside a running loop; `close()` it at the end."""

    name = "smpp"
    channels = frozenset({Channel.SMS})

    def __init__(
        self, account: Account, sender: str, timeout: timedelta, *, enquire_every: float = _ENQUIRE_EVERY
    ) -> None:
        """`timeout` bounds the whole call: half for being connected, the rest for the answer."""
        self._account = account
        self._sender = sender
        self._timeout = timeout.total_seconds()
        self._enquire_every = enquire_every
        self._session: Session | None = None
        self._binding = asyncio.Lock()
        self._window = asyncio.Semaphore(_WINDOW)
        self._on_report: OnReport | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def on_report(self) -> OnReport | None:
        """Who gets the receipts. Set, it makes the connection be kept; raising, it has the receipt come again."""
        return self._on_report

    @on_report.setter
    def on_report(self, value: OnReport) -> None:
        self._on_report = value
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name="smpp keeper")

    async def send(self, message: CodeMessage) -> SendResult:
        """Send the message."""
        if not re.fullmatch(r"\+?[0-9]{1,20}|[ -~]{1,11}", self._sender):
            return Misconfigured("SMPP_SENDER: a number has 20 digits at most, a name 11 characters")
        if not message.text or spare(message.text) < 0:
            # Two segments would have to be put together again by the telephone, and cost twice.
            return Refused("the text is not one segment")
        deadline = asyncio.get_running_loop().time() + self._timeout
        try:
            async with asyncio.timeout(self._timeout / 2):
                await self._window.acquire()
        except TimeoutError:
            return Unavailable("too many messages wait for an answer")
        try:
            return await self._send(message, deadline)
        finally:
            self._window.release()

    async def close(self) -> None:
        """Unbind and close the connection."""
        self._closed = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        async with self._binding:
            if self._session is not None:
                await self._session.close()

    async def _send(self, message: CodeMessage, deadline: float) -> SendResult:
        session = await self._connected(deadline - self._timeout / 2)
        if not isinstance(session, Session):
            return session
        try:
            async with asyncio.timeout_at(deadline):
                answer = await session.request(partial(submit, message, self._sender))
        except ConnectionError:
            return Unavailable("the connection was lost before the message left")
        except TimeoutError:
            return Unknown("no answer in time")
        if answer is None:
            return Unknown("the connection was lost before the answer")
        return _read(answer)

    async def _connected(self, deadline: float) -> Session | SendResult:
        """Return the one connection, made anew when it was lost, or why there is none."""
        try:
            async with asyncio.timeout_at(deadline), self._binding:
                if self._closed:
                    return Unavailable("stopping")
                if self._session is None or self._session.ended.is_set():
                    self._session = await bound(
                        self._account, self._deliver, enquire_every=self._enquire_every, patience=self._timeout / 2
                    )
                return self._session
        except BindRefused as error:
            return _bind_refused(error.status)
        except TimeoutError:
            return Unavailable(f"not bound in time: see {_ADDRESS} if that stays so")
        except (ssl.SSLError, UnicodeError) as error:
            # A certificate that is not trusted or of another host, no TLS at all, a host that can be no name.
            return Misconfigured(f"{type(error).__name__}: see {_ADDRESS}")
        except OSError as error:
            return Unavailable(f"no connection: {type(error).__name__}")

    async def _keep(self) -> None:
        pause = _FIRST_PAUSE
        told = ""
        while True:
            session = await self._connected(asyncio.get_running_loop().time() + self._timeout)
            if isinstance(session, Session):
                log.info("bound to the SMS centre")
                pause, told = _FIRST_PAUSE, ""
                await session.ended.wait()
            else:
                pause = min(2 * pause, _LONGEST_PAUSE)
                detail = getattr(session, "detail", "")
                # Once, however long it lasts; the messages that fail meanwhile have lines of their own.
                if detail != told:
                    log.warning("not bound to the SMS centre, so no receipts come: %s", detail)
                    told = detail
            await asyncio.sleep(pause)

    async def _deliver(self, whole: bytes) -> int:
        """Hand a deliver_sm on; return the status to answer."""
        if self._on_report is None:
            return Status.TEMPORARY_ERROR
        try:
            report = receipt(whole)
        except ValueError as error:
            log.warning("a receipt of the SMS centre is not understood: %s", error)
            return Status.OK
        try:
            if report is not None:
                await self._on_report(report)
        except Exception as error:
            # The SMS centre brings it again: whoever keeps receipts may be away for a while.
            log.warning("a receipt was not kept: %s", type(error).__name__)
            return Status.TEMPORARY_ERROR
        return Status.OK


def _bind_refused(status: int) -> SendResult:
    detail = f"bind refused with status {status:#x}"
    if status in (Status.ALREADY_BOUND, Status.SYSTEM_ERROR, Status.QUEUE_FULL, Status.THROTTLED):
        # Too many connections of this account, one of them perhaps not yet known to be dead, or a bad moment.
        return Unavailable(detail)
    return Misconfigured(f"{detail}: see {_ACCOUNT}, and whether the SMS centre knows this machine's address")


def _read(answer: Answer) -> SendResult:
    """Translate the command_status of a submit_sm_resp or of a generic_nack (SMPP 3.4, 5.1.3)."""
    detail = f"status {answer.status:#x}"
    match answer.status:
        case Status.OK:
            return Accepted(provider_id=answer.body.split(b"\0")[0].decode("ascii", "replace") or None)
        case Status.DESTINATION_ADDRESS:
            return InvalidNumber(detail)
        case Status.SOURCE_ADDRESS | Status.SOURCE_TON | Status.SOURCE_NPI:
            return Misconfigured(f"{detail}: see SMPP_SENDER")
        case Status.MESSAGE_LENGTH | Status.PERMANENT_ERROR | Status.REJECTED:
            return Refused(detail)
        case _:
            # Throttled, a full queue, a system error, codes of the vendor's own (0x400 and more): it was not taken,
            # and another gateway may take it.
            return Unavailable(detail)
