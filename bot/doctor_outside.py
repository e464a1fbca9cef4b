"""What the doctor looks at outside: Telegram, the webhook's address, the gateways, mail, the CRM, the time of day."""

from __future__ import annotations

import contextlib
import importlib.util
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from bot.crm_settings import plain_http
from bot.failures import StartFailed
from bot.findings import Finding, bad, ok, warning, why
from bot.gateways import gateways_of
from bot.gateways.outward import outward_session
from bot.gateways.smtp import Smtp
from bot.prices import prices_of
from bot.receive import ALLOWED_UPDATES
from bot.settings import Settings
from handlers.ports import Misconfigured
from storage.clock import Clock

_CALL = aiohttp.ClientTimeout(total=4.0)
_CRM_WITHIN = timedelta(seconds=3)
# Updates that wait with Telegram; a bot that keeps up has a handful.
_MANY_PENDING = 100
_RECENT, _LATELY = timedelta(minutes=10), timedelta(hours=24)
# A date of HTTP has whole seconds.
_DATE_IS_ABOUT = 0.5
_OFF, _FAR_OFF = timedelta(seconds=2), timedelta(seconds=30)
_PRACTICE = "there is no BOT_TOKEN: the bot practises and plays Telegram itself"


class NoAnswer(Exception):
    """A call brought nothing that can be read; the message says why."""


