"""What is bold, linked or a command in a message: Bot API section "Formatting options", offsets in UTF-16 units."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from bot.practice.refusals import bad_request

_WITHOUT_DETAILS = frozenset(
    {
        "bold",
        "italic",
        "underline",
        "strikethrough",
        "spoiler",
        "blockquote",
        "expandable_blockquote",
        "code",
        "mention",
        "hashtag",
        "cashtag",
        "bot_command",
        "url",
        "email",
        "phone_number",
    }
)

# The order is the precedence: what an earlier pattern took, a later one leaves alone.
_AUTOMATIC = (
    (
        "url",
        re.compile(r"(?<![\w@.])(?:https?://[^\s<>\"]+[^\s<>\".,;:!?)]|(?:[\w-]+\.)+(?:com|ru|net|org|me|io)\b(?!@))"),
    ),
    ("email", re.compile(r"(?<![\w.+-])[A-Za-z0-9_.+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}")),
    ("mention", re.compile(r"(?<![\w@])@[A-Za-z0-9_]{3,32}\b")),
    ("bot_command", re.compile(r"(?<![\w/<>@])/[A-Za-z0-9_]{1,64}(?:@[A-Za-z0-9_]{3,32})?(?![\w/<>@])")),
    ("hashtag", re.compile(r"(?<![\w#])#\w*[^\W\d]\w*")),
    ("phone_number", re.compile(r"(?<![\w+])\+?\d(?:[ ()-]{0,2}\d){9,14}(?!\w)")),
)


@dataclass(frozen=True)
class Entity:
    """One marked part of a text; `offset` and `length` count UTF-16 code units."""

    type: str
    offset: int
    length: int
    url: str | None = None
    language: str | None = None

    @property
    def end(self) -> int:
        """The offset just past the marked part."""
        return self.offset + self.length

    def as_json(self) -> dict[str, Any]:
        """Return the MessageEntity object of the Bot API."""
        known = {"type": self.type, "offset": self.offset, "length": self.length}
        details = {"url": self.url, "language": self.language}
        return known | {name: value for name, value in details.items() if value is not None}


def utf16_length(text: str) -> int:
    """Return the length as Telegram counts it: characters outside the basic plane count twice."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def utf16_slice(text: str, offset: int, length: int) -> str:
    """Return the part of `text` at a UTF-16 offset."""
    return text.encode("utf-16-le", "surrogatepass")[2 * offset : 2 * (offset + length)].decode("utf-16-le", "replace")


def find_entities(text: str) -> tuple[Entity, ...]:
    """Return what Telegram marks by itself: links, addresses, mentions, commands, hashtags and phone numbers."""
    taken: list[tuple[int, int]] = []
    found: list[Entity] = []
    for kind, pattern in _AUTOMATIC:
        for match in pattern.finditer(text):
            start, end = match.span()
            if any(start < other_end and other_start < end for other_start, other_end in taken):
                continue
            taken.append((start, end))
            found.append(Entity(kind, utf16_length(text[:start]), utf16_length(text[start:end])))
    return tuple(sorted(found, key=lambda entity: entity.offset))


def with_automatic(text: str, given: tuple[Entity, ...]) -> tuple[Entity, ...]:
    """Return the given entities and the automatic ones that touch no link and no code among them."""
    closed = [entity for entity in given if entity.type in ("text_link", "code", "pre", "url")]
    extra = (
        entity
        for entity in find_entities(text)
        if not any(entity.offset < other.end and other.offset < entity.end for other in closed)
    )
    return tuple(sorted((*given, *extra), key=lambda entity: (entity.offset, -entity.length, entity.type)))


def trimmed(text: str, entities: tuple[Entity, ...]) -> tuple[str, tuple[Entity, ...]]:
    """Return text without outer white space, as Telegram stores it; an entity at the very start protects its spaces."""
    text = text.rstrip()
    end = utf16_length(text)
    entities = tuple(
        replace(entity, length=min(entity.end, end) - entity.offset) for entity in entities if entity.offset < end
    )
    spaces = len(text) - len(text.lstrip())
    cut = min([spaces, *(entity.offset for entity in entities)])
    return text[cut:], tuple(replace(entity, offset=entity.offset - cut) for entity in entities)


def read_entities(raw: object, text: str) -> tuple[Entity, ...]:
    """Return the entities a call names itself. Refuses other shapes, unknown types and offsets outside the text."""
    if not isinstance(raw, list):
        raise bad_request("can't parse entities JSON object")
    return tuple(_read_entity(item, utf16_length(text)) for item in raw)


def _read_entity(item: object, text_length: int) -> Entity:
    if not isinstance(item, dict):
        raise bad_request("can't parse MessageEntity: Expected an Object")
    kind, offset, length = item.get("type"), item.get("offset"), item.get("length")
    if kind not in _WITHOUT_DETAILS and kind not in ("text_link", "pre"):
        raise bad_request("can't parse MessageEntity: Unsupported type specified")
    if not isinstance(offset, int) or not isinstance(length, int):
        raise bad_request('can\'t parse MessageEntity: Field "offset" must be of type Number')
    if offset < 0:
        raise bad_request(f"receive an entity with incorrect offset {offset}")
    if offset > text_length:
        raise bad_request(f"entity begins after the end of the text at UTF-16 offset {offset}")
    if offset + length > text_length:
        raise bad_request(
            f"entity beginning at UTF-16 offset {offset} ends after the end of the text at UTF-16 offset "
            f"{offset + length}"
        )
    return Entity(kind, offset, length, url=item.get("url"), language=item.get("language"))
