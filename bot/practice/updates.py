"""The queue of updates the bot has not confirmed yet (Bot API, "Getting updates")."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.practice.world import Clock, Json

# Source: Bot API server, public: a press that could not be delivered for 150 s is dropped, everything else after 24 h.
PRESS_LIFETIME = timedelta(seconds=150)
LIFETIME = timedelta(hours=24)
BY_DEFAULT = frozenset({"message", "edited_message", "channel_post", "callback_query", "my_chat_member"})


@dataclass(eq=False)
class Update:
    """One update. `lane`: those of one lane are delivered one after another; `author`: whose deed it is."""

    id: int
    kind: str
    body: Json
    lane: str
    author: int
    at: datetime
    handled: bool = False

    @property
    def lifetime(self) -> timedelta:
        """How long it may wait for the bot."""
        return PRESS_LIFETIME if self.kind == "callback_query" else LIFETIME

    def as_json(self) -> Json:
        """Return the Update object of the Bot API."""
        return {"update_id": self.id, self.kind: self.body}


class UpdateQueue:
    """Ordered updates, those handled included; `on_change` is called whenever one is added or handled."""

    def __init__(self, clock: Clock, first_id: int, on_change: Callable[[], None]) -> None:
        self._clock = clock
        self.next_id = first_id
        self._on_change = on_change
        self._pending: list[Update] = []
        self._again: list[Update] = []
        self.all: dict[int, Update] = {}
        self.allowed = BY_DEFAULT

    def add(self, kind: str, body: Json, chat_id: int, author: int) -> Update | None:
        """Queue an update; None when the bot did not ask for this kind."""
        if kind not in self.allowed:
            return None
        # Source: public Bot API server. A chat's messages and their edits form one lane, a person's presses another:
        # a press may overtake a message, and two of one person's updates may be under way at once.
        lane = {"callback_query": f"press:{author}", "my_chat_member": f"member:{chat_id}"}.get(kind, f"chat:{chat_id}")
        update = Update(self.next_id, kind, body, lane, author, self._clock.now())
        self.next_id += 1
        self._pending.append(update)
        self.all[update.id] = update
        self._on_change()
        return update

    def restore(self, updates: list[Update], next_id: int) -> None:
        """Go on where an earlier run ended: with what still waited, and ids that only rise."""
        self._pending = updates
        self.all = {update.id: update for update in updates}
        self.next_id = next_id

    def restart_ids(self, at: int) -> None:
        """Give the next update the id `at`, as Telegram does after an idle week."""
        self.next_id = at

    def pending(self) -> list[Update]:
        """Return what still waits, oldest first, after dropping what waited too long."""
        for update in [update for update in self._pending if self.expired(update)]:
            self.handled(update)
        return list(self._pending)

    def expired(self, update: Update) -> bool:
        """Tell whether an update has waited longer than it may."""
        return self._clock.now() - update.at > update.lifetime

    def handled(self, update: Update) -> None:
        """Forget an update: the bot has it, or it is dropped."""
        update.handled = True
        if update in self._pending:
            self._pending.remove(update)
        self._on_change()

    def clear(self) -> None:
        """Drop everything that waits."""
        for update in list(self._pending):
            self.handled(update)

    def again(self, update: Update) -> None:
        """Hand an update out once more by the next getUpdates, confirmed or not."""
        self._again.append(update)
        self._on_change()

    def confirm(self, offset: int) -> None:
        """Take `offset` as a poll does: everything before it is confirmed; a negative one keeps only the last ones."""
        pending = self.pending()
        if offset < 0:
            confirmed = pending[:offset]
        elif offset > self.next_id:
            # Ids restarted lower: an offset beyond every id confirms nothing.
            confirmed = []
        else:
            confirmed = [update for update in pending if update.id < offset]
        for update in confirmed:
            self.handled(update)

    def take(self, limit: int) -> list[Update]:
        """Return up to `limit` updates for a poll; they stay until confirmed."""
        again, self._again = self._again[:limit], self._again[limit:]
        return (again + self.pending())[:limit]
