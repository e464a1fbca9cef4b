from __future__ import annotations

from pathlib import Path

import pytest
from yarl import URL

from bot.practice.guard import is_everywhere, is_loopback
from bot.practice.page import FOLDER
from tests.practice.page_client import IRA, Running, practice, settings_for

ACT = {"person": IRA, "act": "send", "text": "hello"}
READ = ("/", "/practice/events", "/practice/app.js", "/practice/files/1-1")


async def statuses(running: Running, **headers: str) -> set[int]:
    """Return what every route answers to these headers."""
    found = set()
    for path in READ:
        async with running.http.get(path, headers=headers) as response:
            found.add(response.status)
    async with running.http.post("/practice/act", json=ACT, headers={"X-Practice": "1"} | headers) as response:
        found.add(response.status)
    return found


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "192.168.1.5", "[::2]", "", "[", "user@evil"],
)
async def test_a_foreign_name_that_leads_here_is_refused(running: Running, host: str) -> None:
    assert await statuses(running, Host=host) == {403}
    assert running.api.updates == []


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1", "127.0.0.9:1", "[::1]:8080", "LOCALHOST"])
async def test_loopback_has_many_names(running: Running, host: str) -> None:
    assert 403 not in await statuses(running, Host=host)
    assert len(running.api.updates) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
    ],
)
async def test_another_site_is_refused(running: Running, headers: dict[str, str]) -> None:
    assert await statuses(running, **headers) == {403}
    assert running.api.updates == []


async def test_a_link_to_the_page_may_stand_anywhere(running: Running) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    async with running.http.get("/", headers=headers) as response:
        assert response.status == 200
    async with running.http.get("/practice/events", headers=headers) as response:
        assert response.status == 403


async def test_the_pages_own_requests_pass(running: Running) -> None:
    own = f"http://127.0.0.1:{running.app.port}"
    headers = {"Origin": own, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
    assert 403 not in await statuses(running, **headers)
    assert len(running.api.updates) == 1


async def test_an_act_needs_the_header_no_foreign_form_can_send(running: Running) -> None:
    for headers in ({}, {"X-Practice": "2"}, {"Content-Type": "text/plain"}):
        async with running.http.post("/practice/act", json=ACT, headers=headers) as response:
            assert response.status == 403
    async with running.http.options("/practice/act", headers={"Origin": "https://evil.example"}) as response:
        assert response.status == 405
        assert not [name for name in response.headers if name.startswith("Access-Control")]
    assert running.api.updates == []


async def test_every_answer_is_shut_in(running: Running) -> None:
    for path in (*READ, "/practice/nothing.js"):
        async with running.http.get(path) as response:
            policy = response.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'self'")
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "path",
    ["../page.py", "..%2fpage.py", "%2e%2e/page.py", "./index.html", "/etc/passwd", "index.html%00", ".", "a//b.js"],
)
async def test_no_way_out_of_the_folder(running: Running, path: str) -> None:
    url = f"http://127.0.0.1:{running.app.port}/practice/{path}"
    async with running.http.get(URL(url, encoded=True)) as response:
        assert response.status in (400, 404)


async def test_every_file_of_the_page_is_served_by_its_type(running: Running) -> None:
    kinds = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
    kinds[".png"] = "image/png"
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert {"index.html", "app.js", "style.css"} <= {path.name for path in files}
    for path in files:
        async with running.http.get(f"/practice/{path.relative_to(FOLDER).as_posix()}") as response:
            assert (response.status, response.content_type) == (200, kinds[path.suffix])
            assert await response.read() == path.read_bytes()


async def test_listening_everywhere_takes_addresses_but_no_foreign_names(
    sqlite_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with practice(settings_for(sqlite_url, redis_url, tmp_path, http_host="0.0.0.0")) as running:
        assert await statuses(running, Host="evil.example") == {403}
        assert 403 not in await statuses(running, Host="192.168.1.5:8080")
        assert "0.0.0.0" in running.practice.welcome(8080)[-1]
        assert "http://127.0.0.1:8080/" in running.practice.welcome(8080)[1]


async def test_a_configured_name_is_taken(sqlite_url: str, redis_url: str, tmp_path: Path) -> None:
    async with practice(settings_for(sqlite_url, redis_url, tmp_path, http_host="localhost")) as running:
        assert 403 not in await statuses(running, Host="localhost:9")
        assert await statuses(running, Host="elsewhere") == {403}
        assert len(running.practice.welcome(8080)) == 5


def test_what_is_loopback() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "10.0.0.1", "x")] == [True] * 3 + [
        False
    ] * 2
    assert [is_everywhere(host) for host in ("0.0.0.0", "::", "127.0.0.1", "x")] == [True] * 2 + [False] * 2
