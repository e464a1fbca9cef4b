"""What is told to a person of what is stored about them, and what is left when they are erased."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from storage.exports import ACCOUNT, CODES, LINKED, NUMBERS, Exports
from storage.keys import Keys
from storage.tables import accounts, applied_updates, challenges, identities, metadata, sends, terms_acceptances
from tests.sql import connected
from tests.storage.world import NUMBER, OTHER_NUMBER, SECRET, World

HMAC = re.compile(r"\b[0-9a-f]{64}\b")
# What is stored and not told: whose it is, or a key of ours.
KEPT_BACK = {
    "accounts": {"id", "touch_id"},
    "identities": {"id", "telegram_id"},
    "challenges": {"id", "account_id", "number_hmac", "key_id"},
    "sends": {
        "id", "challenge_id", "code_n", "number_hmac", "prefix_hmac", "person_hmac", "price", "provider_id", "repeated",
    },
}  # fmt: skip


def exports(world: World) -> Exports:
    return Exports(world.database, world.keys)


async def test_who_has_no_account_has_nothing(world: World) -> None:
    await world.person(1).gives("ira@example.org")
    assert await exports(world).of(1) is None


async def test_everything_personal_is_told(world: World) -> None:
    ira = world.person(1)
    await ira.accepts(version="2025-12")
    world.clock.move(minutes=1)
    await ira.accepts()
    await ira.asks(NUMBER)
    await world.deliver()
    with pytest.raises(Exception, match=r".*"):
        await ira.tries(await ira.wrong())
    world.clock.move(minutes=5)
    await ira.asks(OTHER_NUMBER)
    (code,) = await world.deliver()
    progress = await ira.tries(code)
    assert progress.confirmed_now
    told = await exports(world).of(1)
    assert told is not None
    account = await ira.account()
    assert told["account"] == {
        "id": str(account.id), "status": "confirmed", "telegram_id": 1, "language": "ru", "email": ira.email,
        "email_verified": False, "phone": OTHER_NUMBER, "phone_proof": "code",
        "phone_proven_at": world.now.isoformat(), "terms_version": "2026-01",
        "terms_accepted_at": "2026-05-04T12:01:00+00:00", "created_at": "2026-05-04T12:00:00+00:00",
        "expires_at": "2026-05-05T12:00:00+00:00", "reminded_at": None, "confirmed_at": world.now.isoformat(),
        "blocked_at": None, "promo": None,
    }  # fmt: skip
    assert [(row["version"], row["sentence_sha256"]) for row in told["terms"]] == [
        ("2025-12", "0" * 64), ("2026-01", "0" * 64),
    ]  # fmt: skip
    assert [(row["number"], row["state"], row["attempts"]) for row in told["numbers"]] == [
        (NUMBER, "replaced", 1), (OTHER_NUMBER, "confirmed", 1),
    ]  # fmt: skip
    assert [(row["channel"], row["gateway"], row["state"]) for row in told["codes"]] == [
        ("sms", "console", "accepted"), ("sms", "console", "accepted"),
    ]  # fmt: skip
    assert [row["outcome"] for row in told["entered_codes"]] == ["wrong", "right"]
    assert {row["kind"] for row in told["looked_up"]} == {"number"}
    assert len(told["updates"]) == len(await world.rows(applied_updates, applied_updates.c.telegram_id == 1))
    json.dumps(told)


async def test_no_code_no_hmac_and_nothing_of_others_is_told(world: World) -> None:
    petr, ira = world.person(2, "petr@example.org"), world.person(1)
    await petr.registers(OTHER_NUMBER)
    await ira.accepts()
    await ira.asks(NUMBER)
    (code,) = await world.deliver()
    text = json.dumps(await exports(world).of(1))
    # Only the hash of the sentence, which everybody who accepted has alike.
    assert set(HMAC.findall(text)) == {"0" * 64}
    assert code not in text
    for other in (petr.email, OTHER_NUMBER, str((await petr.account()).id), world.keys.key_id):
        assert other not in text


async def test_an_account_elsewhere_is_told_before_the_account_is_there(world: World) -> None:
    row = {
        "provider": "google", "issuer": "https://accounts.google.com", "subject": "110169484474386276334",
        "email": "ira@gmail.com", "email_verified": True,
    }  # fmt: skip
    async with connected(world.database) as conn:
        await conn.execute(
            identities.insert().values(id=world.database.new_id(), telegram_id=1, linked_at=world.now, **row)
        )
    linked = [{**row, "linked_at": world.now.isoformat()}]
    assert await exports(world).of(1) == {"account": None, "linked": linked, "invited": []}
    assert await exports(world).of(2) is None
    await world.person(1).accepts()
    told = await exports(world).of(1)
    assert told is not None
    assert told["linked"] == linked


async def test_an_earlier_account_of_the_same_person_is_not_told(world: World) -> None:
    ira = world.person(1)
    await ira.accepts()
    await ira.asks(NUMBER)
    await world.deliver()
    await world.accounts.erase(ira.update(), world.now)
    world.clock.move(hours=1)
    await ira.accepts()
    told = await exports(world).of(1)
    assert told is not None
    assert (told["numbers"], told["codes"], told["entered_codes"], told["looked_up"]) == ([], [], [], [])
    assert len(told["terms"]) == 1


async def test_after_a_change_of_the_secret_key_the_rows_before_it_are_told_too(world: World) -> None:
    ira = world.person(1)
    await ira.accepts()
    await ira.asks(NUMBER)
    told = await Exports(world.database, Keys("another secret, long enough for the tests", SECRET)).of(1)
    assert told is not None
    assert len(told["codes"]) == 1


def test_every_column_is_told_or_kept_back_for_a_reason() -> None:
    """A column that is added later is decided about here."""
    told = {"accounts": set(ACCOUNT), "challenges": set(NUMBERS), "sends": set(CODES), "identities": set(LINKED)}
    for table in (accounts, challenges, identities, sends):
        assert {column.name for column in table.columns} == told[table.name] | KEPT_BACK[table.name], table.name
    # And a table.
    assert set(metadata.tables) == {
        "accounts", "applied_updates", "challenges", "code_attempts", "early_reports", "event_stops", "identities",
        "known_accounts", "lookups",
        "outbox", "prefix_blocks", "sends", "terms_acceptances",
        # Sums over everybody.
        "running_costs",
        # Of a person they hold marks alone; what of it is an account's is told with that.
        "campaigns", "click_days", "click_visitors", "former_people", "partners", "promo_codes", "promo_uses",
        "touches",
        # Marks too, but for an address between an invitation's use and the account, which is told while it is there.
        "invitations", "mail_stops",
    }  # fmt: skip


@pytest.mark.parametrize("by", ["the person", "the clock"])
async def test_what_is_left_of_an_erased_person_is_proof_without_personal_data(world: World, by: str) -> None:
    ira = world.person(7_000_000_001, "ira.personal@example.org")
    await ira.accepts()
    await ira.asks(NUMBER)
    await world.deliver()
    world.clock.move(minutes=5)
    await ira.asks(OTHER_NUMBER)
    account = await ira.account()
    if by == "the person":
        await world.accounts.erase(ira.update(), world.now)
    else:
        world.clock.move(days=1, minutes=1)
        assert await world.expiry.expire_due(world.now) == [ira.id]
        await world.deliver()
    (proof,) = await world.rows(terms_acceptances)
    assert {column.name for column in terms_acceptances.columns} == {
        "id", "account_id", "version", "language", "sentence_hash", "accepted_at",
    }  # fmt: skip
    assert (proof.account_id, proof.version, proof.language) == (account.id, "2026-01", "ru")
    # Their updates' ids stay for the two days in which Telegram may repeat one.
    kept = await world.rows(applied_updates)
    assert {row.telegram_id for row in kept} == {ira.id}
    assert not any("@" in str(row.outcome) or "+7" in str(row.outcome) for row in kept)
    # Updates are dated by the database's own clock.
    await world.expiry.prune_applied(datetime.now(UTC) + timedelta(days=2, minutes=1))
    left = await world.everything()
    for personal in (ira.email, NUMBER, NUMBER[1:], OTHER_NUMBER, OTHER_NUMBER[1:], str(ira.id)):
        assert personal not in left
    assert str(account.id) in left


async def test_the_proof_can_be_checked_by_who_knows_the_account(world: World) -> None:
    """The id that the person was told, and that the CRM knows, leads to what they accepted and when."""
    ira = world.person(1)
    await ira.accepts()
    told = await exports(world).of(1)
    assert told is not None
    await world.accounts.erase(ira.update(), world.now)
    rows = await world.rows(terms_acceptances)
    assert [str(row.account_id) for row in rows] == [told["account"]["id"]]
    assert rows[0].accepted_at.isoformat() == told["terms"][0]["accepted_at"]
