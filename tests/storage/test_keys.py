"""What is derived from the secret."""

from __future__ import annotations

import base64
import hmac
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.keys import Keys, UnknownKey

SECRET, NEXT = "first secret of thirty-two or more", "second secret of thirty-two or more"
CHALLENGE = UUID(int=7)


@given(challenge=st.uuids(), n=st.integers(1, 1000))
def test_a_code_is_six_digits_and_always_the_same(challenge: UUID, n: int) -> None:
    keys = Keys(SECRET)
    code = keys.code(challenge, n, keys.key_id)
    assert len(code) == 6
    assert code.isascii()
    assert code.isdigit()
    assert Keys(SECRET).code(challenge, n, keys.key_id) == code


def test_truncation_is_that_of_rfc_4226(monkeypatch: pytest.MonkeyPatch) -> None:
    # The digest and the value of RFC 4226 section 5.4.
    digest = bytes.fromhex("1f8698690e02ca16618550ef7f19da8e945b555a")
    keys = Keys(SECRET)
    monkeypatch.setattr(hmac, "digest", lambda key, message, kind: digest)
    assert keys.code(CHALLENGE, 1, keys.key_id) == "872921"
    assert keys.code(CHALLENGE, 1, keys.key_id, length=8) == "57872921"


def test_codes_differ_by_challenge_number_and_secret() -> None:
    keys, other = Keys(SECRET), Keys(NEXT)
    codes = {keys.code(UUID(int=n), m, keys.key_id) for n in range(30) for m in (1, 2, 3)}
    assert len(codes) > 85
    assert keys.code(CHALLENGE, 1, keys.key_id) != other.code(CHALLENGE, 1, other.key_id)


def test_two_keys_may_be_live_for_a_rotation() -> None:
    old, new = Keys(SECRET), Keys(NEXT, previous=SECRET)
    assert new.key_id != old.key_id
    assert new.code(CHALLENGE, 1, old.key_id) == old.code(CHALLENGE, 1, old.key_id)
    assert new.numbers("+79161234567") == (new.number("+79161234567"), old.number("+79161234567"))
    with pytest.raises(UnknownKey):
        Keys(NEXT).code(CHALLENGE, 1, old.key_id)


def test_the_ledger_names_a_range_without_its_last_four_digits() -> None:
    keys = Keys(SECRET)
    assert keys.prefix("+79161234567") == keys.prefix("+79161239999") != keys.prefix("+79161244567")
    assert len({keys.person(7), keys.number("7"), keys.address("7"), keys.prefix("70000")}) == 4


def test_purposes_are_apart_and_secrets_do_not_show() -> None:
    keys = Keys(SECRET)
    assert keys.derive("webhook") == Keys(SECRET).derive("webhook") != keys.derive("start")
    assert len(keys.derive("webhook")) == 32
    shown = repr(keys) + str(keys)
    assert SECRET not in shown
    assert base64.b64encode(keys.derive("code")).decode() not in shown
