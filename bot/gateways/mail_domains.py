"""Asks the DNS whether a domain takes mail."""

from __future__ import annotations

import asyncio

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver
from dns.rdtypes.ANY.MX import MX


class DnsMailDomains:
    """`handlers.ports.MailDomains` over the DNS: MX records, then addresses (RFC 5321 section 5.1)."""

    def __init__(self, resolver: dns.asyncresolver.Resolver | None = None, lifetime: float = 3.0) -> None:
        """Take the resolver to ask (the system's by default) and how long one question may take, in seconds."""
        self._resolver = resolver
        self._lifetime = lifetime

    async def accepts_mail(self, domain: str) -> bool | None:
        """Return whether `domain` (ASCII, IDNA) takes mail; None when the DNS gives no certain answer in time.

        False: there is no such domain, it says so itself (null MX, RFC 7505), or it has neither MX nor address.
        """
        try:
            name = dns.name.from_text(domain)
            answer = await self._ask(name, dns.rdatatype.MX)
        except dns.resolver.NXDOMAIN:
            return False
        except dns.resolver.NoAnswer:
            return await self._has_address(name)
        except dns.exception.DNSException:
            return None
        return any(isinstance(record, MX) and record.exchange != dns.name.root for record in answer)

    async def _has_address(self, name: dns.name.Name) -> bool | None:
        kinds = (dns.rdatatype.A, dns.rdatatype.AAAA)
        answers = await asyncio.gather(*(self._has(name, kind) for kind in kinds))
        if True in answers:
            return True
        return None if None in answers else False

    async def _has(self, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> bool | None:
        try:
            await self._ask(name, kind)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return False
        except dns.exception.DNSException:
            return None
        return True

    async def _ask(self, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> dns.resolver.Answer:
        if self._resolver is None:
            # Not before the first question: a machine without a resolver still runs, and every answer is "unknown".
            self._resolver = dns.asyncresolver.Resolver()
        return await self._resolver.resolve(name, kind, lifetime=self._lifetime)
