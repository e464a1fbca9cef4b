"""The lines that README gives to a CRM, as they stand there."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from joserfc import jwt
from joserfc.jwk import KeySet
from redis import Redis

README = Path(__file__).parents[1] / "README.md"

SignedIn = Callable[[str, str, str, str, Redis], str]


def signed_in() -> SignedIn:
    """Return README's function; what its imports would bring is given to it."""
    section = README.read_text(encoding="utf-8").split("## Signing people in", 1)[1]
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found is not None
    names: dict[str, Any] = {"json": json, "urllib": urllib, "jwt": jwt, "KeySet": KeySet, "Redis": Redis}
    exec(compile(found[1], str(README), "exec"), names)
    return cast(SignedIn, names["signed_in"])
