"""`tandem doctor`: looks at everything between this machine and the server, link by link, and says what to do.

Each link is tried with a session of its own, so a running client does not notice.
"""

import asyncio
import contextlib
import errno
import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from pydantic import BaseModel

from tandem import __version__, portal
from tandem.addresses import format_host_port, parse_host_port
from tandem.config import Config, LinkConfig
from tandem.errors import os_error_text
from tandem.failures import Failure
from tandem.invites import Invite
from tandem.links import make_link, planned_links
from tandem.opener import Opener
from tandem.request import Answer, Kind, Request
from tandem.status import refusal_text
from tandem_transport import Connected, HandshakeRefused, PathStats, TransportError
from tandem_transport.driver import ClientDriver, DrivenSession, Link, LocalAddress, family_of

PROBES = 50
PROBE_INTERVAL = 0.05
"""Seconds."""

_AGAIN_AFTER = 1.5
"""Seconds between two tries."""

_REACH_LIMIT = 4.0
"""Seconds for a session over one link to one endpoint."""

_CLOCK_TOLERANCE = 120.0
_BASE_SIZE = 1200

Place = tuple[str, int]

Verdict = Literal["ok", "warning", "problem"]


class Mapping(NamedTuple):
    """What became of a socket's address on its way to an endpoint."""

    own: Place
    remote: Place
    seen: Place


class Finding(BaseModel):
    """One thing that was looked at."""

    subject: str
    """A link, or "this machine"."""
    check: str
    verdict: Verdict
    text: str
    advice: str = ""

    def __str__(self) -> str:
        mark = {"ok": "ok     ", "warning": "warning", "problem": "PROBLEM"}[self.verdict]
        line = f"{mark} {self.subject}: {self.check}: {self.text}"
        return f"{line}\n        {self.advice}" if self.advice else line


async def examine(config: Config, invite: Invite) -> list[Finding]:
    """Everything, in the order in which it is told."""
    found = [_local_port(config)]
    links = planned_links(config.link)
    if not links:
        text = "no interface has a default route"
        advice = "Plug one in, or name a link: --link NAME=BIND, with an interface or a local address."
        return [*found, Finding(subject="this machine", check="links", verdict="problem", text=text, advice=advice)]
    examined = await asyncio.gather(*(_Examination(i, link, invite).run() for i, link in enumerate(links)))
    for examination in examined:
        found += examination.findings
    return [*found, *_shared_fate(examined)]


