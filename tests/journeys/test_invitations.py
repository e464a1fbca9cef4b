"""Inviting colleagues: by one's own link, and by a letter whose link registers them without typing the address."""

from __future__ import annotations

import asyncio
import io
import logging
import re
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import zxingcpp
from PIL import Image
from redis.asyncio import Redis

from storage.invitation_tables import InvitationState, invitations
from storage.outbox import INVITATION
from storage.tables import accounts, outbox
from tests.fakes.mail import FakeMail, MailFault, parts
from tests.fakes.surfer import Surfer
from tests.journeys.mail_stage import MailStage, follows, goes_on_from_terms, on_mail_stage, payload_in, stop_url_in
from tests.journeys.stage import Registrant, Stage
from tests.waiting import until

COLLEAGUE = "kollega@example.org"


@pytest.fixture
async def mail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeMail]:
    """A mail server whose certificate is trusted."""
    fake = FakeMail(tmp_path)
    await fake.start()
    monkeypatch.setenv("SSL_CERT_FILE", str(fake.bundle))
    yield fake
    await fake.stop()
    assert fake.mistakes == [], "the mail server refused a letter"


@pytest.fixture
async def stage(database_url: str, redis_url: str, tmp_path: Path, mail: FakeMail) -> AsyncIterator[MailStage]:
    """The whole bot on both databases, with a mail server."""
    async with on_mail_stage(database_url, redis_url, tmp_path, mail) as stage:
        yield stage


async def registered(stage: Stage, language: str = "ru") -> Registrant:
    """Somebody who has registered."""
    inviter = stage.someone(language)
    await inviter.registers()
    return inviter


async def funnel(inviter: Registrant, came: int, finished: int) -> None:
    """Look at what came of the own link."""
    await inviter.says("/invite")
    inviter.expects("invite-link", came=came, registered=finished)


async def settled(stage: MailStage, state: InvitationState, count: int = 1) -> None:
    """Wait until so many letters came to this, and nothing of them waits."""

    async def is_so() -> bool:
        waiting = await stage.rows(outbox, outbox.c.kind == INVITATION)
        return not waiting and len(await stage.rows(invitations, invitations.c.state == state)) == count

    await until(is_so)


async def settled_any(stage: MailStage, count: int) -> None:
    """Wait until so many letters are over, one way or the other."""

    async def is_so() -> bool:
        rows = await stage.rows(invitations)
        return sum(row.state in {InvitationState.SENT, InvitationState.REFUSED} for row in rows) == count

    await until(is_so)


async def test_the_own_link_is_on_the_final_message_and_brings_people(stage: MailStage, language: str) -> None:
    inviter = await registered(stage, language)
    inviter.expects("registration-done-invite")
    found = re.search(r"https://t\.me/\w+\?start=(r_[0-9a-z]{8})", inviter.last())
    assert found is not None
    await funnel(inviter, 0, 0)
    assert found[0] in inviter.last()
    drawn = Image.open(io.BytesIO(inviter.person.chat[-1].file or b""))
    assert [code.text for code in zxingcpp.read_barcodes(drawn)] == [found[0]]
    _, share = inviter.person.button(inviter.label("button-invite-share"))
    assert str(share.url).startswith("https://t.me/share/url?url=https%3A%2F%2Ft.me%2F")
    friend = stage.someone(language)
    await follows(friend, found[1])
    await friend.says(friend.email)
    await goes_on_from_terms(friend)
    await funnel(inviter, 1, 1)


async def test_f28_the_own_link_is_there_after_a_flush(stage: MailStage, redis: Redis) -> None:
    inviter = await registered(stage)
    (link,) = re.findall(r"start=r_\w+", inviter.last())
    await redis.flushdb()
    await inviter.says("hello")
    assert link in inviter.last()
    await funnel(inviter, 0, 0)


async def test_who_is_not_registered_yet_is_told_when_they_can(stage: MailStage) -> None:
    ira = stage.someone()
    await ira.reaches_terms()
    await ira.says(f"/invite {COLLEAGUE}")
    assert ira.was_told("invite-later")
    ira.expects("registration-terms-prompt")
    assert stage.mail.letters == []


