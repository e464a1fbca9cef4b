"""Browsers inside other applications, which Google and Facebook do not sign in, and the way out of them."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

# Android's WebView says so itself ("; wv"); on iOS a browser names Safari or itself, a bare WKWebView does not.
_ANDROID = re.compile(r"Android.*; wv\)|Telegram-Android", re.IGNORECASE)
_IOS = re.compile(r"(iPhone|iPad|iPod)(?!.*\b(Safari|CriOS|FxiOS|EdgiOS)/)", re.IGNORECASE)
_NAMED = re.compile(r"\b(FBAN|FBAV|Instagram|MicroMessenger|Line|VKClient)\b/?", re.IGNORECASE)


def is_in_app(user_agent: str) -> bool:
    """Tell whether a page is open inside another application; a guess, so never a reason to refuse."""
    return any(kind.search(user_agent) for kind in (_ANDROID, _IOS, _NAMED))


def way_out(url: str, user_agent: str) -> str | None:
    """Return an address that opens `url` in the system's browser, None where none is known.

    Android's intent URLs; iOS 17 and later give Safari a scheme of its own.
    """
    parts = urlsplit(url)
    if "Android" in user_agent:
        rest = url.partition("://")[2]
        return f"intent://{rest}#Intent;scheme={parts.scheme};action=android.intent.action.VIEW;end"
    if re.search(r"iPhone|iPad|iPod", user_agent):
        return f"x-safari-{url}"
    return None
