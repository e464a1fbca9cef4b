"""The key of an installation where nothing is configured: made once, kept beside the data it belongs to."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

FILE = "secret_key"


class SettingsError(Exception):
    """The environment cannot be used; `lines` holds one sentence per mistake, each beginning with the setting."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def own_secret(folder: Path) -> str:
    """Return the secret kept in `folder`, made at the first start; two processes starting at once get the same one."""
    path = folder / FILE
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            fresh = path.with_name(f"{FILE}.{secrets.token_hex(4)}")
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(48))
            # A link appears whole or not at all, and never over another process's key.
            with contextlib.suppress(FileExistsError):
                os.link(fresh, path)
            fresh.unlink()
        secret = path.read_text().strip()
    except OSError as error:
        raise SettingsError(
            [f"DATA_DIR: {path} cannot be used ({error.strerror}); write a folder of this user"]
        ) from None
    if len(secret) < 32:
        raise SettingsError([f"SECRET_KEY: {path} is damaged; put the key back from a copy, or write SECRET_KEY"])
    return secret
