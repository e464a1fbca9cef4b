"""A person who does every step once: whatever the bot loses stays lost, and whatever it repeats shows."""

from __future__ import annotations

import itertools
import re

from tests.journeys.stage import Registrant

STEPS = ("start", "email", "tick", "register", "number", "code")


class Walker:
    """A person who does every step of the registration once and repeats nothing."""

    def __init__(self, ira: Registrant) -> None:
        self.ira = ira
        self.done = 0

    @property
    def next(self) -> str:
        return STEPS[self.done]

    async def acts(self, code_within: float = 10) -> None:
        """Do the next step without waiting for its answer; the SMS with the code may take so many seconds."""
        ira, step = self.ira, self.next
        self.done += 1
        match step:
            case "start":
                await ira.person.send("/start")
            case "email":
                await ira.person.send(ira.email)
            case "tick":
                await ira.person.press(ira.label("terms-consent"))
            case "register":
                await ira.person.press(ira.label("button-register"))
            case "number":
                await ira.person.send(ira.phone)
            case "code":
                await ira.stage.smsc.wait_for(ira.phone, timeout=code_within)
                await ira.person.send(await ira.code())

    def is_answered(self) -> bool:
        """Whether the newest message is what comes after the step done last."""
        if self.done == 0:
            return True
        if not self.ira.heard():
            return False
        step = STEPS[self.done - 1]
        if step == "tick":
            return self.ira.label("terms-consent-ticked") in self.ira.person.answers[-1].labels
        key = {"start": "email-prompt", "email": "terms-prompt", "register": "phone-prompt", "number": "code-prompt"}
        return self.ira.said(self.ira.last(), f"registration-{key.get(step, 'done')}")

    async def is_heard(self, seconds: float) -> None:
        """Wait until the step done last is answered and taken."""
        await self.ira.stage.api.until(self.is_answered, seconds)
        await self.ira.person.settled(seconds)

    async def walks(self, steps: int, seconds: float = 10) -> None:
        """Go on until so many steps are done, each answered in time."""
        while self.done < steps:
            await self.acts(seconds)
            await self.is_heard(seconds)

    def story(self) -> list[str]:
        """What the bot said, without what differs from person to person, or from one copy to the next of a box."""
        own = (re.sub(r"start=r_\w{8}", "start=r_own", text) for text in self.ira.heard())
        return [re.sub(r"\d", "0", text).replace("☑", "☐") for text in own]

    def story_told_once(self) -> list[str]:
        """The same, what was said twice in a row taken for one."""
        return [text for text, _ in itertools.groupby(self.story())]
