from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.practice.entities import Entity, find_entities, utf16_length
from bot.practice.formatted import to_html
from bot.practice.html_text import parse_html

LINK = 'target="_blank" rel="noopener noreferrer nofollow"'


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("<b>1</b> &lt;script&gt; &amp;", "<b>1</b> &lt;script&gt; &amp;"),
        ("a\nb", "a<br>b"),
        ("<i>x<u>y</u></i><s>z</s>", "<i>x<u>y</u></i><s>z</s>"),
        ("<b>1<i>2</i>3</b>", "<b>1<i>2</i>3</b>"),
        ("<code>a\nb</code>", "<code>a<br>b</code>"),
        ("<pre>a\n&lt;b</pre>", "<pre>a\n&lt;b</pre>"),
        ("<tg-spoiler>x</tg-spoiler>", '<span class="spoiler">x</span>'),
        ("<blockquote>x</blockquote>", "<blockquote>x</blockquote>"),
        ('<a href="https://a.example/?x=1&amp;y=2">x</a>', f'<a href="https://a.example/?x=1&amp;y=2" {LINK}>x</a>'),
        (
            '<a href="https://a.example/&quot;onclick=1">x</a>',
            f'<a href="https://a.example/&quot;onclick=1" {LINK}>x</a>',
        ),
        ("👍<b>👍</b>👍", "👍<b>👍</b>👍"),
        ("'\"", "&#x27;&quot;"),
        ("", ""),
    ],
)
def test_tags(sent: str, shown: str) -> None:
    assert to_html(*parse_html(sent)) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see example.com", f'see <a href="https://example.com" {LINK}>example.com</a>'),
        ("http://a.example/x", f'<a href="http://a.example/x" {LINK}>http://a.example/x</a>'),
        ("a@b.example", f'<a href="mailto:a@b.example" {LINK}>a@b.example</a>'),
        ("@some_bot", f'<a href="https://t.me/some_bot" {LINK}>@some_bot</a>'),
        ("/help me", '<a class="command" href="#/help">/help</a> me'),
        ("+7 916 123 45 67", "+7 916 123 45 67"),
        ("#tag", "#tag"),
    ],
)
def test_what_telegram_marks_by_itself(text: str, shown: str) -> None:
    assert to_html(text, find_entities(text)) == shown


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "javascript://a.b/%0aalert(1)", "data:text/html,x", "", "//", "http://["]
)
def test_an_address_that_is_none_is_no_link(url: str) -> None:
    assert to_html("click", (Entity("text_link", 0, 5, url=url),)) == "click"


def test_marks_that_cross_are_closed_and_opened_anew() -> None:
    html = to_html("abcdef", (Entity("bold", 0, 4), Entity("italic", 2, 4)))
    assert html == "<b>ab<i>cd</i></b><i>ef</i>"


TAGS = re.compile(r"<(/?)(b|i|u|s|code|pre|blockquote|span|a|br)((?: [a-z]+=\"[^\"<>]*\")*)>")
KINDS = ["bold", "italic", "underline", "strikethrough", "code", "pre", "spoiler", "blockquote", "url", "email",
         "mention", "bot_command", "text_link", "hashtag", "cashtag"]  # fmt: skip


@st.composite
def marked(draw: st.DrawFn) -> tuple[str, tuple[Entity, ...]]:
    text = draw(st.text(alphabet="ab<>&\"'\n👍 /@.:", max_size=20))
    length = utf16_length(text)
    found = []
    for _ in range(draw(st.integers(0, 5)) if length else 0):
        offset = draw(st.integers(0, length - 1))
        url = draw(st.sampled_from(["https://a.b/", 'https://a.b/"><script>', "javascript:x"]))
        found.append(Entity(draw(st.sampled_from(KINDS)), offset, draw(st.integers(1, length - offset)), url=url))
    return text, tuple(found)


@given(marked())
def test_whatever_is_marked_the_tags_are_ours_and_nest(message: tuple[str, tuple[Entity, ...]]) -> None:
    html = to_html(*message)
    rest = TAGS.sub("", html)
    assert not set(rest) & set("<>\"'")
    opened: list[str] = []
    for closing, tag, _ in TAGS.findall(html):
        if tag == "br":
            continue
        if closing:
            assert opened.pop() == tag
        else:
            opened.append(tag)
    assert opened == []
