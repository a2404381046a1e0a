"""The check of one link by `tandem doctor`: pings each address of the server, then examines one that answers."""

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from tandem.admin.snapshots import refusal_text
from tandem.base.addresses import TLS_SCHEME, format_host_port, parse_endpoint, parse_host_port
from tandem.base.errors import os_error_text
from tandem.client.links import make_link
from tandem.config.config import LinkConfig
from tandem.config.invites import Invite
from tandem.doctor import portal
from tandem.doctor.findings import Finding, Verdict
from tandem.doctor.machine import RP_FILTER_ADVICE, bind_error, drops_answers, missing_route, rp_filter_text, send_error
from tandem.doctor.nat import Mapping, nat
from tandem.doctor.pings import REACH_TIMEOUT, Pinger
from tandem.doctor.routes import Route
from tandem.doctor.running import Heard
from tandem.doctor.session import Visit
from tandem_transport import HandshakeRefused
from tandem_transport.driver import LocalAddress, UdpAddress, time_tls

_LOOKUP_TIMEOUT = 10.0
"""Seconds that the lookup of one name may take."""

_AGAIN_AFTER = 1.5
"""Seconds after which a server that refused is asked again: it may not have read a new registration yet."""


@dataclass(slots=True)
class Asked:
    """One address of the server, pinged over a link, and the outcome."""

    local: LocalAddress
    remote: UdpAddress
    has_answered: bool = False
    refused: HandshakeRefused | None = None
    """The server's refusal of this client; None where it does not refuse it."""
    fault: tuple[str, str] | None = None
    """Why this machine gets no answer, and what to do; None where it does not know."""

    @property
    def place(self) -> str:
        """The address of the server as HOST:PORT."""
        return format_host_port(*self.remote[:2])

    def __str__(self) -> str:
        return f"IPv{'6' if self.local.family == socket.AF_INET6 else '4'} {self.place}"


