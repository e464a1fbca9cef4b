"""`python -m bot accounts import`, as an operator runs it beside a bot that serves the same database."""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.known_list import BadLine, Known, KnownList, NoCsv
from storage.database import Database
from storage.errors import NumberTaken
from storage.keys import Keys
from storage.known_accounts import KnownAccounts
from storage.tables import LookupKind
from tests.storage.world import SECRET, World

ROOT = Path(__file__).parents[2]
NUMBER, ADDRESS = "+79161234567", "ira@example.org"


async def run(folder: Path, url: str, *arguments: str, given: bytes = b"") -> tuple[int, list[str], list[str]]:
    """Run the command to its end; return its exit code and what it printed to stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-X", "importtime", "-m", "bot", "accounts", *arguments, cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DATA_DIR": str(folder), "DATABASE_URL": url, "SECRET_KEY": SECRET},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(given), 60)
    lines = err.decode().splitlines()
    loaded = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    assert loaded.isdisjoint({"aiogram", "aiohttp", "alembic"})
    assert process.returncode is not None
    return process.returncode, out.decode().splitlines(), [line for line in lines if not line.startswith("import")]


async def known(database: Database) -> int:
    return await KnownAccounts(database, Keys(SECRET)).count()


async def test_a_list_is_imported_and_what_is_in_it_is_registered(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "list.txt"
    path.write_text(f"8 (916) 123-45-67\n\n{ADDRESS.upper()}\nMOBILE\n+7 916 123 45 6\n@nobody\n\n+7 (495) 123-45-67\n")
    code, out, errors = await run(tmp_path, database_url, "import", str(path))
    assert code == 0
    assert out[-1] == "done: 2 numbers and 1 addresses imported; 3 are known in all"
    assert errors == [
        "line 4: no number and no address", "line 5: no number and no address",
        "line 6: no address that anybody could register with",
    ]  # fmt: skip
    world = World(database)
    ira = world.person(1)
    await ira.accepts()
    with pytest.raises(NumberTaken):
        await ira.asks(NUMBER)
    # Nothing is kept, or printed, by which anybody could be called or written to.
    everything = await world.everything() + "".join([*out, *errors])
    assert not [value for value in (NUMBER, NUMBER[1:], "9161234567", "123-45", ADDRESS) if value in everything]


async def test_replace_forgets_what_is_not_in_the_list(database: Database, database_url: str, tmp_path: Path) -> None:
    many = "\n".join(f"person{n}@example.org" for n in range(1700))
    code, out, errors = await run(tmp_path, database_url, "import", "-", given=many.encode())
    assert (code, errors) == (0, [])
    assert out[-1] == "done: 0 numbers and 1,700 addresses imported; 1,700 are known in all"
    assert out[0] == "0 numbers and 500 addresses imported", "progress is told before the end"
    given = f"\ufeffperson1@example.org\r\n{NUMBER}\r\n".encode()
    code, out, errors = await run(tmp_path, database_url, "import", "--replace", "-", given=given)
    assert (code, errors) == (0, [])
    assert out[-1] == "done: 1 numbers and 1 addresses imported; 1,699 forgotten; 2 are known in all"


async def test_an_empty_or_wrong_file_changes_nothing(database: Database, database_url: str, tmp_path: Path) -> None:
    world = World(database)
    await KnownAccounts(database, world.keys).add([(LookupKind.NUMBER, NUMBER)], datetime.now(UTC))
    for given in (b"\n\n", b"name\nIra\n" + b"Oleg\n" * 30):
        code, out, errors = await run(tmp_path, database_url, "import", "--replace", "-", given=given)
        assert (code, out) == (1, [])
        assert errors[-1] == "error: FILE: holds no number and no address that can be read; nothing was changed"
    assert len(errors) == 22
    assert errors[-2] == "and 12 more that cannot be read"
    assert await known(database) == 1


async def test_what_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    code, _, errors = await run(tmp_path, f"sqlite:///{tmp_path}/none.db", "import", "-", given=NUMBER.encode())
    assert code == 1
    assert errors == ["error: DATABASE_URL: the tables are not this version's; run: python -m bot migrate"]
    code, _, errors = await run(tmp_path, "", "import", str(tmp_path / "none.csv"))
    assert (code, len(errors)) == (1, 1)
    assert "cannot be read (No such file or directory)" in errors[0]


def read(text: str, *countries: str) -> list[Known | BadLine]:
    return list(KnownList(countries or ("RU", "KZ"), ("mobile", "fixed_line_or_mobile")).read(text.splitlines(True)))


def values(text: str, *countries: str) -> list[str]:
    found = read(text, *countries)
    assert not [one for one in found if isinstance(one, BadLine)], found
    return [one.value for one in found if isinstance(one, Known)]


@pytest.mark.parametrize(
    "text",
    [
        "id,phone,email,name\n7916000000,+79161234567,Ira@Example.org,Ira\n8,,,Nobody\n",
        "EMAIL;PHONE\nira@example.org;8 916 123-45-67\n",
        'email\tphone\n"ira@example.org"\t"+7 (916) 123-45-67"\n',
        "+79161234567,ira@example.org\n",
        "+79161234567;ira@example.org;\n",
    ],
)
def test_columns_named_phone_and_email_are_read_or_else_every_cell(text: str) -> None:
    assert sorted(values(text)) == [NUMBER, ADDRESS]


def test_a_national_number_is_of_the_first_country() -> None:
    assert values("8 916 123-45-67") == [NUMBER]
    assert values("0171 2345678", "DE", "RU") == ["+491712345678"]
    # As at the step: a number of a country no code is sent to, or a landline, is known all the same.
    assert values("+49 171 2345678\n+7 495 123-45-67") == ["+491712345678", "+74951234567"]


def test_a_bad_line_is_named_by_its_number_in_the_file() -> None:
    text = 'phone,email\n"+79161234567\n",ira@example\n\n12,ira@example.org\n'
    assert [one.line for one in read(text) if isinstance(one, BadLine)] == [3, 5]


def test_what_is_no_csv_is_said() -> None:
    with pytest.raises(NoCsv, match="line 2"):
        read(f"phone\n{'9' * 200_000}\n")
