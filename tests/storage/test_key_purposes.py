"""One key per purpose: what the ledger keeps is made with another key than the codes, under names that never change."""

from __future__ import annotations

import hashlib
import hmac

from storage.keys import Keys

SECRET = "a secret of the tests, long enough for them"


def made_with(purpose: str, value: str) -> str:
    return hmac.digest(Keys(SECRET).derive(purpose), value.encode(), hashlib.sha256).hex()


def test_the_ledgers_hmacs_are_made_with_the_ledgers_key_and_name_what_they_stand_for() -> None:
    keys = Keys(SECRET)
    assert keys.person(79161234567) == made_with("ledger", "person:79161234567")
    assert keys.number("+79161234567") == made_with("ledger", "number:+79161234567")
    assert keys.prefix("+79161234567") == made_with("ledger", "prefix:+7916123")
    assert keys.address("ira@example.org") == made_with("ledger", "address:ira@example.org")


def test_no_two_purposes_share_a_key() -> None:
    keys = Keys(SECRET)
    purposes = ("code", "ledger", "key-id", "webhook secret")
    assert len({keys.derive(purpose) for purpose in purposes}) == len(purposes)
    assert keys.key_id == keys.derive("key-id")[:4].hex()
