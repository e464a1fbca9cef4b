"""Methods about the bot itself: who it is, how it receives updates, its commands and descriptions."""

from __future__ import annotations

import asyncio
import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from bot.practice.methods_messages import Method
from bot.practice.parameters import Parameters
from bot.practice.refusals import bad_request, conflict
from bot.practice.updates import BY_DEFAULT, UpdateQueue
from bot.practice.webhook import Target, Webhook, webhook_info
from bot.practice.world import Json, World

WEBHOOK_PORTS = frozenset({80, 88, 443, 8443})
LONGEST_POLL = 50.0
_SECRET = re.compile(r"[A-Za-z0-9_-]*")
_COMMAND = re.compile(r"[a-z0-9_]{1,32}")


class BotMethods:
    """Each method takes the call's arguments, returns the `result`, raises Refused."""

    def __init__(self, world: World, queue: UpdateQueue, webhook: Webhook) -> None:
        self._world = world
        self._queue = queue
        self._webhook = webhook
        self._poll = 0
        self.waiting_polls = 0
        self._commands: dict[tuple[str, str], list[Json]] = {}
        self._descriptions: dict[tuple[str, str], str] = {}

    def table(self) -> dict[str, Method]:
        """Return the methods by name."""
        return {
            "getMe": self.get_me,
            "getUpdates": self.get_updates,
            "setWebhook": self.set_webhook,
            "deleteWebhook": self.delete_webhook,
            "getWebhookInfo": self.get_webhook_info,
            "setMyCommands": self.set_my_commands,
            "getMyCommands": self.get_my_commands,
            "deleteMyCommands": self.delete_my_commands,
            "setMyDescription": self.set_my_description,
            "getMyDescription": self.get_my_description,
            "setMyShortDescription": self.set_my_short_description,
            "getMyShortDescription": self.get_my_short_description,
        }

    async def get_me(self, call: Parameters) -> Json:
        """Bot API, getMe."""
        abilities = {"can_join_groups": True, "can_read_all_group_messages": True, "supports_inline_queries": False}
        return self._world.bot.as_json() | abilities

    async def get_updates(self, call: Parameters) -> list[Json]:
        """Bot API, getUpdates: waits up to `timeout` seconds; a second poll ends the first one."""
        if self._webhook.active:
            raise conflict(
                "can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
            )
        self._allow(call)
        limit = min(max(call.integer("limit", 100), 1), 100)
        deadline = asyncio.get_running_loop().time() + min(max(call.integer("timeout"), 0), LONGEST_POLL)
        self._poll += 1
        self._queue.confirm(call.integer("offset"))
        self.waiting_polls += 1
        self._world.changed()
        try:
            return await self._wait_for_updates(self._poll, limit, deadline)
        finally:
            self.waiting_polls -= 1
            self._world.changed()

    async def _wait_for_updates(self, poll: int, limit: int, deadline: float) -> list[Json]:
        while True:
            if self._webhook.active:
                raise conflict("terminated by setWebhook request")
            if poll != self._poll:
                raise conflict(
                    "terminated by other getUpdates request; make sure that only one bot instance is running"
                )
            if updates := self._queue.take(limit):
                return [update.as_json() for update in updates]
            try:
                await self._world.wait(deadline - asyncio.get_running_loop().time())
            except TimeoutError:
                return []

    async def set_webhook(self, call: Parameters) -> bool:
        """Bot API, setWebhook; plain http is taken on loopback, as a local Bot API server takes it."""
        url = call.text("url")
        if not url:
            return await self.delete_webhook(call)
        _check_webhook_url(url)
        secret = call.text("secret_token")
        if len(secret) > 256:
            raise bad_request("secret token is too long")
        if not _SECRET.fullmatch(secret):
            raise bad_request("secret token contains unallowed characters")
        self._allow(call)
        if call.flag("drop_pending_updates"):
            self._queue.clear()
        connections = min(max(call.integer("max_connections", 40), 1), 100)
        await self._webhook.point_to(Target(url, secret, connections))
        self._world.changed()
        return True

    async def delete_webhook(self, call: Parameters) -> bool:
        """Bot API, deleteWebhook."""
        if call.flag("drop_pending_updates"):
            self._queue.clear()
        await self._webhook.point_to(Target())
        self._world.changed()
        return True

    async def get_webhook_info(self, call: Parameters) -> Json:
        """Bot API, getWebhookInfo."""
        return webhook_info(self._webhook.target, len(self._queue.pending()), sorted(self._queue.allowed))

    async def set_my_commands(self, call: Parameters) -> bool:
        """Bot API, setMyCommands."""
        commands = call.json("commands")
        if not isinstance(commands, list):
            raise bad_request("expected an Array of BotCommand")
        if len(commands) > 100:
            raise bad_request("BOT_COMMANDS_TOO_MUCH")
        for command in commands:
            if not isinstance(command, dict):
                raise bad_request("can't parse BotCommand: expected an Object")
            if not _COMMAND.fullmatch(str(command.get("command", "")).removeprefix("/")):
                raise bad_request("BOT_COMMAND_INVALID")
            if not 1 <= len(str(command.get("description", ""))) <= 256:
                raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
        self._commands[_audience(call)] = [
            {"command": str(command["command"]).removeprefix("/"), "description": str(command["description"])}
            for command in commands
        ]
        return True

    async def get_my_commands(self, call: Parameters) -> list[Json]:
        """Bot API, getMyCommands."""
        return self._commands.get(_audience(call), [])

    def commands_for(self, language_code: str) -> list[Json]:
        """Return what a client of this language lists: the commands of the language, else those of every language."""
        found = (self._commands.get(("", language)) for language in (language_code.partition("-")[0], ""))
        return next((commands for commands in found if commands), [])

    async def delete_my_commands(self, call: Parameters) -> bool:
        """Bot API, deleteMyCommands."""
        self._commands.pop(_audience(call), None)
        return True

    async def set_my_description(self, call: Parameters) -> bool:
        """Bot API, setMyDescription."""
        return self._describe(call, "description", 512)

    async def get_my_description(self, call: Parameters) -> Json:
        """Bot API, getMyDescription."""
        return self._described(call, "description")

    async def set_my_short_description(self, call: Parameters) -> bool:
        """Bot API, setMyShortDescription."""
        return self._describe(call, "short_description", 120)

    async def get_my_short_description(self, call: Parameters) -> Json:
        """Bot API, getMyShortDescription."""
        return self._described(call, "short_description")

    def _describe(self, call: Parameters, field: str, limit: int) -> bool:
        text = call.text(field)
        if len(text) > limit:
            raise bad_request(f"BOT_{field.upper()}_TOO_LONG")
        self._descriptions[field, call.text("language_code")] = text
        return True

    def _described(self, call: Parameters, field: str) -> Json:
        return {field: self._descriptions.get((field, call.text("language_code")), "")}

    def _allow(self, call: Parameters) -> None:
        """Take the call's allowed_updates; without them the ones said before stay, an empty list means the default."""
        kinds = call.json("allowed_updates")
        if kinds is None:
            return
        if not isinstance(kinds, list) or not all(isinstance(kind, str) for kind in kinds):
            raise bad_request("can't parse allowed_updates JSON object: expected an Array of String")
        self._queue.allowed = frozenset(kinds) & BY_DEFAULT if kinds else BY_DEFAULT


def _audience(call: Parameters) -> tuple[str, str]:
    return call.text("scope"), call.text("language_code")


def _check_webhook_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise bad_request("bad webhook: Invalid URL specified") from None
    if not host:
        raise bad_request("bad webhook: URL host is empty")
    if _is_loopback(host) and parts.scheme in ("http", "https"):
        return
    if parts.scheme != "https":
        raise bad_request("bad webhook: An HTTPS URL must be provided for webhook")
    if (port or 443) not in WEBHOOK_PORTS:
        raise bad_request("bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
