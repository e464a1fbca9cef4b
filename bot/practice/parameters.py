"""What a call or a webhook's answer carries: JSON, form or multipart, brought to text values and files."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import BodyPartReader, MultipartReader, StreamReader
from aiohttp.base_protocol import BaseProtocol

from bot.practice.refusals import bad_request


@dataclass(frozen=True)
class Upload:
    """A file sent along; `kind` is its MIME type as the sender says it."""

    name: str
    data: bytes
    kind: str


@dataclass
class Parameters:
    """The arguments of one call: every value is text, as on the wire."""

    values: dict[str, str] = field(default_factory=dict)
    files: dict[str, Upload] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Return a text argument; absent and empty are the same to Telegram."""
        return self.values.get(name, "")

    def integer(self, name: str, default: int = 0) -> int:
        """Return a whole number; what is not one counts as 0, as on the public server."""
        raw = self.values.get(name)
        if raw is None:
            return default
        try:
            return int(raw.strip())
        except ValueError:
            return 0

    def flag(self, name: str) -> bool:
        """Return a yes-or-no argument."""
        return self.text(name).strip().lower() in ("true", "yes", "1")

    def json(self, name: str) -> Any:
        """Return a JSON argument, None when it is absent. Refuses text that is not JSON."""
        raw = self.text(name)
        if not raw:
            return None
        try:
            return json.loads(raw)
        except ValueError:
            raise bad_request(f"can't parse {name} JSON object") from None

    def file(self, name: str) -> Upload | None:
        """Return the uploaded file an argument holds, or points to by `attach://<part>`."""
        return self.files.get(self.text(name).removeprefix("attach://")) or self.files.get(name)

    def readable(self) -> dict[str, Any]:
        """Return the arguments for people to read: JSON arguments opened, files by name."""
        opened: dict[str, Any] = {name: _opened(value) for name, value in self.values.items()}
        return opened | {name: upload.name for name, upload in self.files.items()}


def _opened(value: str) -> Any:
    if not value.startswith(("{", "[")):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


async def read_body(headers: Mapping[str, str], content_type: str, body: bytes) -> Parameters:
    """Return the arguments in a body of any of the kinds Telegram takes. Raises Refused when it cannot be read."""
    if content_type == "multipart/form-data":
        return await _read_multipart(headers, body)
    if content_type == "application/json":
        return Parameters(_read_json(body))
    return Parameters(read_form(body.decode("utf-8", "replace")))


def read_form(text: str) -> dict[str, str]:
    """Return the values of a URL-encoded form or query."""
    return dict(parse_qsl(text, keep_blank_values=True))


def _read_json(body: bytes) -> dict[str, str]:
    if not body.strip():
        return {}
    try:
        values = json.loads(body)
    except ValueError:
        raise bad_request("can't parse JSON object") from None
    if not isinstance(values, dict):
        raise bad_request("expected an Object")
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}


async def _read_multipart(headers: Mapping[str, str], body: bytes) -> Parameters:
    loop = asyncio.get_running_loop()
    stream = StreamReader(BaseProtocol(loop), limit=max(len(body), 1), loop=loop)
    stream.feed_data(body)
    stream.feed_eof()
    parameters = Parameters()
    try:
        async for part in MultipartReader(headers, stream):
            if not isinstance(part, BodyPartReader) or part.name is None:
                raise bad_request("can't parse multipart form")
            data = bytes(await part.read())
            if part.filename is None:
                parameters.values[part.name] = data.decode("utf-8", "replace")
            else:
                parameters.files[part.name] = Upload(part.filename, data, part.headers.get("Content-Type", ""))
    except ValueError:
        raise bad_request("can't parse multipart form") from None
    return parameters
