"""`deploy/` is held to the settings, the tree and, where their programs are there, to those who read it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bot.settings import Settings, load

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
COMPOSE = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
# What the compose file asks for beside the bot's own settings.
COMPOSE_ONLY = {"PUBLIC_HOST", "POSTGRES_PASSWORD", "VALKEY_PASSWORD"}
FOREIGN = {"POSTGRES_USER", "POSTGRES_DB", "REDISCLI_AUTH", "REPLICAS", "PATH", "PYTHONUNBUFFERED"}
KNOWN = {name.upper() for name in Settings.model_fields}
NAME = r"[A-Z][A-Z0-9_]{3,}"


def environment(text: str, *, comments: bool = False) -> dict[str, str]:
    """Return NAME=value lines; those in comments too, when they are wanted."""
    begin = r"^(?:# )?" if comments else "^"
    return dict(re.findall(rf"{begin}({NAME})=(\S.*)$", text, re.MULTILINE))


def blocks(text: str, indent: int) -> dict[str, str]:
    """Return what stands under each key at this depth of a YAML file."""
    found: dict[str, list[str]] = {}
    key = ""
    for line in text.splitlines():
        if head := re.match(rf" {{{indent}}}([\w-]+):", line):
            key = head[1]
        if key:
            found.setdefault(key, []).append(line)
    return {key: "\n".join(lines) for key, lines in found.items()}


def services() -> dict[str, str]:
    return blocks(blocks(COMPOSE, 0)["services"].split("\n", 1)[1], 2)


def test_every_name_in_it_is_a_setting() -> None:
    example = (DEPLOY / "env.example").read_text(encoding="utf-8")
    named = set(environment(example, comments=True))
    named |= set(re.findall(rf"^ +({NAME}): ", COMPOSE, re.MULTILINE)) | set(re.findall(rf"\$\{{({NAME})", COMPOSE))
    named |= set(re.findall(rf"({NAME})=", DOCKERFILE))
    named |= {name for unit in UNITS for name in re.findall(rf"(?<!\w)({NAME})=", unit.read_text(encoding="utf-8"))}
    named |= set(re.findall(rf"\$({NAME})", (DEPLOY / "Caddyfile").read_text(encoding="utf-8")))
    assert named - KNOWN - COMPOSE_ONLY - FOREIGN == set()


def test_the_example_is_taken_as_it_stands_and_warned_of_nowhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With the addresses that compose.yaml makes, and with those written for systemd."""
    for name in KNOWN:
        monkeypatch.delenv(name, raising=False)
    example = (DEPLOY / "env.example").read_text(encoding="utf-8")
    for name, value in environment(example, comments=True).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    settings = load()
    assert settings.warnings() == []
    assert settings.database_url is not None
    assert {"BOT_TOKEN", "SECRET_KEY", "SMS_GATEWAYS", "DAILY_BUDGET", "CRM_WEBHOOK_URL"} <= set(environment(example))
    assert set(environment(example)) >= COMPOSE_ONLY