class Examination:
    """All checks of one link, and their findings."""

    def __init__(self, index: int, link: LinkConfig, invite: Invite, routes: list[Route]) -> None:
        """`index` is the link's number, `routes` are the routes of the kernel."""
        self._index, self._link, self._invite, self._routes = index, link, invite, routes
        self._locals: list[LocalAddress] = []
        self._asked: dict[str, list[Asked]] = {}
        """The pinged addresses, by endpoint."""
        self._mappings: list[Mapping] = []
        self._has_server = False
        """Whether a finding about the server's version and clock exists."""
        self._answers_by_tls = False
        self.findings: list[Finding] = []

    @property
    def name(self) -> str:
        return self._link.name

    @property
    def device(self) -> str | None:
        """The interface that the link is bound to; None where it is not known."""
        return self._locals[0].device if self._locals else None

    @property
    def public_host(self) -> str | None:
        """The link's address as the server sees it."""
        return self._mappings[0].seen[0] if self._mappings else None

    @property
    def is_reached(self) -> bool:
        """Whether the server has said anything over this link."""
        return any(asked.has_answered for asked in self._everything())

    @property
    def heard(self) -> Heard:
        """The addresses that answer over this link, to compare with the running client's status."""
        hosts = {local.host for local in self._locals}
        accepted = [asked for asked in self._everything() if asked.has_answered and asked.refused is None]
        return Heard(hosts, {asked.place for asked in accepted})

    async def run(self, sessions: asyncio.Semaphore) -> None:
        """Pings every address of every endpoint, and examines one that answers for each endpoint.

        `sessions` limits the number of simultaneous sessions.
        """
        if not self._find_addresses():
            return
        everything = [self._link.endpoint] if self._link.endpoint else list(self._invite.endpoints)
        endpoints = [endpoint for endpoint in everything if not endpoint.startswith(TLS_SCHEME)]
        for endpoint in everything:
            if endpoint.startswith(TLS_SCHEME):
                await self._ask_by_tls(endpoint)
        await asyncio.gather(*(self._ask_endpoint(endpoint) for endpoint in endpoints))
        for endpoint in endpoints:
            self._note_addresses(endpoint, self._asked.get(endpoint, []))
        families: set[int] = set()
        for endpoint in endpoints:
            accepted = [one for one in self._asked.get(endpoint, []) if one.has_answered and one.refused is None]
            if accepted:
                async with sessions:
                    await self._visit(endpoint, accepted[0], measures_size=accepted[0].local.family not in families)
                families.add(accepted[0].local.family)
        if self._mappings:
            self._note("NAT", "ok", *nat(self._mappings))

    async def explain(self, *, is_server_up: bool) -> None:
        """Adds the reason of a link's silence to the findings. `is_server_up`: another link reaches the server."""
        asked = self._everything()
        if not self._locals or self.is_reached or (asked and all(one.fault for one in asked)):
            return
        silent = [one for one in asked if one.fault is None]
        for one in silent:
            if await self._is_filtered(one):
                self._note("server", "problem", rp_filter_text(one.local.device or "", one.remote), RP_FILTER_ADVICE)
                return
        if self._answers_by_tls:
            text = "this network drops UDP; the client uses TLS"
            self._note("server", "warning", text, 'nothing to do, unless the link has transport = "udp"')
            return
        await self._note_portal(silent)
        self._note("server", "problem", "no endpoint answers over this link", silence_advice(is_server_up=is_server_up))

    # --- this machine ---

    def _find_addresses(self) -> bool:
        """Finds the link's first address of each family; tells whether there is any."""
        try:
            found = make_link(self._index, self._link, self._invite).local()
        except OSError as error:
            advice = "Plug it in, or name another interface or address: --link NAME=BIND."
            self._note("address", "problem", error.strerror or str(error), advice)
            return False
        self._locals = list({local.family: local for local in reversed(found)}.values())[::-1]
        hosts = " and ".join(local.host for local in self._locals)
        self._note("address", "ok", hosts + (f" on {self.device}" if self.device else ""))
        return True

    # --- asking ---

    async def _ask_endpoint(self, endpoint: str) -> None:
        remotes = await self._look_up(endpoint)
        pairs = [Asked(local, remote) for remote in remotes for local in self._locals if _fits(local, remote)]
        self._asked[endpoint] = pairs
        if remotes and not pairs:
            families = "IPv4" if self._locals[0].family == socket.AF_INET else "IPv6"
            self._note(endpoint, "ok", f"not tried: it has no {families} address, and this link has no other")
        await asyncio.gather(*(self._ask(asked) for asked in pairs))
        if any(asked.refused is not None for asked in pairs):
            await asyncio.sleep(_AGAIN_AFTER)
            await asyncio.gather(*(self._ask(asked) for asked in pairs if asked.refused is not None))

    async def _ask_by_tls(self, endpoint: str) -> None:
        """Connects to an endpoint that is reached by TLS."""
        host, port, _ = parse_endpoint(endpoint, what="endpoint")
        took, problem = await time_tls(self._locals, (host, port))
        if problem:
            self._note(
                endpoint, "warning", f"no TLS: {problem}", "It is needed only where UDP is blocked (`listen_tls`)."
            )
        else:
            self._answers_by_tls = True
            self._note(endpoint, "ok", f"TLS connects in {took * 1000:.0f} ms")

    async def _look_up(self, endpoint: str) -> list[UdpAddress]:
        """All addresses of an endpoint, in the order that the system gives."""
        host, port = parse_host_port(endpoint, what="endpoint")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_LOOKUP_TIMEOUT):
                answers = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError, TimeoutError) as error:
            text = getattr(error, "strerror", None) or "no answer from the name server"
            advice = "Name servers are this machine's (`resolvectl status`, /etc/resolv.conf); an address needs none."
            self._note(endpoint, "problem", f"cannot resolve {host}: {text}", advice)
            return []
        return list(dict.fromkeys(cast("UdpAddress", address) for *_, address in answers))

    async def _ask(self, asked: Asked) -> None:
        try:
            pinger = Pinger(self._invite, asked.local, asked.remote)
        except OSError as error:
            asked.fault = self._missing_route(asked) or bind_error(error)
            return
        try:
            asked.has_answered = await pinger.reach()
            asked.refused = pinger.refused
            said = None if asked.has_answered else pinger.error or await pinger.icmp_error()
        finally:
            pinger.close()
        if not asked.has_answered:
            fault = send_error(said, asked.local.device) if said is not None else None
            asked.fault = self._missing_route(asked) or fault

    def _missing_route(self, asked: Asked) -> tuple[str, str] | None:
        return missing_route(self._routes, asked.local, asked.remote)

    # --- what was heard ---

    def _note_addresses(self, endpoint: str, asked: Sequence[Asked]) -> None:
        """Adds findings for addresses of an endpoint that refuse or do not answer."""
        refused = next((one.refused for one in asked if one.refused is not None), None)
        silent = [one for one in asked if not one.has_answered]
        if refused is not None:
            advice = "On the server, `tandem clients` lists whom it knows."
            self._note(endpoint, "problem", refusal_text(refused), advice)
        elif silent and len(silent) < len(asked):
            place = next(one.place for one in asked if one.has_answered)
            self._note(f"addresses of {endpoint}", "warning", *half_dead(self._link, asked, place))
        elif silent:
            self._note_silent(endpoint, silent)

    def _note_silent(self, endpoint: str, silent: Sequence[Asked]) -> None:
        faults = {one.fault: None for one in silent if one.fault is not None}
        for text, advice in faults:
            self._note(endpoint, "problem", text, advice)
        without = [str(one) for one in silent if one.fault is None]
        if without:
            self._note(endpoint, "warning", f"no answer from {' nor '.join(without)} within {REACH_TIMEOUT:.0f} s")

    async def _visit(self, endpoint: str, asked: Asked, *, measures_size: bool) -> None:
        try:
            pinger = Pinger(self._invite, asked.local, asked.remote)
        except OSError as error:  # the link went down meanwhile
            self._note(endpoint, "problem", os_error_text(error))
            return
        visit = Visit(self._link, self._invite, endpoint, asked.remote, pinger, measures_size)
        try:
            await visit.pay(self._mappings[0].own[1] if self._mappings else 0)
        finally:
            pinger.close()
        if visit.mapping is not None:
            self._mappings.append(visit.mapping)
        if visit.answer is not None and not self._has_server:
            self._has_server = True
            visit.note_server()
        self.findings += visit.findings

    # --- silence ---

    async def _is_filtered(self, asked: Asked) -> bool:
        """Whether this machine's reverse path filter drops the answers that arrive."""
        try:
            pinger = Pinger(self._invite, asked.local, asked.remote)
        except OSError:
            return False
        try:
            return await drops_answers(pinger, asked.local, asked.remote)
        finally:
            pinger.close()

    async def _note_portal(self, silent: Sequence[Asked]) -> None:
        if not silent:
            return
        names = {parse_host_port(endpoint, what="endpoint")[0] for endpoint in self._asked}
        page = await portal.guess(silent[0].local, silent[0].remote[0], names)
        if page:
            advice = "If that is not the server's own web site: open it over this link, log in there, and try again."
            self._note("captive portal", "warning", f"the server's web port answers with {page}", advice)

    # --- inside ---

    def _everything(self) -> list[Asked]:
        return [asked for several in self._asked.values() for asked in several]

    def _note(self, check: str, verdict: Verdict, text: str, advice: str = "") -> None:
        self.findings.append(Finding(subject=self.name, check=check, verdict=verdict, text=text, advice=advice))


