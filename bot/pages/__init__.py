"""The web pages that people see: one card with a heading, words, and buttons. They need no script.

The frame of the letters that people get lies beside them.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from markupsafe import Markup

_HERE = Path(__file__).parent
_HTML = (_HERE / "page.html").read_text(encoding="utf-8")
_STYLE = (_HERE / "page.css").read_text(encoding="utf-8")
_SCRIPT = (_HERE / "copy.js").read_text(encoding="utf-8")
_ADDRESS = (_HERE / "address.html").read_text(encoding="utf-8")
_FORM = (_HERE / "form.html").read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _policy(forms: str) -> str:
    return (
        f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)}; base-uri 'none'; "
        f"form-action {forms}; frame-ancestors 'none'"
    )


HEADERS = {
    # Only this very style and script; the page is in nobody's frame, sends no form and is kept by nobody.
    "Content-Security-Policy": _policy("'none'"),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex, nofollow",
}


@dataclass(frozen=True)
class Link:
    """A button: its label and where it leads. The first of a page is the one that is meant."""

    label: str
    url: str


@dataclass(frozen=True)
class Form:
    """A button that sends a POST to an address of this very site."""

    label: str
    action: str


@dataclass(frozen=True)
class Preview:
    """What messengers show of a page before it is opened (Open Graph protocol); addresses are absolute."""

    title: str
    description: str
    url: str
    image: str


@dataclass(frozen=True)
class Page:
    """`text`: paragraphs. `address`: one to copy, with its label and those of the button before and after.

    `form`: what is done by pressing its button, and by nothing else.
    `onward`: the address that the browser goes on to at once, without being asked to.
    """

    title: str
    text: tuple[Markup, ...]
    links: tuple[Link, ...] = ()
    address: tuple[str, str, str, str] | None = None
    form: Form | None = None
    preview: Preview | None = None
    onward: str = ""


def show(page: Page, language: str, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return the page. `headers` come beside those that every page has."""
    paragraphs = Markup("\n").join(Markup("<p>{}</p>").format(paragraph) for paragraph in page.text)
    buttons = Markup("\n").join(
        Markup('<a class="{}" href="{}" rel="noreferrer nofollow">{}</a>').format(
            "button" if number == 0 else "button quiet", link.url, link.label
        )
        for number, link in enumerate(page.links)
    )
    own = dict(HEADERS)
    if page.form is not None:
        # Our own file; only what this site serves itself may take what the page sends.
        buttons += Markup(_FORM).format(action=page.form.action, label=page.form.label)  # noqa: S704 - see above
        own["Content-Security-Policy"] = _policy("'self'")
    address = Markup("")
    if page.address is not None:
        label, url, copy, copied = page.address
        address = Markup(_ADDRESS).format(label=label, url=url, copy=copy, copied=copied)  # noqa: S704 - our own file
    body = Markup(_HTML).format(  # noqa: S704 - our own file, and what is put into it is escaped
        language=language,
        title=page.title,
        head=_head(page),
        style=Markup(_STYLE),  # noqa: S704 - our own file
        script=Markup("<script>{}</script>").format(Markup(_SCRIPT)) if page.address else "",  # noqa: S704 - our own file
        text=paragraphs,
        address=address,
        links=buttons,
    )
    return web.Response(
        text=str(body), status=status, content_type="text/html", charset="utf-8", headers={**own, **(headers or {})}
    )


def _head(page: Page) -> Markup:
    parts = []
    if page.preview is not None:
        one = page.preview
        named = {"title": one.title, "description": one.description, "url": one.url, "image": one.image}
        graph = {"type": "website", **named}
        parts += [Markup('<meta property="og:{}" content="{}">').format(name, value) for name, value in graph.items()]
        parts.append(Markup('<meta name="description" content="{}">').format(one.description))
        parts.append(Markup('<meta name="twitter:card" content="summary">'))
    if page.onward:
        parts.append(Markup('<meta http-equiv="refresh" content="0;url={}">').format(page.onward))
    return Markup("\n").join(parts)
