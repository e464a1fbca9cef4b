"""The look-up against a small real DNS server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import cast

import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.resolver
import dns.rrset
import pytest

from bot.gateways.mail_domains import DnsMailDomains
from handlers.ports import MailDomains

# What the server answers per domain: records by kind, or the one code it gives to everything.
ZONE: dict[str, dict[str, list[str]] | dns.rcode.Rcode | None] = {
    "mail.example.": {"MX": ["10 mx.mail.example.", "20 mx2.mail.example."]},
    "null.example.": {"MX": ["0 ."], "A": ["192.0.2.1"]},
    "odd.example.": {"MX": ["0 .", "10 mx.odd.example."]},
    "xn--80a1acny.xn--p1ai.": {"MX": ["10 mx.mail.example."]},
    "alias.example.": {"CNAME": ["mail.example."], "MX": ["10 mx.mail.example."]},
    "a.example.": {"A": ["192.0.2.1"]},
    "aaaa.example.": {"AAAA": ["2001:db8::1"]},
    "nothing.example.": {"TXT": ["hello"]},
    "gone.example.": dns.rcode.NXDOMAIN,
    "broken.example.": dns.rcode.SERVFAIL,
    "refused.example.": dns.rcode.REFUSED,
    "silent.example.": None,
}


class NameServer(asyncio.DatagramProtocol):
    """Answers from ZONE; a domain of None is never answered."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.failing: Callable[[str], bool] = lambda kind: False
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # The event loop's own class is no subclass of the interface it implements.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        known = ZONE[name]
        if known is None:
            return
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if self.failing(kind):
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif isinstance(known, dns.rcode.Rcode):
            answer.set_rcode(known)
        else:
            for found in ("CNAME", kind):
                owner = known["CNAME"][0] if "CNAME" in known and found != "CNAME" else name
                if found in known:
                    answer.answer.append(dns.rrset.from_text(owner, 60, "IN", found, *known[found]))
        assert self._transport is not None
        self._transport.sendto(answer.to_wire(), addr)


@pytest.fixture
async def server() -> AsyncIterator[tuple[NameServer, dns.asyncresolver.Resolver]]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.port = transport.get_extra_info("sockname")[1]
    yield protocol, resolver
    transport.close()


@pytest.mark.parametrize(
    ("domain", "accepts"),
    [
        ("mail.example", True),
        ("MAIL.example", True),
        ("alias.example", True),
        ("xn--80a1acny.xn--p1ai", True),
        ("odd.example", True),
        ("a.example", True),
        ("aaaa.example", True),
        ("null.example", False),
        ("nothing.example", False),
        ("gone.example", False),
        ("broken.example", None),
        ("refused.example", None),
        ("bad..example", None),
        ("a" * 64 + ".example", None),
    ],
)
async def test_what_the_dns_says(
    server: tuple[NameServer, dns.asyncresolver.Resolver], domain: str, accepts: bool | None
) -> None:
    domains: MailDomains = DnsMailDomains(server[1])
    ZONE["MAIL.example."] = ZONE["mail.example."]
    assert await domains.accepts_mail(domain) is accepts


async def test_mail_exchangers_are_asked_first_and_addresses_only_without_them(
    server: tuple[NameServer, dns.asyncresolver.Resolver],
) -> None:
    protocol, resolver = server
    domains = DnsMailDomains(resolver)
    await domains.accepts_mail("mail.example")
    assert protocol.asked == [("mail.example.", "MX")]
    await domains.accepts_mail("nothing.example")
    assert sorted(protocol.asked[1:]) == sorted(("nothing.example.", kind) for kind in ("MX", "A", "AAAA"))


async def test_silence_is_unknown_within_the_lifetime(server: tuple[NameServer, dns.asyncresolver.Resolver]) -> None:
    domains = DnsMailDomains(server[1], lifetime=0.2)
    async with asyncio.timeout(5):
        assert await domains.accepts_mail("silent.example") is None
    assert server[0].asked


async def test_a_failing_half_of_the_address_look_up_is_unknown(
    server: tuple[NameServer, dns.asyncresolver.Resolver],
) -> None:
    protocol, resolver = server
    domains = DnsMailDomains(resolver)
    protocol.failing = lambda kind: kind == "AAAA"
    assert await domains.accepts_mail("nothing.example") is None
    assert await domains.accepts_mail("a.example") is True


async def test_fifty_questions_at_once(server: tuple[NameServer, dns.asyncresolver.Resolver]) -> None:
    domains = DnsMailDomains(server[1])
    asked = ["mail.example", "gone.example", "a.example", "null.example", "broken.example"] * 10
    answers = await asyncio.gather(*(domains.accepts_mail(domain) for domain in asked))
    assert answers == [True, False, True, False, None] * 10


async def test_a_closed_port_is_unknown() -> None:
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
    resolver.port = transport.get_extra_info("sockname")[1]
    transport.close()
    assert await DnsMailDomains(resolver, lifetime=0.3).accepts_mail("mail.example") is None


async def test_a_machine_without_a_resolver_still_answers_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "resolv.conf"
    empty.write_text("", encoding="ascii")

    class Unconfigured(dns.asyncresolver.Resolver):
        def __init__(self) -> None:
            super().__init__(filename=str(empty))

    monkeypatch.setattr(dns.asyncresolver, "Resolver", Unconfigured)
    with pytest.raises(dns.resolver.NoResolverConfiguration):
        Unconfigured()
    assert await DnsMailDomains().accepts_mail("mail.example") is None
