"""A message as HTML for a browser, made from its text and entities alone: nothing of it gets there unescaped."""

from __future__ import annotations

from html import escape

from bot.practice.entities import Entity, utf16_slice
from bot.practice.urls import why_not_a_url

_TAGS = {
    "bold": "b",
    "italic": "i",
    "underline": "u",
    "strikethrough": "s",
    "code": "code",
    "pre": "pre",
    "blockquote": "blockquote",
    "expandable_blockquote": "blockquote",
}
_LINK = '<a href="{}" target="_blank" rel="noopener noreferrer nofollow">'


def to_html(text: str, entities: tuple[Entity, ...]) -> str:
    """Return HTML of b, i, u, s, code, pre, a, blockquote, br and span class "spoiler", closed and nested properly."""
    marks = [(entity, start, end) for entity in entities for start, end in [_tags(entity, text)] if start]
    # Entities may cross; whoever began earlier stays outside, and is opened anew after what it crossed has ended.
    marks.sort(key=lambda mark: (mark[0].offset, -mark[0].length))
    length = len(text.encode("utf-16-le", "surrogatepass")) // 2
    edges = sorted({0, length, *(edge for entity, _, _ in marks for edge in (entity.offset, entity.end))})
    parts: list[str] = []
    opened: list[tuple[Entity, str, str]] = []
    for position, following in zip(edges, [*edges[1:], length], strict=True):
        while any(entity.end <= position for entity, _, _ in opened):
            parts.append(opened.pop()[2])
        for mark in marks:
            if mark[0].offset <= position < mark[0].end and mark not in opened:
                opened.append(mark)
                parts.append(mark[1])
        plain = escape(utf16_slice(text, position, following - position))
        verbatim = any(entity.type == "pre" for entity, _, _ in opened)
        parts.append(plain if verbatim else plain.replace("\n", "<br>"))
    return "".join(parts)


def _tags(entity: Entity, text: str) -> tuple[str, str]:
    """Return the opening and the closing tag of an entity, nothing for one that is shown as plain text."""
    marked = utf16_slice(text, entity.offset, entity.length)
    if entity.type in _TAGS:
        return f"<{_TAGS[entity.type]}>", f"</{_TAGS[entity.type]}>"
    if entity.type == "spoiler":
        return '<span class="spoiler">', "</span>"
    if entity.type == "bot_command":
        return f'<a class="command" href="#{escape(marked)}">', "</a>"
    address = _address(entity, marked)
    return (_LINK.format(escape(address)), "</a>") if address else ("", "")


def _address(entity: Entity, marked: str) -> str | None:
    match entity.type:
        case "text_link" | "url":
            url = entity.url or marked
            # The same test as for buttons, since an entity may come from a call without having been looked at.
            if why_not_a_url(url) is not None:
                return None
            return url if "://" in url else f"https://{url}"
        case "email":
            return f"mailto:{marked}"
        case "mention":
            return f"https://t.me/{marked.removeprefix('@')}"
    return None
