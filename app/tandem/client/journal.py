"""What happens to a client's session and links: logged, kept in the event log, and remembered for the status."""

import logging
import time
from collections.abc import Callable, Sequence

from tandem.admin.snapshots import full_reason, refusal_text
from tandem.base.addresses import format_host_port
from tandem.client.bridged import BridgedOutages
from tandem.client.events import EventLog
from tandem_transport import ClientEvent, Connected, HandshakeRefused, HandshakeUnanswered, error_name
from tandem_transport.driver import Link
from tandem_transport.events import ConnectionTerminated, OutageChanged, PathStatusChanged

log = logging.getLogger("tandem.client")


class Journal:
    """What happens to the session and the links of one client."""

    def __init__(self, events: EventLog, links: Callable[[], Sequence[Link]]) -> None:
        """`links` returns the present links, by path id."""
        self.events = events
        self._links = links
        self._session_since: float | None = None
        self._outage_since: float | None = None
        self._sought_since = time.monotonic()
        self._was_answered = False
        """Whether this server has answered before."""
        self._refused: HandshakeRefused | None = None
        """The refusal that was logged last, because each link receives the same one."""
        self._problem = ""
        self._bridged = BridgedOutages()

    @property
    def bridged(self) -> tuple[int, float]:
        """How many outages of single links another link has bridged, and for how many seconds in all."""
        return self._bridged.count, round(self._bridged.seconds(now=time.monotonic()), 1)

    @property
    def session_age(self) -> float | None:
        """Seconds since the session began, None where there is no session."""
        return _since(self._session_since)

    @property
    def outage(self) -> float | None:
        """Seconds for which all links have been down, None while one is not."""
        return _since(self._outage_since)

    @property
    def search(self) -> float | None:
        """Seconds for which the client has been without a session, None while there is one."""
        return None if self._session_since is not None else _since(self._sought_since)

    @property
    def problem(self) -> str:
        """Why there is no session that can be used; empty while there is one."""
        return "all links are down" if self._outage_since is not None else self._problem

    def note(self, event: ClientEvent) -> None:
        """Notes an event of the client's driver."""
        match event:
            case Connected():
                self.note_session()
            case HandshakeRefused() if event != self._refused:
                self._refused = event
                self._problem = refusal_text(event)
                log.error("refused: %s; trying on", self._problem)
                self.events.add("session", state="refused", cause=self._problem)
            case HandshakeUnanswered(attempts, silence) if attempts in (2, 5) or attempts % 20 == 0:
                self._note_unanswered(silence)
            case PathStatusChanged(path_id, status, reason):
                link = self._links()[path_id]
                cause = full_reason(link, status.value, reason)
                log.info("link %s is %s%s", link.name, status, f" ({cause})" if cause else "")
                self.events.add("link", link=link.name, state=status.value, cause=cause)
                self._bridged.note(path_id, status.value, now=time.monotonic())
            case OutageChanged(is_out, duration):
                self._note_outage(duration, is_out=is_out)
            case ConnectionTerminated(code, reason, is_remote):
                self._note_end(reason or error_name(code), is_remote=is_remote)
            case _:
                pass

    def note_session(self) -> None:
        """Notes that there is a session."""
        self._refused, self._was_answered, self._problem = None, True, ""
        log.info("session with the server is up")
        self.events.add("session", state="up")
        self._session_since, self._outage_since = time.monotonic(), None
        self._bridged.reset(now=time.monotonic())

    def _note_unanswered(self, silence: float) -> None:
        if not any(link.sock for link in self._links()):
            return  # what is wrong with each link is logged already
        causes = "server down, or a firewall" if self._was_answered else "wrong server key, firewall, or server down"
        said = sorted({link.system_error for link in self._links() if link.system_error})
        causes = "; ".join([*(f"{text}, says the system" for text in said), causes])
        asked = _asked(self._links())
        self._problem = f"no answer from {asked}: {causes}"
        log.warning("no answer from %s for %.0f s: %s; trying on", asked, silence, causes)

    def _note_outage(self, duration: float, *, is_out: bool) -> None:
        self._outage_since = time.monotonic() if is_out else None
        if is_out:
            log.warning("all links are down; connections are held")
            self.events.add("outage", state="begins")
        else:
            log.info("back after %.1f s", duration)
            self.events.add("outage", state="over", duration_s=round(duration, 1))

    def _note_end(self, why: str, *, is_remote: bool) -> None:
        self._session_since = self._outage_since = None
        self._bridged.reset(now=time.monotonic())
        self._sought_since = time.monotonic()
        self._problem = f"the last session is over: {why}"
        log.log(logging.WARNING if is_remote else logging.INFO, "session over: %s", why)
        self.events.add("session", state="over", cause=why)


def _asked(links: Sequence[Link]) -> str:
    """The endpoints that have not answered, and the addresses of those that are names."""
    hosts: dict[tuple[str, int], dict[str, None]] = {}
    for link in links:
        for endpoint, host in link.targets.asked:
            hosts.setdefault(endpoint, {})[host] = None
    by_udp = [_described(endpoint, list(found)) for endpoint, found in sorted(hosts.items())]
    return ", ".join([*by_udp, *sorted({link.detour.problem for link in links if link.detour.problem})]) or "the server"


def _described(endpoint: tuple[str, int], hosts: Sequence[str]) -> str:
    place = format_host_port(*endpoint)
    return place if list(hosts) == [endpoint[0]] else f"{place} ({', '.join(hosts)})"


def _since(moment: float | None) -> float | None:
    return None if moment is None else round(time.monotonic() - moment, 1)
