"""Parse mode HTML, as strict as Telegram's own parser: its wording, and offsets in bytes of UTF-8.

Source: Bot API, "HTML style"; the wording of refusals is what the public server answers.
"""

from __future__ import annotations

from dataclasses import dataclass

from bot.practice.entities import Entity, utf16_length
from bot.practice.refusals import Refused, bad_request
from bot.practice.urls import why_not_a_url

_PLAIN = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "span": "spoiler",
    "tg-spoiler": "spoiler",
}
_TAGS = frozenset({*_PLAIN, "a", "code", "pre", "blockquote"})
_NAMED = {b"lt": "<", b"gt": ">", b"amp": "&", b"quot": '"'}
_SPACES = b" \t\r\n\v\0"
_NAME_END = _SPACES + b">"
_ATTRIBUTE_END = _NAME_END + b"=/\"'"
_TOKEN = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-"
_DIGITS = b"0123456789"
_HEX = b"0123456789abcdefABCDEF"


def _refused(reason: str) -> Refused:
    return bad_request(f"can't parse entities: {reason}")


@dataclass
class _Open:
    tag: str
    argument: str
    offset: int
    position: int


def parse_html(text: str) -> tuple[str, tuple[Entity, ...]]:
    """Return the visible text and its entities. Raises Refused with the reason and the byte offset."""
    return _Parser(text).run()


