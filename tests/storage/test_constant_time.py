"""The time a comparison takes tells nothing: every live code is compared, and always as a whole."""

from __future__ import annotations

import hmac

import pytest

from storage.errors import WrongCode
from tests.storage.world import World


class Watched:
    """`hmac` as the code engine sees it; what it was asked to compare is written down."""

    def __init__(self) -> None:
        self.compared: list[bytes] = []

    def compare_digest(self, known: bytes, given: bytes) -> bool:
        self.compared.append(known)
        return hmac.compare_digest(known, given)


async def test_every_live_code_is_compared_in_constant_time_right_or_wrong(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ira = world.person(1)
    await ira.accepts()
    await ira.asks()
    for seconds in (60, 120):
        world.clock.move(seconds=seconds)
        await ira.resends()
    codes, wrong = await ira.codes(), await ira.wrong()
    assert len(codes) == 3
    watched = Watched()
    monkeypatch.setattr("storage.challenges.hmac", watched)
    with pytest.raises(WrongCode):
        await ira.tries(wrong)
    assert watched.compared == [code.encode() for code in codes]
    watched.compared.clear()
    # The first one is right: the other two are looked at all the same.
    assert (await ira.tries(codes[0])).confirmed_now
    assert watched.compared == [code.encode() for code in codes]
