"""What is derived from the secret."""

from __future__ import annotations

import base64
import hmac
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from storage.keys import Keys, UnknownKey, hkdf

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


@pytest.mark.parametrize(
    ("secret", "salt", "info", "derived"),
    [
        (
            "0b" * 22,
            "000102030405060708090a0b0c",
            "f0f1f2f3f4f5f6f7f8f9",
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            bytes(range(0x50)).hex(),
            bytes(range(0x60, 0xB0)).hex(),
            bytes(range(0xB0, 0x100)).hex(),
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
            "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
        ),
        (
            "0b" * 22,
            "",
            "",
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ],
    ids=["basic", "longer", "without"],
)
def test_keys_are_derived_as_rfc_5869_says(secret: str, salt: str, info: str, derived: str) -> None:
    """Its test cases 1 to 3, those of SHA-256."""
    found = hkdf(bytes.fromhex(secret), bytes.fromhex(info), salt=bytes.fromhex(salt), length=len(derived) // 2)
    assert found.hex() == derived


@given(secret=st.binary(), salt=st.binary(max_size=100), info=st.binary(), length=st.integers(1, 8160))
def test_keys_are_derived_as_the_library_does(secret: bytes, salt: bytes, info: bytes, length: int) -> None:
    theirs = HKDF(algorithm=SHA256(), length=length, salt=salt or None, info=info).derive(secret)
    assert hkdf(secret, info, salt=salt, length=length) == theirs


def test_keys_never_change() -> None:
    """Codes under way, webhook secrets and a year of the ledger hang on them."""
    keys = Keys(SECRET)
    assert keys.key_id == "499e26f8"
    assert keys.derive("webhook secret").hex() == "edf77136685f777e9637190193cd915886ca6303e0c082dc5a0353b320b09225"
    assert keys.number("+79161234567") == "ce97afc2787b69e77eedb05d4e5db1c61df0c5d3c35bd600b10634271c4b716d"
    assert keys.code(CHALLENGE, 1, keys.key_id) == "990627"
