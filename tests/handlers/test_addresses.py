from __future__ import annotations

import pytest
from disposable_email_domains import blocklist
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.registration.addresses import (
    BadAddress,
    DisposableDomain,
    ImpossibleAddress,
    ImpossibleDomain,
    NoAtSign,
    display,
    looks_like_address,
    masked,
    parse_address,
    suggest,
)
from handlers.registration.mail_services import COMMON, KNOWN

LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ivan@ya.ru", "ivan@ya.ru"),
        (" ivan@ya.ru \n", "ivan@ya.ru"),
        ("\u00a0ivan@ya.ru\u2009", "ivan@ya.ru"),
        ("\u200bivan\u200d@ya.ru\ufeff", "ivan@ya.ru"),
        ("\u202aivan@ya.ru\u202c", "ivan@ya.ru"),
        ("Ivan.Petrov@YA.RU", "ivan.petrov@ya.ru"),
        ("i.v.a.n+crm@gmail.com", "i.v.a.n+crm@gmail.com"),
        ("mailto:ivan@ya.ru", "ivan@ya.ru"),
        ("MailTo: Ivan@ya.ru?subject=Hello&body=x@y", "ivan@ya.ru"),
        ("mailto:ivan%2Bcrm%40ya.ru", "ivan+crm@ya.ru"),
        ("<ivan@ya.ru>", "ivan@ya.ru"),
        ("<mailto:ivan@ya.ru>", "ivan@ya.ru"),
        ("Иван Петров <ivan@ya.ru>", "ivan@ya.ru"),
        ('"Petrov, Ivan" <ivan@ya.ru>;', "ivan@ya.ru"),
        ("a@b <ivan@ya.ru>", "ivan@ya.ru"),
        ("(ivan@ya.ru)", "ivan@ya.ru"),
        ("[ivan@ya.ru]", "ivan@ya.ru"),
        ("«ivan@ya.ru»", "ivan@ya.ru"),
        ("„ivan@ya.ru“.", "ivan@ya.ru"),
        ('"ivan@ya.ru"', "ivan@ya.ru"),
        ("'ivan@ya.ru'", "ivan@ya.ru"),
        ("`ivan@ya.ru`", "ivan@ya.ru"),
        ("*ivan@ya.ru*", "ivan@ya.ru"),
        ("ivan@ya.ru.", "ivan@ya.ru"),
        ("ivan@ya.ru,", "ivan@ya.ru"),
        ("o'neil@ya.ru", "o'neil@ya.ru"),
        ("ivan＠ya.ru", "ivan@ya.ru"),
        ("ivan﹫ya.ru", "ivan@ya.ru"),
        ("ｉｖａｎ＠ｙａ．ｒｕ", "ivan@ya.ru"),
        ("ivan@ya。ru", "ivan@ya.ru"),
        ("ivan@почта.рф", "ivan@xn--80a1acny.xn--p1ai"),
        ("ivan@ПОЧТА.РФ", "ivan@xn--80a1acny.xn--p1ai"),
        ("ivan@XN--80a1acny.xn--p1ai", "ivan@xn--80a1acny.xn--p1ai"),
        ("ivan@mu\u0308nchen.de", "ivan@xn--mnchen-3ya.de"),
        ("ivan@m\u00fcnchen.de", "ivan@xn--mnchen-3ya.de"),
        ("#!$%&'*+-/=?^_`{|}~@ya.ru", "#!$%&'*+-/=?^_`{|}~@ya.ru"),
        # Punctuation before an address is no part of it far more often than it is.
        ("!ivan@ya.ru", "ivan@ya.ru"),
    ],
)
def test_one_normal_form(text: str, address: str) -> None:
    assert looks_like_address(text)
    assert parse_address(text) == address
    assert parse_address(address) == address


