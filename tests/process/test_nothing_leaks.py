"""T25: after a full run at DEBUG nothing that must not be seen is found in logs, error pages, answers and metrics."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from bot.practice import LocalBotAPI
from bot.practice.webhook import Pace
from storage.keys import Keys
from tests.fakes.smsc import Fault
from tests.journeys.stage import Outside
from tests.process.bot_process import forgive_harmless
from tests.process.conftest import bot_process
from tests.process.forked import start_that_ends
from tests.process.full_run import GATEWAY_TIMEOUT, LEASE, FullRun, Site, Store, TalkativeSmsc
from tests.process.leaks import Leak, Sensitive, made_up, without_moments
from tests.process.talkative_crm import TalkativeCrm
from tests.process.test_stores_away import Wire
from tests.redis_servers import tcp_server

SUPPORT_CHAT = -1001234567890
HEADER = "X-Telegram-Bot-Api-Secret-Token"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# The carrier: a code for each class of answer, and each way of failing. SMSC's own error_code.
FAULTS = [
    *(Fault(error_code=code) for code in (1, 2, 3, 6, 7, 9, 77)),
    Fault(status=500), Fault(status=503), Fault(status=429), Fault(status=401), Fault(status=302), Fault(drop=True),
    Fault(takes=True, drop=True), Fault(body=b""), Fault(body=b"<html>"), Fault(body=b"x" * 100_000),
    Fault(takes=True, delay=GATEWAY_TIMEOUT + 1),
]  # fmt: skip
# What the log of such a run says at least; else something did not happen.
SAID = (
    '"level": "debug"', "hit a bug", "storage is away", "must be mended", "is unavailable for code",
    "cannot be delivered", "nobody knows whether", "is not the vendor's", "is not understood", "Telegram refuses a",
    "Traceback", "can't parse", "was handled before", "the CRM did not take event", "the CRM took event",
    "CRM_LOOKUP_URL: no answer (HTTP 500)", "google is away",
)  # fmt: skip

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def sensitive() -> Sensitive:
    return Sensitive(secrets={"SECRET_KEY": made_up("a key of at least thirty-two characters ")})


@pytest.fixture
async def outside(sensitive: Sensitive) -> AsyncIterator[Outside]:
    """Telegram with a token as they are, and a carrier that repeats what it is told."""
    token = f"{8_000_000_000 + secrets.randbelow(10**9)}:AA{secrets.token_urlsafe(25)}"
    smsc = TalkativeSmsc(f"login-{secrets.token_hex(4)}", made_up("word"))
    smsc.secret = made_up("report")
    api = LocalBotAPI(token, pace=Pace(pause=0.5, longest_pause=2))
    sensitive.secrets |= {"BOT_TOKEN": token, "SMSC_LOGIN": smsc.login, "SMSC_PASSWORD": smsc.password}
    sensitive.secrets |= {"SMSC_REPORT_SECRET": smsc.secret}
    api.group(SUPPORT_CHAT, "Support")
    await api.start()
    await smsc.start()
    yield Outside(api, smsc)
    await api.stop()
    await smsc.stop()


@pytest.fixture
async def cleanup() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


def settings_of(outside: Outside, sensitive: Sensitive) -> dict[str, str]:
    """Return the settings of a full run; the secret for Telegram's webhook is the one made from the key."""
    return {
        "LOG_LEVEL": "DEBUG", "SECRET_KEY": sensitive.secrets["SECRET_KEY"], "SMSC_REPORT_SECRET": outside.smsc.secret,
        "SUPPORT_CHAT_ID": str(SUPPORT_CHAT), "RESEND_DELAYS": "5s", "GATEWAY_TIMEOUT": f"{GATEWAY_TIMEOUT}s",
        "OUTBOX_LEASE": f"{LEASE}s", "GATEWAY_REST": "1s",
    }  # fmt: skip