def test_the_yaml_is_well_formed() -> None:
    """As far as a look without a parser goes: no tabs, even indents, no deeper than one step, each anchor once."""
    depth = 0
    for number, line in enumerate(COMPOSE.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        indent = len(line) - len(line.lstrip(" "))
        assert "\t" not in line, number
        assert indent % 2 == 0, number
        assert indent <= depth + 2, number
        assert re.match(r" *(- |[\w<.-]+:( |$)|- )", line), f"{number}: {line}"
        depth = indent
    anchors, uses = re.findall(r"&(\w+)$", COMPOSE, re.MULTILINE), re.findall(r": \*(\w+)$", COMPOSE, re.MULTILINE)
    assert len(anchors) == len(set(anchors))
    assert set(uses) <= set(anchors)
    keys = [re.findall(rf"^ {{{depth}}}([\w-]+):", block, re.MULTILINE) for depth, block in
            [(2, blocks(COMPOSE, 0)["services"]), *((4, block) for block in services().values())]]  # fmt: skip
    assert all(len(found) == len(set(found)) for found in keys)


def test_two_replicas_share_what_they_must_share() -> None:
    bots = {name: block for name, block in services().items() if "<<: *bot" in block}
    assert {"bot1", "bot2", "migrate"} == set(bots)
    shared = blocks(COMPOSE, 0)["x-bot"]
    for name in ("SECRET_KEY", "DATABASE_URL", "REDIS_URL", "WEBHOOK_URL"):
        assert f"    {name}: " in shared
        # A list of their own would take the place of the shared one, whole.
        assert not any(name in block for block in bots.values())
    assert not any(re.search(r"^    (environment|env_file|image):", block, re.MULTILINE) for block in bots.values())
    assert "REPLICAS: bot1:8080 bot2:8080" in services()["proxy"]
    assert "HTTP_PORT=8080" in DOCKERFILE
    assert [name for name, block in services().items() if "    ports:" in block] == ["proxy"]
    assert "migrate:\n        condition: service_completed_successfully" in services()["bot1"]


def test_volumes_networks_and_files_are_there() -> None:
    for kind in ("volumes", "networks"):
        declared = set(re.findall(r"^  ([\w-]+):", blocks(COMPOSE, 0)[kind], re.MULTILINE))
        lists = re.findall(rf"^    {kind}:\n((?:      - .*\n)+)", COMPOSE, re.MULTILINE)
        used = {
            entry.split(":")[0] for block in lists for entry in re.findall(r"- ([\w-]+(?::\S*)?)$", block, re.MULTILINE)
        }
        assert used <= declared
        assert used
    assert (DEPLOY / "Caddyfile").exists()
    for source in re.findall(r"^COPY (?!--from)((?:\S+ )+)\S+$", DOCKERFILE, re.MULTILINE):
        for name in source.split():
            assert (ROOT / name).exists(), name
            assert f"!{name}" in (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()


def test_the_image_runs_as_nobody_special_from_hashed_packages() -> None:
    assert "--require-hashes -r requirements.lock" in DOCKERFILE
    assert "--no-build-isolation" in DOCKERFILE
    last = DOCKERFILE.rsplit("\nFROM ", 1)[1]
    assert re.search(r"^USER registration-bot$", last, re.MULTILINE)
    assert last.index("USER ") < last.index("ENTRYPOINT")
    assert "/readyz" in re.findall(r"HEALTHCHECK.*\n.*", last)[0]
    assert 'ENTRYPOINT ["python", "-m", "bot"]' in last
    # Everything the lock leaves out is installed from the tree, and by nothing that would be fetched unhashed.
    assert len(re.findall("pip install", DOCKERFILE)) == 2


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_units_are_hardened_and_leave_time_to_end(unit: Path) -> None:
    text = unit.read_text(encoding="utf-8")
    lines = (
        "NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes", "UMask=0077",
        "User=registration-bot", "CapabilityBoundingSet=", "EnvironmentFile=/etc/registration-bot/env",
    )  # fmt: skip
    for line in lines:
        assert f"\n{line}\n" in text, line
    assert re.search(r"^ExecStart=\S+/python -m bot( migrate)?$", text, re.MULTILINE)
    if "Type=oneshot" not in text:
        grace = re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
        assert grace is not None
        assert int(grace[1]) > 5
        # Running the migration again must not stop who serves.
        assert "Requires=" not in text.replace("Not Requires=", "")
    assert int(re.findall(r"stop_grace_period: (\d+)s", COMPOSE)[0]) > 5


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        return
    for unit in UNITS:
        text = unit.read_text(encoding="utf-8")
        # What is started is not installed here.
        text = re.sub(r"^ExecStart=\S+", f"ExecStart={shutil.which('true')}", text, flags=re.MULTILINE)
        (tmp_path / unit.name.replace("@.", "@1.")).write_text(text)
    paths = [str(path) for path in sorted(tmp_path.iterdir())]
    done = subprocess.run([program, "verify", *paths], capture_output=True, text=True, check=False, cwd=tmp_path)
    ours = [line for line in done.stderr.splitlines() if "registration-bot" in line]
    assert (done.returncode, ours) == (0, [])


def test_caddy_takes_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (DEPLOY / "Caddyfile").read_text(encoding="utf-8")
    assert text.count("{") == text.count("}")
    assert "/metrics" in re.findall(r"@own path (.*)", text)[0]
    program = shutil.which("caddy")
    if program is None:
        return
    for name, value in {"PUBLIC_HOST": "bot.example.org", "REPLICAS": "b1:8080 b2:8080", "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    command = [program, "adapt", "--adapter", "caddyfile", "--config", str(DEPLOY / "Caddyfile"), "--validate"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.findall(r'"dial":"([^"]+)"', done.stdout) == ["b1:8080", "b2:8080"]


def test_the_figures_it_tells_to_watch_are_there() -> None:
    text = (DEPLOY / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"registration_[a-z_]+", text))
    source = (ROOT / "bot" / "metrics.py").read_text(encoding="utf-8")
    known = {f"registration_{name}" for name in re.findall(r'_(?:gauge|counter)\("(\w+)"', source)}
    assert {name.removesuffix("_total") for name in named} <= known
    assert len(named) > 5