class _Examination:
    """Of one link."""

    def __init__(self, index: int, link: LinkConfig, invite: Invite) -> None:
        self._link, self._invite = link, invite
        self._index = index
        self.findings: list[Finding] = []
        self._port = 0
        """The local port of the first session; the others have it too, so that NATs can be told from each other."""
        self._mappings: list[Mapping] = []
        self._silent: tuple[str, str] | None = None
        """An address from which nothing came, and its endpoint's name."""
        self._is_refused = False
        self._has_server = False
        """The server's version and clock have been told."""

    @property
    def public_host(self) -> str | None:
        """The link's address as the server sees it."""
        return self._mappings[0].seen[0] if self._mappings else None

    @property
    def name(self) -> str:
        return self._link.name

    async def run(self) -> "_Examination":
        local = self._local()
        if local is None:
            return self
        endpoints = [self._link.endpoint] if self._link.endpoint else list(self._invite.endpoints)
        reached = [await self._reach(endpoint, local) for endpoint in endpoints]
        if self._mappings:
            self._note("NAT", "ok", *nat(self._mappings))
        if not any(reached) and not self._is_refused:
            await self._note_silence(local)
        return self

    async def _note_silence(self, local: LocalAddress) -> None:
        page = await portal.guess(local, *self._silent) if self._silent is not None else ""
        if page:
            advice = "If that is not the server's own web site: open it over this link, log in there, and try again."
            self._note("captive portal", "warning", f"the server's web port answers with {page}", advice)
        advice = (
            "In this order: is the server running, do its firewall and its provider let UDP in, does this network "
            "ask for a login in a browser first (a captive portal), does it block UDP."
        )
        self._note("server", "problem", "no endpoint answers over this link", advice)

    # --- this machine ---

    def _local(self) -> LocalAddress | None:
        """Address and device of the link."""
        try:
            local = make_link(self._index, self._link, self._invite).local()[0]
        except OSError as error:
            advice = "Plug it in, or name another interface or address: --link NAME=BIND."
            self._note("address", "problem", error.strerror or str(error), advice)
            return None
        self._note("address", "ok", local.host + (f" on {local.device}" if local.device else ""))
        return local

    def _route(self, local: LocalAddress, remote: tuple[str, int]) -> str:
        """Why nothing can be sent there from this link; "" where it can."""
        with socket.socket(local.family, socket.SOCK_DGRAM) as probe:
            try:
                local.bind(probe)
                probe.connect(remote)
            except OSError as error:
                what = "binding to the device" if error.errno == errno.EPERM else "route"
                return f"{what}: {os_error_text(error)}"
        return ""

    # --- the server ---

    async def _reach(self, endpoint: str, local: LocalAddress) -> bool:
        """Tells whether a session comes up; looks closer if so."""
        if await self._try(endpoint, local, is_last=False):
            return True
        await asyncio.sleep(_AGAIN_AFTER)  # the server may have missed an invite of just now
        return await self._try(endpoint, local, is_last=True)

    async def _try(self, endpoint: str, local: LocalAddress, *, is_last: bool) -> bool:
        link = make_link(0, self._link.model_copy(update={"endpoint": endpoint}), self._invite)
        link.port = self._port
        ended = asyncio.Event()
        driver = ClientDriver(
            self._invite.client_private,
            self._invite.server_public,
            [link],
            instance_id=os.urandom(8),
            on_event=lambda event: ended.set() if isinstance(event, Connected | HandshakeRefused) else None,
        )
        driver.start()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REACH_LIMIT):
                    await ended.wait()
            if driver.session is not None:
                try:
                    await self._look_closer(endpoint, driver, driver.session)
                except TransportError as error:
                    self._note(endpoint, "problem", f"the session broke off: {error}")
                return True
            if is_last:
                self._note_unreached(endpoint, driver, local, link)
            return False
        finally:
            await driver.close()

    def _note_unreached(self, endpoint: str, driver: ClientDriver, local: LocalAddress, link: Link) -> None:
        if driver.refused is not None:
            self._is_refused = True
            advice = "On the server, `tandem clients` lists whom it knows."
            self._note(endpoint, "problem", refusal_text(driver.refused), advice)
        elif link.error:
            self._note(endpoint, "problem", link.error)
        elif link.remote is not None and (problem := self._route(local, link.remote[:2])):
            self._note(endpoint, "problem", problem, "`ip route get` tells where packets would go.")
        else:
            self._silent = (link.remote[0], parse_host_port(endpoint, what="endpoint")[0]) if link.remote else None
            self._note(endpoint, "warning", f"no answer within {_REACH_LIMIT:.0f} s")

    async def _look_closer(self, endpoint: str, driver: ClientDriver, session: DrivenSession) -> None:
        for _ in range(PROBES):
            driver.wake()
            session.connection.send_datagram(0, b"probe")
            await asyncio.sleep(PROBE_INTERVAL)
        await asyncio.sleep(0.5)
        path = session.connection.stats(now=driver.now()).paths[0]
        self._note_path(endpoint, path)
        try:
            answer = (await Opener(driver, "off").ask(Request(Kind.WHO_AM_I, "", 0))).answer
        except Failure as failure:
            self._note(endpoint, "warning", f"the server does not tell what it sees: {failure}")
            return
        sock, remote = driver.links[0].sock, driver.links[0].remote
        if sock is not None and remote is not None:
            self._port = sock.local[1]
            self._mappings.append(Mapping(sock.local[:2], remote[:2], (answer.bound_host, answer.bound_port)))
        if not self._has_server:
            self._has_server = True
            self._note_server(endpoint, answer)

    def _note_path(self, endpoint: str, path: PathStats) -> None:
        loss = max(path.loss_sent or 0.0, path.loss_received or 0.0)
        rtt = [value * 1000 if value is not None else 0.0 for value in (path.rtt_min, path.rtt_smoothed, path.rtt_p95)]
        text = f"round trip {rtt[0]:.0f} ms at best, {rtt[1]:.0f} usually, {rtt[2]:.0f} in 95 of 100; loss {loss:.0%}"
        advice = (
            "Bad, and what Tandem is for; a cable, or another place for the antenna, may help." if loss > 0.1 else ""
        )
        self._note(endpoint, "warning" if loss > 0.1 else "ok", text, advice)
        size = path.datagram_size
        advice = (
            "Only small packets get through: a tunnel or a mobile network in between." if size <= _BASE_SIZE else ""
        )
        self._note("packet size", "warning" if advice else "ok", f"{size} bytes of UDP payload to {endpoint}", advice)

    def _note_server(self, endpoint: str, answer: Answer) -> None:
        try:
            told = json.loads(answer.detail)
            version, ahead = str(told["version"]), time.time() - float(told["time"])
        except (ValueError, KeyError, TypeError):
            self._note(endpoint, "warning", "the server tells nothing of its version and its clock")
            return
        advice = "" if version == __version__ else f"This is {__version__}; let both be the same."
        self._note("server's version", "warning" if advice else "ok", version, advice)
        is_off = abs(ahead) > _CLOCK_TOLERANCE
        text = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the server's" if is_off else "agrees"
        advice = (
            "Tandem works all the same; certificates of web sites may not. Set the clock, or use NTP." if is_off else ""
        )
        self._note("clock", "warning" if is_off else "ok", text, advice)

    def _note(self, check: str, verdict: Verdict, text: str, advice: str = "") -> None:
        self.findings.append(Finding(subject=self.name, check=check, verdict=verdict, text=text, advice=advice))