@pytest.fixture
async def crm() -> AsyncIterator[TalkativeCrm]:
    crm = TalkativeCrm()
    await crm.start()
    yield crm
    await crm.stop()


def more_settings(crm: TalkativeCrm, sensitive: Sensitive) -> dict[str, str]:
    """Return the settings of everybody else that is called: a CRM, and Google and Facebook, which are away."""
    own = {name: made_up(name.lower()) for name in ("GOOGLE_CLIENT_SECRET", "FACEBOOK_APP_SECRET")}
    own["CRM_WEBHOOK_SECRET"] = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
    sensitive.secrets |= own
    return own | {
        "CRM_WEBHOOK_URL": crm.events, "CRM_LOOKUP_URL": crm.look_ups, "CRM_WEBHOOK_RETRIES": "1s,1s,1s,1s,1s,1s",
        "GOOGLE_ISSUER": f"http://{NOBODY}", "GOOGLE_CLIENT_ID": "the-client", "FACEBOOK_APP_ID": "1234567890",
        "FACEBOOK_BASE_URL": f"http://{NOBODY}", "WEB_PER_IP": "1000/5m",
    }  # fmt: skip


def nothing_leaks(run: FullRun, files: list[Path], site: Site) -> None:
    """Look through everything that was written and answered."""
    run.codes()
    texts = {str(path): without_moments(path.read_text(errors="replace")) for path in files}
    texts |= {f"answer {n}": answer for n, answer in enumerate(site.answers)}
    found = run.sensitive.leaks(texts)
    assert found == [], _shown(found)
    lines = sum(text.count("\n") for text in texts.values())
    print(
        f"{lines} lines of {len(files)} files and {len(site.answers)} answers {sorted(site.statuses)} looked through"
        f" for {len(run.sensitive.codes)} codes, {len(run.sensitive.numbers)} numbers, {len(run.sensitive.addresses)}"
        f" addresses and {len(run.sensitive.secrets)} secrets"
    )


def _shown(found: list[Leak]) -> str:
    return f"{len(found)} leaks\n" + "\n".join(f"{leak.kind} in {leak.where}: …{leak.around}…" for leak in found[:20])


