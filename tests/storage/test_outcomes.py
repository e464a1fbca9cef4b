"""What an update that comes again is answered: as it was, read afresh, and kept without anything personal."""

from __future__ import annotations

import pytest

from storage import errors
from storage.applied import encode
from storage.database import Database
from storage.errors import Limit, LimitReached, NoAccount, WrongCode
from storage.models import CodeSent, Progress, UpdateRef
from storage.statements import Connection
from storage.tables import applied_updates
from tests.storage.world import MOMENT, World


async def test_outcomes_hold_nothing_personal_and_are_read_afresh(world: World) -> None:
    ira = world.person(1)
    update, asking = ira.update(), ira.update()
    first = await ira.accepts(update=update)
    sent = await ira.asks(update=asking)
    kept = repr([row.outcome for row in await world.rows(applied_updates)])
    assert ira.email not in kept
    assert "+7916" not in kept
    again = await ira.accepts(update=update)
    assert again.account.asked_number == "+79161234567"
    assert again.account.id == first.account.id
    assert await ira.asks(update=asking) == sent
    await world.accounts.erase(ira.update(), world.now)
    with pytest.raises(NoAccount):
        await ira.asks(update=asking)
    with pytest.raises(NoAccount):
        await ira.accepts(update=update)


async def test_a_replayed_confirmation_still_names_whom_to_forget(world: World) -> None:
    await world.person(2, "shared@example.org").accepts()
    ira = world.person(1, "shared@example.org")
    await ira.accepts()
    update = ira.update()
    first = await ira.asks(contact=True, needs_code=False, update=update)
    assert isinstance(first, Progress)
    assert (first.confirmed_now, first.displaced) == (True, (2,))
    assert await ira.asks(contact=True, needs_code=False, update=update) == first


async def test_a_code_that_was_asked_for_and_is_proven_meanwhile_replays(world: World) -> None:
    ira = world.person(1)
    await ira.accepts()
    update = ira.update()
    await ira.asks(update=update)
    await ira.tries((await ira.codes())[0])
    replayed = await ira.asks(update=update)
    assert isinstance(replayed, CodeSent)
    assert replayed.account.phone == replayed.number


def test_every_refusal_can_be_kept() -> None:
    examples = {
        "NoAccount": errors.NoAccount(),
        "AddressTaken": errors.AddressTaken(),
        "IdentityTaken": errors.IdentityTaken(),
        "NumberTaken": errors.NumberTaken(),
        "LimitReached": LimitReached(Limit.WRONG_CODES, MOMENT),
        "NothingIsSent": errors.NothingIsSent(Limit.PAUSED),
        "ResendTooEarly": errors.ResendTooEarly(MOMENT),
        "NothingToResend": errors.NothingToResend(),
        "WrongCode": WrongCode(2),
        "CodeExpired": errors.CodeExpired(),
        "TooManyTries": errors.TooManyTries(),
        "PromoUnknown": errors.PromoUnknown(),
        "PromoNotNow": errors.PromoNotNow(),
        "PromoUsedUp": errors.PromoUsedUp(),
        "PromoUsedBefore": errors.PromoUsedBefore(),
        "PromoTooLate": errors.PromoTooLate(),
        "InvitationGone": errors.InvitationGone(),
    }
    named = {kind.__name__ for kind in vars(errors).values() if isinstance(kind, type)}
    assert set(examples) == named & {
        kind.__name__ for kind in errors.Refusal.__subclasses__() if kind.__module__ == errors.__name__
    }
    for name, refusal in examples.items():
        assert encode(refusal)["name"] == name
    with pytest.raises(TypeError):
        encode(object())


async def test_every_refusal_comes_back_as_it_was(database: Database) -> None:
    for number, refusal in enumerate((LimitReached(Limit.WRONG_CODES, MOMENT), errors.ResendTooEarly(MOMENT))):

        async def work(conn: Connection, raised: errors.Refusal = refusal) -> None:
            raise raised

        for _ in range(2):
            with pytest.raises(type(refusal)) as again:
                await database.write(UpdateRef(1, number), work)
            assert again.value == refusal