class Outside:
    """Each method is one look. `session` is used for everything but the CRM, whose calls are guarded."""

    def __init__(self, settings: Settings, session: aiohttp.ClientSession, clock: Clock) -> None:
        self._settings = settings
        self._session = session
        self._clock = clock

    async def token(self) -> list[Finding]:
        """Ask Telegram who the bot is."""
        if self._settings.bot_token is None:
            return [ok(_PRACTICE)]
        try:
            status, answer = await self._telegram("getMe")
        except NoAnswer as error:
            return [bad(f"TELEGRAM_API_BASE: Telegram cannot be reached: {error}; look at the network and the address")]
        if status in (401, 404):
            return [bad("BOT_TOKEN: Telegram does not know this token; write it as @BotFather gave it")]
        if not answer.get("ok"):
            return [bad(f"Telegram answers {status}; try again later")]
        return [ok(f"Telegram knows the bot as @{answer['result'].get('username')}")]

    async def webhook(self) -> list[Finding]:
        """Compare what Telegram delivers, and where to, with what is configured."""
        if self._settings.bot_token is None:
            return [ok(_PRACTICE)]
        try:
            status, answer = await self._telegram("getWebhookInfo")
        except NoAnswer as error:
            return [bad(f"cannot be asked for: {error}")]
        if not answer.get("ok"):
            return [bad(f"cannot be asked for: Telegram answers {status}")]
        info: dict[str, Any] = answer["result"]
        found = [*self._place(info), *self._trouble(info)]
        pending = int(info.get("pending_update_count", 0))
        if pending > _MANY_PENDING:
            found.append(warning(f"{pending} updates wait with Telegram: is the bot running, and quick enough?"))
        how = "by webhook" if info.get("url") else "by polling"
        return found or [ok(f"updates come {how}, {pending} wait")]

    def _place(self, info: dict[str, Any]) -> list[Finding]:
        set_to, base = str(info.get("url", "")), self._settings.webhook_url
        if base is None:
            return [warning("Telegram still has a webhook; the bot removes it when it starts")] if set_to else []
        if not set_to:
            return [warning("WEBHOOK_URL: Telegram has none yet; the bot sets it when it starts")]
        if set_to != f"{base}/telegram":
            return [
                bad(f"Telegram delivers to {set_to}, not to WEBHOOK_URL: another bot has this token, or restart it")
            ]
        missing = set(ALLOWED_UPDATES) - set(info.get("allowed_updates", ALLOWED_UPDATES))
        return [warning(f"Telegram keeps {', '.join(sorted(missing))} back; restart the bot")] if missing else []

    def _trouble(self, info: dict[str, Any]) -> list[Finding]:
        if "last_error_date" not in info or self._settings.webhook_url is None:
            return []
        ago = self._clock.now() - datetime.fromtimestamp(int(info["last_error_date"]), UTC)
        says = f"Telegram could not deliver {_spoken(ago)} ago: {info.get('last_error_message', 'no reason given')}"
        if ago <= _RECENT:
            return [bad(f"{says}; look at the proxy, its certificate and the bot's log")]
        return [warning(says)] if ago <= _LATELY else []

    async def address(self) -> list[Finding]:
        """Come in from outside, as Telegram and the vendors do."""
        settings = self._settings
        if settings.webhook_url is None and settings.public_url is None:
            return [ok("neither WEBHOOK_URL nor PUBLIC_URL is set: nobody calls the bot")]
        found = []
        if settings.webhook_url is not None:
            found += await self._enters("WEBHOOK_URL", "POST", f"{settings.webhook_url}/telegram", 401)
        if settings.public_url is not None:
            found += await self._enters("PUBLIC_URL", "GET", f"{settings.public_url}/.well-known/jwks.json", 200)
        base = settings.public_url or settings.webhook_url
        # Why it cannot be reached is said above already.
        with contextlib.suppress(aiohttp.ClientError, OSError):
            async with self._session.get(f"{base}/metrics", timeout=_CALL, allow_redirects=False) as answer:
                if answer.status == 200:
                    found.append(warning("the proxy lets /metrics through; refuse it there, as deploy/ does"))
        return found

    async def _enters(self, name: str, method: str, url: str, expected: int) -> list[Finding]:
        try:
            async with self._session.request(method, url, timeout=_CALL, allow_redirects=False) as answer:
                status = answer.status
        except (aiohttp.ClientError, OSError) as error:
            return [warning(f"{name}: cannot be reached from here: {why(error)}; look at the proxy and at DNS")]
        if status == expected:
            return [ok(f"{name}: leads to the bot")]
        reason = "the bot is not running behind it" if status >= 500 else "it leads somewhere else"
        return [bad(f"{name}: answers {status} where the bot answers {expected}: {reason}")]

    async def gateways(self) -> list[Finding]:
        """Look at who sends codes; whether an account is good, only a first SMS shows."""
        settings = self._settings
        if "smpp" in settings.sms_gateways and importlib.util.find_spec("smpp34") is None:
            return [bad("SMS_GATEWAYS: smpp needs a package that is not there; run: pip install smpp34")]
        gateways = gateways_of(settings, self._clock)
        found = [self._gateway(gateway.name) for gateway in gateways]
        try:
            prices_of(settings, gateways)
        except StartFailed as error:
            found.append(bad(str(error)))
        for gateway in gateways:
            await gateway.close()
        return found

    def _gateway(self, name: str) -> Finding:
        if name != "console":
            return ok(f"{name} is configured; register with a number of your own to see whether its account is good")
        if self._settings.bot_token is None:
            return ok("codes appear on the practice page")
        return warning("console sends no SMS, codes are only printed; write SMS_GATEWAYS")

    async def mail(self) -> list[Finding]:
        """Log in at the mail server and say who writes; no letter is sent."""
        if self._settings.smtp_host is None:
            return [ok("SMTP_HOST is not set: nobody is invited by e-mail")]
        refusal = await Smtp(self._settings).knock()
        if refusal is None:
            return [ok("SMTP_HOST: the server takes letters from MAIL_FROM")]
        if isinstance(refusal, Misconfigured):
            return [bad(refusal.detail)]
        says = getattr(refusal, "detail", type(refusal).__name__)
        return [bad(f"SMTP_HOST: the server takes no letters now ({says}); invitations wait and are tried again")]

    async def crm(self) -> list[Finding]:
        """See whether anybody is there; nothing is told or asked."""
        webhook, lookup = self._settings.crm_webhook_url, self._settings.crm_lookup_url
        found = [ok("CRM_WEBHOOK_URL is not set: the CRM is told nothing")]
        if webhook is not None:
            found = [await self._crm("CRM_WEBHOOK_URL", webhook, "events wait and are tried for days")]
        if lookup is not None:
            found.append(await self._crm("CRM_LOOKUP_URL", lookup, "whoever the CRM knows counts as new"))
            if self._settings.existing_account_notice != "immediately":
                found.append(warning("CRM_LOOKUP_URL: nobody is asked with EXISTING_ACCOUNT_NOTICE=after_proof"))
        return found

    async def _crm(self, name: str, url: str, meanwhile: str) -> Finding:
        try:
            async with (
                outward_session(_CRM_WITHIN, parallel=1) as session,
                session.options(url, allow_redirects=False) as answer,
            ):
                status = answer.status
        except (aiohttp.ClientError, OSError) as error:
            return bad(f"{name}: cannot be reached: {why(error)}; {meanwhile}")
        if 300 <= status < 400:
            return bad(f"{name}: answers {status}; redirects are never followed, write where it leads")
        if status >= 500:
            return warning(f"{name}: answers {status}; look at the CRM's own log")
        is_open = plain_http(url)
        return ok(f"{name}: somebody answers ({status}){', on a line that anybody can read' * is_open}")

    async def clock(self) -> list[Finding]:
        """Compare the machine's time with Telegram's."""
        if self._settings.bot_token is None:
            return [ok(_PRACTICE)]
        asked = self._clock.now()
        try:
            # No method of the Bot API, so that it needs no token: whatever is answered has a date.
            async with self._session.head(
                self._settings.telegram_api_base, timeout=_CALL, allow_redirects=False
            ) as answer:
                told = answer.headers.get("Date", "")
        except (aiohttp.ClientError, OSError) as error:
            return [warning(f"Telegram's cannot be read: {why(error)}")]
        middle = asked + (self._clock.now() - asked) / 2
        try:
            there = parsedate_to_datetime(told) + timedelta(seconds=_DATE_IS_ABOUT)
        except ValueError:
            return [warning("Telegram's answer has no date")]
        return [difference(there - middle, "Telegram's", timedelta(seconds=_DATE_IS_ABOUT))]

    async def _telegram(self, method: str) -> tuple[int, dict[str, Any]]:
        token = self._settings.bot_token.get_secret_value() if self._settings.bot_token else ""
        url = f"{self._settings.telegram_api_base}/bot{token}/{method}"
        try:
            async with self._session.get(url, timeout=_CALL, allow_redirects=False) as answer:
                said = await answer.json(content_type=None)
                return answer.status, said if isinstance(said, dict) else {}
        except (aiohttp.ClientError, OSError) as error:
            raise NoAnswer(why(error)) from error
        except ValueError as error:
            raise NoAnswer("its answer is no JSON, something stands before it") from error


def difference(offset: timedelta, whose: str, vague: timedelta = timedelta(0)) -> Finding:
    """Say how far the machine's time is from another one, known to within `vague`."""
    off = max(abs(offset) - vague, timedelta(0))
    which = "behind" if offset > timedelta(0) else "ahead of"
    says = f"the machine's clock is {off.total_seconds():.1f} s {which} {whose}"
    if off > _FAR_OFF:
        return bad(f"{says}; set it, and have it kept by NTP (timedatectl set-ntp true)")
    if off > _OFF:
        return warning(f"{says}; have it kept by NTP (timedatectl set-ntp true)")
    return ok(f"the machine's clock and {whose} agree")


def _spoken(ago: timedelta) -> str:
    minutes = max(0, int(ago.total_seconds() // 60))
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
