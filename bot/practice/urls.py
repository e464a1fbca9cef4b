"""Which addresses Telegram takes behind a button or a link."""

from __future__ import annotations

from urllib.parse import urlsplit

_SCHEMES = frozenset({"http", "https", "tg", "ton", "tonsite"})


def why_not_a_url(url: str) -> str | None:
    """Return Telegram's reason for refusing `url`, None when it is taken; `localhost` is refused for want of a dot."""
    scheme, separator, _ = url.partition("://")
    if not separator:
        url = f"http://{url}"
        scheme = "http"
    if scheme.lower() not in _SCHEMES:
        return "Unsupported URL protocol"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "Wrong HTTP URL"
    if not host:
        return "URL host is empty"
    if scheme.lower() in ("tg", "ton"):
        return None
    if "." not in host or any(character.isspace() for character in parts.netloc) or port == 0:
        return "Wrong HTTP URL"
    return None
