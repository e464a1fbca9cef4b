"""How a call is refused: Telegram's status code and wording, and the helpers that prefix it as Telegram does."""

from __future__ import annotations


class Refused(Exception):
    """A call answered with `ok: false`; `retry_after` is in seconds and only goes with 429."""

    def __init__(self, code: int, description: str, retry_after: int | None = None) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.retry_after = retry_after


def bad_request(reason: str) -> Refused:
    """Return the refusal of a call that can never succeed as it is."""
    return Refused(400, f"Bad Request: {reason}")


def forbidden(reason: str) -> Refused:
    """Return the refusal of a call whose chat does not want the bot."""
    return Refused(403, f"Forbidden: {reason}")


def conflict(reason: str) -> Refused:
    """Return the refusal of a call that another way of receiving updates excludes."""
    return Refused(409, f"Conflict: {reason}")