async def test_a_letter_registers_a_colleague_without_typing_the_address(stage: MailStage, language: str) -> None:
    inviter = await registered(stage, language)
    await inviter.says(f"/invite  {COLLEAGUE.upper()} ")
    inviter.expects("invite-sent", email=COLLEAGUE)
    letter = await stage.mail.letter()
    colleague = stage.someone(language)
    await follows(colleague, payload_in(letter))
    assert colleague.was_told("invited-welcome", email=COLLEAGUE)
    await goes_on_from_terms(colleague)
    (account,) = await stage.rows(accounts, accounts.c.telegram_id == colleague.id)
    assert (account.email, account.email_verified) == (COLLEAGUE, True)
    await funnel(inviter, 1, 1)
    await settled(stage, InvitationState.SENT)
    # Nothing says who was invited any more.
    (row,) = await stage.rows(invitations)
    assert (row.email, row.invitee) == (None, None)


async def test_the_letter_says_who_invites_and_until_when(stage: MailStage, language: str) -> None:
    inviter = await registered(stage, language)
    await inviter.says(f"/invite {COLLEAGUE}")
    letter = await stage.mail.letter()
    text, html = parts(letter)
    assert "Ира" in text
    assert "Ира" in html
    assert "Smarty CRM" in str(letter["Subject"])
    assert str(letter["From"]) == f"Smarty CRM <{stage.mail.sender}>"
    assert letter["Auto-Submitted"] == "auto-generated"
    assert stop_url_in(letter) in text
    assert stop_url_in(letter) in html
    assert inviter.said(text, "letter-until")


async def test_f28_a_followed_link_survives_a_flush_and_stays_verified(stage: MailStage, redis: Redis) -> None:
    inviter = await registered(stage)
    await inviter.says(f"/invite {COLLEAGUE}")
    colleague = stage.someone()
    await follows(colleague, payload_in(await stage.mail.letter()))
    await redis.flushdb()
    await colleague.says("hello")
    await goes_on_from_terms(colleague)
    (account,) = await stage.rows(accounts, accounts.c.telegram_id == colleague.id)
    assert (account.email, account.email_verified) == (COLLEAGUE, True)


async def test_a_link_works_once_and_the_late_one_goes_on_as_everybody(stage: MailStage, language: str) -> None:
    inviter = await registered(stage, language)
    await inviter.says(f"/invite {COLLEAGUE}")
    payload = payload_in(await stage.mail.letter())
    first, second = stage.someone(language), stage.someone(language)
    await asyncio.gather(follows(first, payload), follows(second, payload))
    won, lost = sorted((first, second), key=lambda person: not person.was_told("invited-welcome"))
    assert won.was_told("invited-welcome")
    assert not lost.was_told("invited-welcome")
    assert lost.was_told("invited-gone")
    # The same person may open it again.
    await follows(won, payload)
    won.expects("registration-terms-prompt")
    assert not won.was_told("invited-gone")
    await goes_on_from_terms(won)
    await lost.says(lost.email)
    await goes_on_from_terms(lost)
    await funnel(inviter, 1, 1)


async def test_a_link_that_is_too_old_or_made_up_is_no_obstacle(stage: MailStage) -> None:
    inviter = await registered(stage)
    await inviter.says(f"/invite {COLLEAGUE}")
    payload = payload_in(await stage.mail.letter())
    stage.clock.move(days=14, minutes=1)
    for number, shown in enumerate((payload, "i_" + "A" * 24, "i_x", f"i_{'z' * 62}")):
        person = stage.someone()
        await follows(person, shown)
        assert person.was_told("invited-gone"), number
        person.expects("registration-email-prompt")
    await person.registers()