@pytest.mark.parametrize("text", ["", " ", "ivan", "ivan.ya.ru", "ivan собака ya.ru", "+79161234567", "<>"])
def test_no_at_sign(text: str) -> None:
    assert not looks_like_address(text)
    with pytest.raises(NoAtSign):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "domain", "suggestion"),
    [
        ("ivan@localhost", "localhost", None),
        ("ivan@ya", "ya", None),
        ("ivan@Example.TEST", "example.test", None),
        ("ivan@crm.local", "crm.local", None),
        ("ivan@ya..ru", "ya..ru", None),
        ("ivan@-ya.ru", "-ya.ru", None),
        ("ivan@mail_box.ru", "mail_box.ru", None),
        ("ivan@1.2.3.4", "1.2.3.4", None),
        ("ivan@xn--zzzz.ru", "xn--zzzz.ru", None),
        ("ivan@" + "a" * 64 + ".ru", "a" * 64 + ".ru", None),
        ("ivan@" + "long." * 800 + "ru", "long." * 20, None),
        ("Ivan@Gmail,com", "gmail,com", "ivan@gmail.com"),
        ("ivan@mail,ru", "mail,ru", "ivan@mail.ru"),
        ("ivan@gmailcom", "gmailcom", "ivan@gmail.com"),
        ("ivan@yandexru", "yandexru", "ivan@yandex.ru"),
        ("ivan@gmail .com", "gmail .com", "ivan@gmail.com"),
        ("ivan@gmail..com", "gmail..com", "ivan@gmail.com"),
        ("ив@gmail,com", "gmail,com", None),
    ],
)
def test_an_impossible_domain_is_named_with_what_was_meant(text: str, domain: str, suggestion: str | None) -> None:
    with pytest.raises(ImpossibleDomain) as caught:
        parse_address(text)
    assert caught.value == ImpossibleDomain(domain, suggestion)
    if suggestion is not None:
        assert parse_address(suggestion) == suggestion


@pytest.mark.parametrize(
    "text",
    [
        "@ya.ru",
        "ivan@",
        "@",
        "ivan@petrov@ya.ru",
        "ivan petrov@ya.ru",
        "ivan @ya.ru",
        "ivan@ya.ru, petr@ya.ru",
        "иван@ya.ru",
        ".ivan@ya.ru ivan",
        "ivan..petrov@ya.ru",
        "ivan.@ya.ru",
        '"ivan petrov"@ya.ru',
        "a" * 65 + "@ya.ru",
        "ivan²@ya.ru",
    ],
)
def test_other_mistakes(text: str) -> None:
    assert looks_like_address(text)
    with pytest.raises((ImpossibleAddress, ImpossibleDomain)):
        parse_address(text)


def test_disposable_domains_are_refused_with_all_under_them() -> None:
    for domain in ("mailinator.com", "yopmail.com", "10minutemail.com"):
        assert domain in blocklist
        for given_domain in (domain, domain.upper(), f"box.{domain}"):
            with pytest.raises(DisposableDomain) as caught:
                parse_address(f"ivan@{given_domain}")
            assert caught.value == DisposableDomain(given_domain.lower())
    assert parse_address("ivan@mailinator.company") == "ivan@mailinator.company"


def test_no_known_service_is_refused_as_disposable() -> None:
    assert not KNOWN & blocklist
    for domain in KNOWN:
        assert parse_address(f"ivan@{domain}") == f"ivan@{domain}"


def test_hints_know_at_least_forty_services() -> None:
    assert len(set(COMMON)) == len(COMMON) >= 40


@pytest.mark.parametrize(
    ("domain", "meant"),
    [
        ("gmal.com", "gmail.com"),
        ("gmaill.com", "gmail.com"),
        ("gmial.com", "gmail.com"),
        ("gnail.com", "gmail.com"),
        ("gmail.con", "gmail.com"),
        ("gmail.cmo", "gmail.com"),
        ("gmail.ocm", "gmail.com"),
        ("gmail.comm", "gmail.com"),
        ("gmail.co", "gmail.com"),
        ("gmail.cm", "gmail.com"),
        ("gmail.xom", "gmail.com"),
        ("gmailc.om", "gmail.com"),
        ("yandex.rru", "yandex.ru"),
        ("yandex.r", "yandex.ru"),
        ("yndex.ru", "yandex.ru"),
        ("yanedx.ru", "yandex.ru"),
        ("mail.r", "mail.ru"),
        ("mail.ry", "mail.ru"),
        ("mail.ur", "mail.ru"),
        ("maul.ru", "mail.ru"),
        ("mali.ru", "mail.ru"),
        ("inbx.ru", "inbox.ru"),
        ("lst.ru", "list.ru"),
        ("ramler.ru", "rambler.ru"),
        ("internt.ru", "internet.ru"),
        ("iclod.com", "icloud.com"),
        ("outlok.com", "outlook.com"),
        ("hotmial.com", "hotmail.com"),
        ("yaho.com", "yahoo.com"),
        ("tut.bu", "tut.by"),
        ("ya.ry", "ya.ru"),
        ("ya.rru", "ya.ru"),
        ("bk.r", "bk.ru"),
    ],
)
def test_a_slip_in_the_domain_is_hinted_at(domain: str, meant: str) -> None:
    assert suggest(f"ivan.petrov+crm@{domain}") == f"ivan.petrov+crm@{meant}"