def nat(mappings: Sequence[Mapping]) -> tuple[str, str]:
    """What stands between a socket and the endpoints, at least one, and what to know of it (RFC 4787 section 4.1)."""
    own, _, seen = mappings[0]
    alike = [mapping for mapping in mappings if family_of(mapping.own[0]) == family_of(own[0])]
    place = format_host_port(*seen)
    if all(mapping.seen[0] == mapping.own[0] for mapping in alike):
        return f"none; the server sees {place}", ""
    port = "keeps the port" if seen[1] == own[1] else f"makes port {seen[1]} of {own[1]}"
    text = f"the server sees {place}; it {port}"
    if len(alike) < 2:
        return text, ""
    if len({mapping.seen for mapping in alike}) > 1:
        advice = "Tandem does not mind; programs that connect directly to each other do."
        return f"{text}, and another for the next endpoint (a symmetric NAT)", advice
    if len({mapping.remote[0] for mapping in alike}) > 1:
        return f"{text}, the same for each endpoint (endpoint-independent mapping)", ""
    return f"{text}, the same for each port of the server (whether for other hosts too, one server cannot tell)", ""


def _local_port(config: Config) -> Finding:
    host, port = parse_host_port(config.socks.listen, what="socks")
    place = format_host_port(host, port)
    with socket.socket(family_of(host), socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            text = f"{place}: {os_error_text(error)}"
            advice = "A client that runs already has it; else --socks HOST:PORT takes another one."
            verdict: Verdict = "warning" if error.errno == errno.EADDRINUSE else "problem"
            return Finding(subject="this machine", check="SOCKS port", verdict=verdict, text=text, advice=advice)
    return Finding(subject="this machine", check="SOCKS port", verdict="ok", text=f"{place} is free")


def _shared_fate(examined: Sequence[_Examination]) -> Iterator[Finding]:
    """Links that leave by one address fail together."""
    by_host: dict[str, list[str]] = {}
    for examination in examined:
        if examination.public_host is not None:
            by_host.setdefault(examination.public_host, []).append(examination.name)
    for host, names in by_host.items():
        if len(names) > 1:
            text = f"{' and '.join(names)} reach the server from the same address, {host}"
            advice = "They go through one router, and fail together. A phone on its own contract is a second way."
            yield Finding(subject="links", check="shared fate", verdict="warning", text=text, advice=advice)