async def test_a_registered_person_uses_nothing_up(stage: MailStage) -> None:
    inviter, other = await registered(stage), await registered(stage)
    await inviter.says(f"/invite {COLLEAGUE}")
    payload = payload_in(await stage.mail.letter())
    await follows(other, payload)
    assert other.was_told("invited-already")
    other.expects("registration-done")
    colleague = stage.someone()
    await follows(colleague, payload)
    await goes_on_from_terms(colleague)


async def test_the_mailbox_takes_the_address_from_who_only_claimed_it(stage: MailStage) -> None:
    inviter, claimant = await registered(stage), stage.someone()
    await inviter.says(f"/invite {COLLEAGUE}")
    payload = payload_in(await stage.mail.letter())
    claimant.email = COLLEAGUE
    await claimant.registers()
    colleague = stage.someone()
    await follows(colleague, payload)
    await goes_on_from_terms(colleague)
    await claimant.is_told("notice-address-lost")


async def test_who_has_a_better_right_to_the_address_keeps_it(stage: MailStage) -> None:
    """They registered by another letter meanwhile; the link is not used up by the refusal."""
    inviter, other, owner = await registered(stage), await registered(stage), stage.someone()
    await inviter.says(f"/invite {COLLEAGUE}")
    first = payload_in(await stage.mail.letter())
    stage.clock.move(days=13, hours=23)
    await other.says(f"/invite {COLLEAGUE}")
    await settled(stage, InvitationState.WITHHELD)
    stage.clock.move(minutes=30)
    await follows(owner, first)
    await goes_on_from_terms(owner)
    stage.clock.move(days=1)
    await other.says("/invite another@example.org")
    late = stage.someone()
    await follows(late, payload_in(await stage.mail.letter(2)))
    await goes_on_from_terms(late)


async def test_t15_what_is_said_is_the_same_whoever_has_the_address(stage: MailStage) -> None:
    inviter, known = await registered(stage), await registered(stage)
    said = []
    for address in ("new@example.org", known.email):
        await inviter.says(f"/invite {address}")
        said.append(inviter.last().replace(address, "it"))
    assert said[0] == said[1]
    await settled(stage, InvitationState.WITHHELD)
    await settled(stage, InvitationState.SENT)
    assert stage.mail.recipients == ["new@example.org"]
    await inviter.says(f"/invite {inviter.email}")
    inviter.expects("invite-yourself")


async def test_who_asked_for_no_letters_gets_none_from_anybody(stage: MailStage, language: str) -> None:
    inviter, other = await registered(stage, language), await registered(stage, language)
    await inviter.says(f"/invite {COLLEAGUE}")
    stop = stop_url_in(await stage.mail.letter())
    async with Surfer(language) as surfer:
        # Guards of mailboxes open every link: that asks for nothing.
        await surfer.open(stop)
        assert surfer.status == 200
        assert "form-action 'self'" in surfer.headers["Content-Security-Policy"]
        stage.clock.move(days=15)
        await inviter.says(f"/invite {COLLEAGUE}")
        await stage.mail.letter(2)
        await surfer.choose(inviter.label("page-mail-stop-button"))
        assert inviter.label("page-mail-stopped") in surfer.text
        await surfer.open(stop + "x")
        assert surfer.status == 400
    stage.clock.move(days=15)
    await other.says(f"/invite {COLLEAGUE}")
    other.expects("invite-sent", email=COLLEAGUE)
    await settled(stage, InvitationState.WITHHELD)
    assert len(stage.mail.letters) == 2


async def test_limits_of_the_inviter_and_of_the_mailbox(stage: MailStage) -> None:
    inviter = await registered(stage)
    for number in range(10):
        await inviter.says(f"/invite {'same' if number < 2 else f'n{number}'}@example.org")
        inviter.expects("invite-sent")
    await inviter.says("/invite eleventh@example.org")
    inviter.expects("invite-limit")
    await settled(stage, InvitationState.SENT, 9)
    assert sorted(stage.mail.recipients)[-1] == "same@example.org"
    assert stage.mail.recipients.count("same@example.org") == 1
    stage.clock.move(days=1, minutes=1)
    await inviter.says("/invite eleventh@example.org")
    inviter.expects("invite-sent")


