"""Why the bot cannot start: one line for the operator, never a traceback."""

from __future__ import annotations


class StartFailed(Exception):
    """The message names the setting or the service, and what to do."""
