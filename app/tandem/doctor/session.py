"""What a separate session over one link shows: round trips, losses, packet sizes, NAT, server and clock."""

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field

from tandem import __version__
from tandem.base.addresses import format_host_port
from tandem.client.links import make_link
from tandem.client.opener import Opener
from tandem.config.config import LinkConfig
from tandem.config.invites import Invite
from tandem.doctor.findings import Finding, Verdict
from tandem.doctor.nat import Mapping
from tandem.doctor.pings import Count, Pinger, largest_size
from tandem.exchange.failures import Failure
from tandem.exchange.request import Answer, Kind, Request
from tandem_transport import Connected, HandshakeRefused, PathStats, TransportError
from tandem_transport.driver import ClientDriver, SessionStreams, UdpAddress, local_identity
from tandem_transport.parameters import BASE_DATAGRAM_SIZE, MIN_DATAGRAM_SIZE

PROBES = 50
PROBE_INTERVAL = 0.05
"""Seconds between two pings, and between two DATAGRAM frames of the session."""

_SESSION_TIMEOUT = 8.0
"""Seconds that a session may take to come up where the server answers pings."""

_BAD_LOSS = 0.1
_CLOCK_TOLERANCE = 120.0


@dataclass(slots=True)
class Visit:
    """One session over one link to one address of the server."""

    link: LinkConfig
    invite: Invite
    endpoint: str
    """The endpoint as the invite or the configuration writes it."""
    remote: UdpAddress
    pinger: Pinger
    measures_size: bool
    """Whether to measure packet sizes too; once for each address family is enough."""
    findings: list[Finding] = field(default_factory=list[Finding])
    mapping: Mapping | None = None
    answer: Answer | None = None
    """The server's answer to WHO_AM_I; None without one."""
    _count: Count = field(default=Count(0, 0))
    _size: int | None = None

    async def pay(self, port: int) -> None:
        """Pings, then opens a session, and stores what they show.

        `port` is the session's local port, 0 for any: several sessions from one port show how a NAT maps it.
        """
        self._count = await self.pinger.count(PROBES, PROBE_INTERVAL)
        self._size = await largest_size(self.pinger) if self.measures_size else None
        await self._open_session(port)

    async def _open_session(self, port: int) -> None:
        place = format_host_port(*self.remote[:2])
        link = make_link(0, self.link.model_copy(update={"endpoint": place}), self.invite)
        link.port = port
        ended = asyncio.Event()
        driver = ClientDriver(
            local_identity(self.invite.client_private, self.invite.server_public),
            [link],
            on_event=lambda event: ended.set() if isinstance(event, Connected | HandshakeRefused) else None,
        )
        driver.start()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SESSION_TIMEOUT):
                    await ended.wait()
            await self._look(driver)
        except TransportError as error:
            self._note(self.endpoint, "problem", f"the session broke off: {error}")
        finally:
            await driver.close()

    async def _look(self, driver: ClientDriver) -> None:
        session = driver.session
        if session is None:
            place = format_host_port(*self.remote[:2])
            text = f"{place} answers pings, but no session came up in {_SESSION_TIMEOUT:.0f} s"
            self._note(self.endpoint, "problem", text, "Try again; `tandem status` on the server tells how busy it is.")
            return
        await self._probe(driver, session)
        self._note_path(session.connection.stats(now=driver.now()).paths[0])
        await self._ask_who_am_i(driver)
        if self._size is not None:
            self._note_size(self._size)

    # --- round trips and losses ---

    async def _probe(self, driver: ClientDriver, session: SessionStreams) -> None:
        """Sends DATAGRAM frames, so that the session measures round-trip times."""
        for _ in range(PROBES):
            driver.wake()
            session.connection.send_datagram_frame(0, b"probe")
            await asyncio.sleep(PROBE_INTERVAL)

    def _note_path(self, path: PathStats) -> None:
        """Adds the session's round-trip times and the pings' loss: a session also loses probes that are too large."""
        rtt = [value * 1000 if value is not None else 0.0 for value in (path.rtt_min, path.rtt_smoothed, path.rtt_p95)]
        round_trip = f"round trip {rtt[0]:.0f} ms at best, {rtt[1]:.0f} usually, {rtt[2]:.0f} in 95 of 100"
        is_bad = self._count.loss > _BAD_LOSS
        advice = "Bad, and what Tandem is for; a cable, or another place for the antenna, may help." if is_bad else ""
        text = f"{round_trip}; loss {self._count.loss:.0%} there and back"
        self._note(self.endpoint, "warning" if is_bad else "ok", text, advice)

    # --- packet sizes ---

    def _note_size(self, size: int) -> None:
        if size >= BASE_DATAGRAM_SIZE:
            self._note("packet size", "ok", f"{size} bytes of UDP payload to {self.endpoint}")
            return
        advice = (
            f"Tandem sends smaller packets over this link, which costs speed; below {MIN_DATAGRAM_SIZE} bytes it "
            f"does not work at all. Raise the MTU of the tunnel or modem in between: `ip link set dev DEVICE mtu 1280`."
        )
        self._note("packet size", "problem", size_text(size), advice)

    # --- the server ---

    async def _ask_who_am_i(self, driver: ClientDriver) -> None:
        try:
            self.answer = await Opener(driver, "off").ask_once(Request(Kind.WHO_AM_I, "", 0))
        except Failure as failure:
            self._note(self.endpoint, "warning", f"the server does not tell what it sees: {failure}")
            return
        sock, remote = driver.links[0].sock, driver.links[0].remote
        if sock is not None and remote is not None:
            seen = (self.answer.bound_host, self.answer.bound_port)
            self.mapping = Mapping(sock.local[:2], remote[:2], seen)

    def note_server(self) -> None:
        """Adds findings about the server's version, and about the difference of the clocks."""
        if self.answer is None:
            return
        try:
            told = json.loads(self.answer.detail)
            version, ahead = str(told["version"]), time.time() - float(told["time"])
        except (ValueError, KeyError, TypeError):
            self._note(self.endpoint, "warning", "the server tells nothing of its version and its clock")
            return
        advice = "" if version == __version__ else f"This is {__version__}; let both be the same."
        self._note("server's version", "warning" if advice else "ok", version, advice)
        is_off = abs(ahead) > _CLOCK_TOLERANCE
        text = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the server's" if is_off else "agrees"
        advice = "Tandem works anyway; certificates of web sites may not. Set the clock, or use NTP." if is_off else ""
        self._note("clock", "warning" if is_off else "ok", text, advice)

    def _note(self, check: str, verdict: Verdict, text: str, advice: str = "") -> None:
        self.findings.append(Finding(subject=self.link.name, check=check, verdict=verdict, text=text, advice=advice))


def size_text(size: int) -> str:
    """What is wrong with packet sizes: `size` is the largest UDP payload in bytes that arrives at the server, 0 where
    none of the tried sizes does."""
    largest = f"largest that does: {size}" if size else f"not even those of {MIN_DATAGRAM_SIZE} do"
    return f"packets of {BASE_DATAGRAM_SIZE} bytes do not arrive; {largest}"