async def test_f3_a_server_that_is_away_is_tried_again(stage: MailStage, mail: FakeMail) -> None:
    inviter = await registered(stage)
    await mail.stop()
    await inviter.says(f"/invite {COLLEAGUE}")

    async def waits() -> bool:
        rows = await stage.rows(outbox, outbox.c.kind == INVITATION)
        return [row.error for row in rows] == ["unavailable"]

    await until(waits)
    await mail.start()
    stage.clock.move(minutes=1)
    stage.app.courier.wake()
    await settled(stage, InvitationState.SENT)
    colleague = stage.someone()
    await follows(colleague, payload_in(await mail.letter()))
    await goes_on_from_terms(colleague)


async def test_a_server_that_never_comes_back_is_given_up_and_the_inviter_told(
    stage: MailStage, mail: FakeMail
) -> None:
    inviter = await registered(stage)
    mail.refuses[COLLEAGUE] = "451 4.7.1 <{address}>: Greylisted"
    await inviter.says(f"/invite {COLLEAGUE}")
    await until(lambda: mail.attempts[COLLEAGUE] == 1)
    stage.clock.move(hours=24)
    stage.app.courier.wake()
    await inviter.is_told("notice-invitation-failed", address="ko***@example.org")
    await settled(stage, InvitationState.FAILED)


async def test_f5_a_refusal_is_told_and_the_way_on_works(stage: MailStage, mail: FakeMail) -> None:
    inviter = await registered(stage)
    mail.refuses[COLLEAGUE] = "550 5.1.1 <{address}>: Recipient address rejected"
    await inviter.says(f"/invite {COLLEAGUE}")
    await inviter.is_told("notice-invitation-refused", address="ko***@example.org")
    await settled(stage, InvitationState.REFUSED)
    await inviter.says("/invite right@example.org")
    await until(lambda: "right@example.org" in mail.recipients)


async def test_f2_a_letter_that_may_have_left_is_not_repeated(stage: MailStage, mail: FakeMail) -> None:
    inviter = await registered(stage)
    mail.faults.append(MailFault.DROPS_AFTER_DATA)
    await inviter.says(f"/invite {COLLEAGUE}")
    await inviter.is_told("notice-invitation-unknown")
    await settled(stage, InvitationState.UNKNOWN)
    assert len(mail.letters) == 1
    colleague = stage.someone()
    await follows(colleague, payload_in(await mail.letter()))
    await goes_on_from_terms(colleague)


async def test_t25_no_log_names_the_invited_or_holds_a_link(
    stage: MailStage, mail: FakeMail, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    inviter = await registered(stage)
    mail.says += ["550 5.1.1 <{address}>: rejected", "451 4.7.1 <{address}>: later"]
    for number in range(3):
        await inviter.says(f"/invite leak{number}@example.org")
        # One after the other: each gets an answer of its own.
        await until(partial(mail.attempts.__contains__, f"leak{number}@example.org"))
    await settled_any(stage, 2)
    letter = await mail.letter()
    async with Surfer() as surfer:
        await surfer.open(stop_url_in(letter))
        await surfer.choose(inviter.label("page-mail-stop-button"))
    await follows(stage.someone(), payload_in(letter))
    # The mail server's own log is another's.
    said = "\n".join(record.getMessage() for record in caplog.records if not record.name.startswith("mail."))
    assert "is refused: SMTP 550 5.1.1" in said
    for secret in ("leak0", "leak1", "leak2", payload_in(letter)[2:], stop_url_in(letter).partition("t=")[2]):
        assert secret not in said


async def test_who_erases_their_data_takes_the_waiting_letter_along(stage: MailStage, mail: FakeMail) -> None:
    inviter = await registered(stage)
    await mail.stop()
    await inviter.says(f"/invite {COLLEAGUE}")
    await inviter.says("/delete")
    await inviter.presses(inviter.label("button-delete"))
    assert await stage.rows(outbox, outbox.c.kind == INVITATION) == []
    await mail.start()
