from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.practice.entities import find_entities, utf16_length, utf16_slice
from bot.practice.html_text import parse_html
from bot.practice.refusals import Refused

# Offsets are bytes of UTF-8: "Ж " takes three.
REFUSED = [
    ("Ж <foo>", 'Unsupported start tag "foo" at byte offset 3'),
    ("Ж <FOO bar=1>", 'Unsupported start tag "foo" at byte offset 3'),
    ("a < b", 'Unsupported start tag "" at byte offset 2'),
    ("<br/>", 'Unsupported start tag "br/" at byte offset 0'),
    ("Ж <b", "Unclosed start tag at byte offset 3"),
    ("Ж <b>x", 'Can\'t find end tag corresponding to start tag "b"'),
    ("<b><i>x</i>", 'Can\'t find end tag corresponding to start tag "b"'),
    ("Ж </b>", "Unexpected end tag at byte offset 3"),
    ("<b>x</b></b>", "Unexpected end tag at byte offset 8"),
    ("<b><i>x</b></i>", 'Unmatched end tag at byte offset 7, expected "</i>", found "</b>"'),
    ("<i>x</i ", "Unclosed end tag at byte offset 4"),
    ("<i =x>", 'Empty attribute name in the tag "i" at byte offset 0'),
    ("<a href", 'Unclosed start tag "a" at byte offset 0'),
    ("<a href=", 'Unclosed start tag "a" at byte offset 0'),
    ('<a href="x', "Unclosed start tag at byte offset 0"),
    ("<a href=https://x.ru>", "Unexpected end of name token at byte offset 8"),
    ("<span>x</span>", 'Tag "span" must have class "tg-spoiler" at byte offset 0'),
]

TAKEN = [
    ("<b>ж</b> <strong>x</strong>", "ж x", [("bold", "ж"), ("bold", "x")]),
    ("<i>a</i><em>b</em>", "ab", [("italic", "a"), ("italic", "b")]),
    ("<u>a</u><ins>b</ins>", "ab", [("underline", "a"), ("underline", "b")]),
    ("<s>a</s><strike>b</strike><del>c</del>", "abc", [("strikethrough", character) for character in "abc"]),
    (
        '<tg-spoiler>a</tg-spoiler><span class="tg-spoiler">b</span>',
        "ab",
        [("spoiler", "a"), ("spoiler", "b")],
    ),
    ("<blockquote>a</blockquote><blockquote expandable>b</blockquote>", "ab",
     [("blockquote", "a"), ("expandable_blockquote", "b")]),
    ("🙂<B>x</b >", "🙂x", [("bold", "x")]),
    ("<b>a<i>b</i></b>", "ab", [("bold", "ab"), ("italic", "b")]),
    ("<b></b>x", "x", []),
    ("&lt;b&gt; &amp;amp; &quot; &#1078;&#x436; &lt", '<b> &amp; " жж <', []),
    ("&laquo;&nbsp;&copy; & &#0;", "&laquo;&nbsp;&copy; & &#0;", []),
    ("1 > 0", "1 > 0", []),
    ("<pre>a</pre>", "a", [("pre", "a")]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_html_is_refused_with_the_reason_and_the_byte(text: str, reason: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_html(text)
    assert refused.value.description == f"Bad Request: can't parse entities: {reason}"
    assert refused.value.code == 400


@pytest.mark.parametrize(("text", "visible", "marked"), TAKEN)
def test_html_is_read(text: str, visible: str, marked: list[tuple[str, str]]) -> None:
    result, entities = parse_html(text)
    assert result == visible
    assert [(entity.type, utf16_slice(result, entity.offset, entity.length)) for entity in entities] == marked


def test_a_link_keeps_its_address_and_a_wrong_one_leaves_plain_text() -> None:
    text, (entity,) = parse_html('<a href="https://example.org/?a=1&amp;b=2">more</a>')
    assert (text, entity.type, entity.url) == ("more", "text_link", "https://example.org/?a=1&b=2")
    assert parse_html('<a href="http://localhost:8080">x</a>') == ("x", ())
    assert parse_html('<a href="">x</a>') == ("x", ())
    _, (own,) = parse_html("<a>example.org</a>")
    assert own.url == "example.org"


def test_code_inside_pre_names_the_language() -> None:
    text, (entity,) = parse_html('<pre><code class="language-python">x = 1</code></pre>')
    assert (text, entity.type, entity.language) == ("x = 1", "pre", "python")
    assert [entity.language for entity in parse_html('<code class="language-python">x</code>')[1]] == [None]


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(Refused, match="check for unmatched surrogate code units"):
        parse_html("&#xD800;")


@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from("<>/abi &;#x3\"'=жa🙂 \n"), max_size=40))
def test_any_html_is_read_or_refused_and_offsets_stay_inside(text: str) -> None:
    try:
        visible, entities = parse_html(text)
    except Refused:
        return
    assert all(entity.offset >= 0 and entity.end <= utf16_length(visible) for entity in entities)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/start", [("bot_command", "/start")]),
        ("🙂 /start@practice_bot go", [("bot_command", "/start@practice_bot")]),
        ("a/start //x 1/2", []),
        ("mail Ivan.P+tag@mail.example.ru.", [("email", "Ivan.P+tag@mail.example.ru")]),
        ("https://example.org/a?b=1. Да", [("url", "https://example.org/a?b=1")]),
        ("see example.com now", [("url", "example.com")]),
        ("+7 916 123-45-67", [("phone_number", "+7 916 123-45-67")]),
        ("89161234567", [("phone_number", "89161234567")]),
        ("код 123456", []),
        ("123 456", []),
        ("@practice_bot привет", [("mention", "@practice_bot")]),
        ("#новости", [("hashtag", "#новости")]),
    ],
)
def test_telegram_marks_by_itself(text: str, found: list[tuple[str, str]]) -> None:
    entities = find_entities(text)
    assert [(entity.type, utf16_slice(text, entity.offset, entity.length)) for entity in entities] == found