def half_dead(link: LinkConfig, asked: Sequence[Asked], place: str) -> tuple[str, str]:
    """Text and advice where some addresses of an endpoint answer and others do not; `place` is one that answers."""
    silent = [f"{one} ({one.fault[0]})" if one.fault else str(one) for one in asked if not one.has_answered]
    answering = [str(one) for one in asked if one.has_answered]
    verb, other = ("does" if len(several) == 1 else "do" for several in (silent, answering))
    text = f"{' and '.join(silent)} {verb} not answer over {link.name}, {' and '.join(answering)} {other}"
    advice = (
        f"The client tries one after the other. To use what answers at once: --link {link.name}={link.bind}@{place}, "
        f"or an invite with --endpoint {place}."
    )
    return text, advice


def silence_advice(*, is_server_up: bool) -> str:
    """What to check, in this order, where nothing answers and nothing on this machine explains it."""
    if is_server_up:
        return (
            "The server runs, for another link reaches it. In this order: does this network ask for a login in a "
            "browser first (a captive portal), does it block UDP or these ports, is its router online."
        )
    return (
        "In this order: is the server running, do its firewall and its provider let UDP in, does this network "
        "ask for a login in a browser first (a captive portal), does it block UDP."
    )


def _fits(local: LocalAddress, remote: UdpAddress) -> bool:
    return (local.family == socket.AF_INET6) == (len(remote) == 4)