class _Parser:
    def __init__(self, text: str) -> None:
        # The trailing zero stands for "no more": every loop below ends at it.
        self._source = text.replace("\0", "").encode("utf-8", "surrogatepass") + b"\0"
        self._at = 0
        self._output = bytearray()
        self._open: list[_Open] = []
        self._entities: list[Entity] = []

    def run(self) -> tuple[str, tuple[Entity, ...]]:
        while self._at < len(self._source) - 1:
            if self._peek() == b"<":
                self._read_tag()
            else:
                self._output += self._reference() or self._step()
        if self._open:
            raise _refused(f'Can\'t find end tag corresponding to start tag "{self._open[-1].tag}"')
        try:
            text = self._output.decode()
        except UnicodeDecodeError:
            raise bad_request(
                "text contains invalid Unicode characters after decoding HTML entities, "
                "check for unmatched surrogate code units"
            ) from None
        return text, tuple(sorted(self._entities, key=lambda entity: (entity.offset, -entity.length)))

    def _peek(self) -> bytes:
        return self._source[self._at : self._at + 1]

    def _step(self) -> bytes:
        byte = self._peek()
        self._at += 1
        return byte

    def _until(self, stops: bytes) -> bytes:
        start = self._at
        while self._source[self._at] not in stops:
            self._at += 1
        return self._source[start : self._at]

    def _while(self, allowed: bytes) -> bytes:
        start = self._at
        while self._source[self._at] in allowed:
            self._at += 1
        return self._source[start : self._at]

    def _skip_spaces(self) -> None:
        self._while(_SPACES[:-1])

    def _reference(self) -> bytes:
        """Take a character reference and return its bytes; take nothing and return b"" when there is none."""
        if self._peek() != b"&":
            return b""
        start = self._at
        self._at += 1
        if self._peek() == b"#":
            code = self._numeric()
            character = chr(code) if 0 < code < 0x10FFFF and self._at - start < 10 else ""
        else:
            character = _NAMED.get(self._while(_TOKEN[:52]), "")
        if not character:
            self._at = start
            return b""
        if self._peek() == b";":
            self._at += 1
        return character.encode("utf-8", "surrogatepass")

    def _numeric(self) -> int:
        self._at += 1
        if self._peek() == b"x":
            self._at += 1
            return int(self._while(_HEX) or b"0", 16)
        return int(self._while(_DIGITS) or b"0")

    def _read_tag(self) -> None:
        begin = self._at
        self._at += 1
        if self._peek() == b"/":
            self._close_tag(begin)
        else:
            self._open_tag(begin)

    def _open_tag(self, begin: int) -> None:
        name = self._until(_NAME_END)
        if self._peek() == b"\0":
            raise _refused(f"Unclosed start tag at byte offset {begin}")
        tag = name.decode("utf-8", "replace").lower()
        if tag not in _TAGS:
            raise _refused(f'Unsupported start tag "{tag}" at byte offset {begin}')
        argument = ""
        while True:
            self._skip_spaces()
            if self._peek() == b">":
                break
            argument = self._attribute(tag, begin) or argument
        self._at += 1
        if tag == "span" and argument != "tg-spoiler":
            raise _refused(f'Tag "span" must have class "tg-spoiler" at byte offset {begin}')
        self._open.append(_Open(tag, argument, self._offset(), len(self._output)))

    def _attribute(self, tag: str, begin: int) -> str:
        """Read one attribute and return the tag's argument when it is the one that matters."""
        name = self._until(_ATTRIBUTE_END).decode("utf-8", "replace")
        if not name:
            raise _refused(f'Empty attribute name in the tag "{tag}" at byte offset {begin}')
        self._skip_spaces()
        if self._peek() == b"\0":
            raise _refused(f'Unclosed start tag "{tag}" at byte offset {begin}')
        value = ""
        if self._peek() == b"=":
            self._at += 1
            value = self._value(tag, begin)
        if (tag, name) == ("blockquote", "expandable"):
            return "expandable"
        if (tag, name) in (("a", "href"), ("span", "class")):
            return value
        if (tag, name) == ("code", "class") and value.startswith("language-"):
            return value.removeprefix("language-")
        return ""

    def _value(self, tag: str, begin: int) -> str:
        self._skip_spaces()
        if self._peek() == b"\0":
            raise _refused(f'Unclosed start tag "{tag}" at byte offset {begin}')
        if self._peek() not in (b"'", b'"'):
            token_begin = self._at
            token = self._while(_TOKEN)
            if self._source[self._at] not in _NAME_END:
                raise _refused(f"Unexpected end of name token at byte offset {token_begin}")
            value = token.lower()
        else:
            value = self._quoted(self._step())
        if self._peek() == b"\0":
            raise _refused(f"Unclosed start tag at byte offset {begin}")
        return value.decode("utf-8", "replace")

    def _quoted(self, quote: bytes) -> bytes:
        value = bytearray()
        while self._peek() not in (quote, b"\0"):
            value += self._reference() or self._step()
        if self._peek() == quote:
            self._at += 1
        return bytes(value)

    def _close_tag(self, begin: int) -> None:
        if not self._open:
            raise _refused(f"Unexpected end tag at byte offset {begin}")
        self._at += 1
        name = self._until(_NAME_END).decode("utf-8", "replace")
        self._skip_spaces()
        if self._peek() != b">":
            raise _refused(f"Unclosed end tag at byte offset {begin}")
        self._at += 1
        opened = self._open.pop()
        if name and name != opened.tag:
            raise _refused(f'Unmatched end tag at byte offset {begin}, expected "</{opened.tag}>", found "</{name}>"')
        if self._offset() > opened.offset:
            self._mark(opened)

    def _mark(self, opened: _Open) -> None:
        length = self._offset() - opened.offset
        if opened.tag in _PLAIN:
            self._entities.append(Entity(_PLAIN[opened.tag], opened.offset, length))
        elif opened.tag == "blockquote":
            kind = "expandable_blockquote" if opened.argument else "blockquote"
            self._entities.append(Entity(kind, opened.offset, length))
        elif opened.tag == "a":
            url = opened.argument or self._output[opened.position :].decode("utf-8", "replace")
            # An address Telegram does not take leaves plain text behind, without a word.
            if why_not_a_url(url) is None:
                self._entities.append(Entity("text_link", opened.offset, length, url=url))
        else:
            self._mark_code(opened, length)

    def _mark_code(self, opened: _Open, length: int) -> None:
        last = self._entities[-1] if self._entities else None
        nested = last is not None and (last.offset, last.length) == (opened.offset, length)
        if opened.tag == "pre" and nested and last is not None and last.type == "code":
            self._entities[-1] = Entity("pre", opened.offset, length, language=last.language)
            return
        inside_pre = bool(self._open) and self._open[-1].tag == "pre"
        language = opened.argument if opened.tag == "code" and inside_pre and opened.argument else None
        self._entities.append(Entity(opened.tag, opened.offset, length, language=language))

    def _offset(self) -> int:
        return utf16_length(self._output.decode("utf-8", "surrogatepass"))