@pytest.mark.parametrize(
    "domain", [*sorted(KNOWN), "smarty.ru", "xn--80a1acny.xn--p1ai", "gmial.con", "va.ru", "ya.rs"]
)
def test_a_right_domain_or_one_far_away_is_left_alone(domain: str) -> None:
    assert suggest(f"ivan@{domain}") is None


@pytest.mark.parametrize("text", ["", "ivan", "@gmial.com", "ivan@", "@"])
def test_no_hint_without_an_address(text: str) -> None:
    assert suggest(text) is None


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_every_single_slip_of_a_common_name_is_hinted_at(data: st.DataObject) -> None:
    common = data.draw(st.sampled_from([domain for domain in COMMON if len(domain) >= 6]))
    place = data.draw(st.integers(0, len(common) - 2))
    letter = data.draw(st.sampled_from(LETTERS))
    slip = data.draw(
        st.sampled_from(
            [
                common[:place] + common[place + 1 :],
                common[:place] + letter + common[place:],
                common[:place] + letter + common[place + 1 :],
                common[:place] + common[place + 1] + common[place] + common[place + 2 :],
            ]
        )
    )
    suggestion = suggest(f"ivan@{slip}")
    assert (suggestion is None) == (slip in KNOWN)
    if suggestion is not None:
        assert suggestion.rpartition("@")[2] in COMMON
        assert suggest(suggestion) is None


def slow_distance(first: str, second: str) -> int:
    """Optimal string alignment, written the textbook way."""
    rows = [[max(i, j) if not i * j else 0 for j in range(len(second) + 1)] for i in range(len(first) + 1)]
    for i in range(1, len(first) + 1):
        for j in range(1, len(second) + 1):
            cost = first[i - 1] != second[j - 1]
            rows[i][j] = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + cost)
            if i > 1 and j > 1 and first[i - 1] == second[j - 2] and first[i - 2] == second[j - 1]:
                rows[i][j] = min(rows[i][j], rows[i - 2][j - 2] + 1)
    return rows[-1][-1]


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(COMMON), st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["", *LETTERS, "."])), max_size=3)
)
def test_a_hint_is_exactly_one_slip_away(common: str, edits: list[tuple[int, str]]) -> None:
    domain = common
    for place, letter in edits:
        domain = domain[:place] + letter + domain[place + 1 :]
    domain = domain.rstrip(".")  # a full stop at the end closes the sentence, not the domain
    suggestion = suggest(f"ivan@{domain}")
    if suggestion is not None:
        assert slow_distance(domain, suggestion.removeprefix("ivan@")) == 1
    elif domain not in KNOWN:
        assert all(slow_distance(domain, other) != 1 for other in COMMON if len(other) >= 6)


@settings(deadline=None, max_examples=300)
@given(st.text() | st.from_regex(r"[^@]{0,10}@[^@]{0,12}\.[a-z]{1,4}", fullmatch=True))
def test_no_text_breaks_it_and_the_normal_form_is_stable(text: str) -> None:
    suggest(text)
    try:
        address = parse_address(text)
    except BadAddress:
        return
    assert looks_like_address(text)
    assert address.isascii()
    assert address == address.lower()
    assert parse_address(address) == address
    assert parse_address(display(address)) == address
    assert "@" in masked(address)


@settings(deadline=None)
@given(st.emails())
def test_any_registered_form_is_taken_or_refused_for_a_reason(address: str) -> None:
    try:
        assert parse_address(address).rpartition("@")[0] in address.lower()
    except (ImpossibleAddress, ImpossibleDomain, DisposableDomain):
        assert looks_like_address(address)


def test_forms_to_show() -> None:
    assert display("ivan@xn--80a1acny.xn--p1ai") == "ivan@почта.рф"
    assert display("ivan@ya.ru") == "ivan@ya.ru"
    assert masked("ivan@ya.ru") == "iv***@ya.ru"
    assert masked("iva@xn--80a1acny.xn--p1ai") == "iv***@почта.рф"
    assert masked("iv@ya.ru") == "i***@ya.ru"
    assert masked("i@ya.ru") == "***@ya.ru"