async def run_sql(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


BREAKS = (
    "CREATE FUNCTION breaks() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION E'no room for\\n% of %', NEW.number,"
    " (SELECT email FROM accounts WHERE id = NEW.account_id); END $$ LANGUAGE plpgsql",
    "CREATE TRIGGER breaks BEFORE INSERT ON challenges FOR EACH ROW EXECUTE FUNCTION breaks()",
)
MENDS = ("DROP TRIGGER breaks ON challenges", "DROP FUNCTION breaks()")


async def test_t25_a_full_run_at_debug_by_webhook(
    outside: Outside, sensitive: Sensitive, crm: TalkativeCrm, postgresql_url: str, cleanup: AsyncExitStack,
    tmp_path: Path,
) -> None:  # fmt: skip
    assert isinstance(outside.smsc, TalkativeSmsc)
    keys = Keys(sensitive.secrets["SECRET_KEY"])
    hooked, path_secret = keys.derive("webhook secret").hex(), keys.derive("reports of smsaero").hex()
    sensitive.secrets |= {"WEBHOOK_SECRET": hooked, "path secret": path_secret}
    sensitive.secrets |= {"DATABASE_URL": secrets.token_hex(8), "REDIS_URL": secrets.token_hex(8)}
    wire = Wire(parse_qs(urlsplit(postgresql_url).query)["host"][0] + "/.s.PGSQL.5432")
    await wire.mend()
    cleanup.push_async_callback(wire.cut)
    settings = settings_of(outside, sensitive) | more_settings(crm, sensitive)
    settings |= {
        "DATABASE_URL": f"postgresql://postgres:{sensitive.secrets['DATABASE_URL']}@127.0.0.1:{wire.port}"
        + urlsplit(postgresql_url).path
    }
    async with tcp_server(tmp_path, requirepass=sensitive.secrets["REDIS_URL"]) as redis:
        settings["REDIS_URL"] = f"redis://:{sensitive.secrets['REDIS_URL']}@127.0.0.1:{redis.port}"
        process = bot_process(outside, "webhook", tmp_path, **settings, WEBHOOK_SECRET="")
        run, site = FullRun(outside, process, sensitive), Site(process.port)
        async with process as bot:
            await run.people_register()
            await run.carrier_fails(FAULTS)
            await run.telegram_fails()
            await run.a_notice_is_refused()
            await run.a_handler_has_a_bug(
                lambda: run_sql(postgresql_url, *BREAKS), lambda: run_sql(postgresql_url, *MENDS)
            )
            await run.a_store_goes(Store(wire.cut, wire.mend), site)
            await run.a_store_goes(Store(redis.stop, redis.start), site)
            await reports_come(run, site)
            await google_is_asked(run, Site(process.port))
            await strangers_knock(run, site, hooked, path_secret)
            await run.somebody_registers()
            assert await bot.stop() < 5
    log = process.log.read_text()
    assert [words for words in SAID if words not in log] == []
    assert {200, 400, 401, 403, 404, 405, 413, 503} <= site.statuses
    nothing_leaks(run, [process.log, process.output], site)
    print(forgive_harmless(outside.api))


async def reports_come(run: FullRun, site: Site) -> None:
    """Authentic ones, one sent twice, one about nobody; forged ones, and authentic ones that make no sense."""
    smsc = run.outside.smsc
    ira = run.someone()
    await ira.reaches_code()
    await ira.code()
    sms = next(sms for sms in smsc.messages if sms.number == ira.phone)
    for status in (0, 20, 20, 1, 999):
        report = smsc.report("", sms, status)
        assert (await site.ask("POST", "/reports/smsc", report.body, dict(report.headers)))[0] == 200
    report = smsc.report("", sms, 1)
    for body in (report.body + b"0", b"", report.body.replace(b"md5=", b"md5=0"), f"{ira.phone}\n{ira.email}".encode()):
        assert (await site.ask("POST", "/reports/smsc", body, dict(report.headers)))[0] in (400, 403)
    senseless = smsc.report("", sms, ira.phone)  # type: ignore[arg-type]
    assert (await site.ask("POST", "/reports/smsc", senseless.body, dict(senseless.headers)))[0] in (200, 400)
    await ira.finishes()


async def google_is_asked(run: FullRun, site: Site) -> None:
    """By a person's own link, which is shown to nobody but them: of this only the log is looked through."""
    ira = run.someone()
    await ira.says("/start")
    (link,) = [button.url for button in ira.person.chat[-1].buttons if "google" in (button.url or "")]
    assert link is not None
    url = urlsplit(link)
    for page in (url.path, url.path.replace("/start", "/go")):
        assert (await site.ask("GET", f"{page}?{url.query}"))[0] in (200, 503)


async def strangers_knock(run: FullRun, site: Site, hooked: str, path_secret: str) -> None:
    """Every route by every method, with secrets and people's data at each place that an answer might repeat."""
    ira = run.someone()
    person = f"{ira.phone}/{ira.email}"
    paths = ("/", "/telegram", "/healthz", "/readyz", "/metrics", f"/{person}", "/reports/smsc", "/reports/nobody",
             f"/reports/smsaero/{path_secret}",
             f"/reports/smsc/{path_secret}?phone={ira.phone}", f"/..%2f{person}", f"/r/{ira.phone}",
             "/.well-known/jwks.json", f"/oauth/facebook/deletion/{ira.phone}", "/oauth/facebook/deletion",
             *(f"/oauth/{provider}/{page}?ticket={ira.phone}&state={ira.email}&code={ira.phone}&error={ira.email}"
               for provider in ("google", "facebook") for page in ("start", "go", "callback")))  # fmt: skip
    for path in paths:
        for method in METHODS:
            await site.ask(method, path, person.encode(), {"Accept": "text/html", "X-Forwarded-For": ira.phone})
    known = {HEADER: hooked, "Content-Type": "application/json"}
    update = {"update_id": 1, "message": {"text": person, "from": {"id": ira.phone}}}
    wrong: list[bytes] = [b"", b"{", person.encode(), b"[]", b'{"update_id": "1"}', json.dumps(update).encode()]
    for body in [*wrong, json.dumps({"update_id": 2, "callback_query": {"data": person}}).encode(), b"x" * 1_100_000]:
        await site.ask("POST", "/telegram", body, known)
    for given in ("", hooked[:-1], hooked + "0", hooked.upper(), person):
        assert (await site.ask("POST", "/telegram", b"{}", {HEADER: given}))[0] == 401
    await site.ask("POST", "/telegram", person.encode(), known | {"Content-Encoding": "gzip"})
    request = f"POST /reports/smsaero/{path_secret} HTTP/1.1\r\nHost: x\r\n"
    for line in (
        f"{HEADER} {hooked}", f"{HEADER}: {hooked}\x00", f"{person}", f"Content-Length: {ira.phone}",
        f"Content-Length: 10\r\nX: {hooked}\r\n\r\n{person}"[:90],
    ):  # fmt: skip
        await site.says(f"{request}{line}\r\n\r\n".encode())
    await site.says(f"GET /reports/smsaero/{path_secret} HTTP/9.x\r\n\r\n".encode())
    await site.says(f"{hooked} {person}\r\n\r\n".encode())


async def test_t25_a_run_at_debug_by_polling_with_embedded_stores(
    outside: Outside, sensitive: Sensitive, tmp_path: Path
) -> None:
    settings = settings_of(outside, sensitive)
    process = bot_process(outside, "polling", tmp_path, **settings)
    valkey = tmp_path / "data" / "valkey"
    run, site = FullRun(outside, process, sensitive), Site(process.port)
    async with process as bot:
        await run.people_register()
        await run.carrier_fails(FAULTS[:4])
        for path in ("/", "/telegram", "/readyz"):
            await site.ask("POST", path)
        await bot.kill()
        await bot.start()
        await run.somebody_registers()
        outside.api.fail("getUpdates", times=2)
        outside.api.drop("getUpdates")
        await run.somebody_registers()
        assert await bot.stop() < 5
    nothing_leaks(run, [process.log, process.output, *valkey.glob("*.log")], site)


NOBODY = "127.0.0.1:1"
NUMBER, CODE = "+79161230456", "804213"
# What an operator may mistype or mix up; {s} stands for a secret, {api} and {redis} for servers that do not know it.
REFUSED: dict[str, dict[str, str]] = {
    "a token of no form": {"BOT_TOKEN": "12345:{s}", "TELEGRAM_API_BASE": "{api}"},
    "a token elsewhere": {"HTTP_PORT": "8123456789:AA{s}{s}", "LOG_LEVEL": "8123456789:AA{s}{s}"},
    "a token nobody knows": {"BOT_TOKEN": "8123456789:AA{s}", "TELEGRAM_API_BASE": "{api}"},
    "no Telegram": {"BOT_TOKEN": "8123456789:AA{s}", "TELEGRAM_API_BASE": f"http://{NOBODY}"},
    "short secrets": {"BOT_TOKEN": "1:a", "SECRET_KEY": "{s}", "WEBHOOK_SECRET": "{s}", "CRM_WEBHOOK_SECRET": "{s}"},
    "a login in an address": {"BOT_TOKEN": "1:a", "SMSC_BASE_URL": "https://me:{s}@smsc.ru", "PUBLIC_URL": "ftp://u:{s}@x"},
    "half an account": {"SMS_GATEWAYS": "smsc", "SMSC_PASSWORD": "{s}", "DAILY_BUDGET": "1"},
    "numbers and codes": {"TEST_NUMBERS": f"{NUMBER}:{CODE}", "TEST_NUMBERS_UNTIL": "2030-01-01"},
    "a number without its plus": {"TEST_NUMBERS": f"{NUMBER[1:]}={CODE}", "TEST_NUMBERS_UNTIL": "2030-01-01"},
    "a number twice": {"TEST_NUMBERS": f"{NUMBER}={CODE},{NUMBER}={CODE}", "TEST_NUMBERS_UNTIL": "2030-01-01"},
    "a long code": {"TEST_NUMBERS": f"{NUMBER}={CODE}1", "TEST_NUMBERS_UNTIL": f"{NUMBER}"},
    **{f"database {n}": {"DATABASE_URL": url} for n, url in enumerate((
        "mysql://bot:{s}@127.0.0.1/bot", f"postgresql://bot:{{s}}@{NOBODY}/bot", "postgresql://bot:{s}@127.0.0.1:port/bot",
        f"postgresql://bot:{{s}}/x@{NOBODY}/bot", f"postgresql://bot:a@{{s}}@{NOBODY}/bot",
        f"postgresql://bot:{{s}}#x@{NOBODY}/bot", f"postgresql://{NOBODY}/bot?password={{s}}",
        f"postgresql://bot:{{s}}?x@{NOBODY}/bot", "postgresql://bot:{s}@[::1/bot", f"postgresql://{NOBODY}/bot?{{s}}=1",
        f"postgresql://bot@{NOBODY}/bot?sslpassword={{s}}", "postgresql://bot:{s}", "postgresql://bot:{s}:1@127.0.0.1/bot",
    ))},
    **{f"redis {n}": {"REDIS_URL": url} for n, url in enumerate((
        f"http://:{{s}}@{NOBODY}", f"redis://:{{s}}@{NOBODY}/0", "redis://:{s}@127.0.0.1:port/0", f"redis://:{{s}}@{NOBODY}/x",
        f"redis://:{{s}}/x@{NOBODY}", f"redis://:a@{{s}}@{NOBODY}", "redis://:{s}@{redis}", "redis://me:{s}@{redis}",
        f"redis+cluster://:{{s}}@{NOBODY}", f"redis+cluster://:{{s}}/x@{NOBODY}", "redis://:{s}@[::1",
        f"redis://{NOBODY}/0?password={{s}}", f"redis://{NOBODY}/0?{{s}}=1", "rediss://:{s}@{redis}", "unix://:{s}@/no/socket",
    ))},
}  # fmt: skip


async def test_t25_a_refused_start_repeats_nothing(outside: Outside, tmp_path: Path) -> None:
    secret = "Pa55w0rd" + secrets.token_hex(12)
    sensitive = Sensitive({CODE}, {NUMBER}, secrets={"a secret": secret})
    places, said = asyncio.Semaphore(4), dict[str, str]()

    async def one(name: str, settings: dict[str, str]) -> None:
        given = {key: value.format(s=secret, api=outside.api.base_url, redis=server) for key, value in settings.items()}
        place = {"LOG_LEVEL": "DEBUG", "DATA_DIR": str(tmp_path / name), "HTTP_PORT": "0"}
        async with places:
            code, said[name] = await start_that_ends(tmp_path / f"{name}.out", place | given)
        assert code in (1, 2), said[name]

    async with tcp_server(tmp_path, requirepass="another") as redis:
        server = f"127.0.0.1:{redis.port}"
        await asyncio.gather(*(one(name, settings) for name, settings in REFUSED.items()))
    outside.api.calls.clear()
    assert [name for name, words in said.items() if "error: " not in words or "Traceback" in words] == []
    found = sensitive.leaks({name: without_moments(words) for name, words in said.items()})
    assert found == [], _shown(found)
