"""The status: what `/status`, `tandem status --json` and the console show. The names are a contract and do not change.

"No sample yet" is null, never 0.
"""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Literal

from pydantic import BaseModel, model_validator

from tandem import __version__
from tandem.base.units import format_time
from tandem.config.old_names import present_use
from tandem.exchange.link_names import LinkNames
from tandem_transport import ConnectionStats, HandshakeRefused, PathStats, PathStatus, PathUse, Refusal
from tandem_transport.driver import ClientDriver, Link, ServerDriver, format_address, source_of_address
from tandem_transport.parameters import MAX_SESSIONS
from tandem_transport.path.carrier import Carrier

LinkUse = Literal["available", "metered", "backup", "off"]

_USES: dict[PathUse, LinkUse] = {
    PathUse.AVAILABLE: "available",
    PathUse.METERED: "metered",
    PathUse.BACKUP: "backup",
    PathUse.OFF: "off",
}


class RttStatus(BaseModel):
    """Round-trip times of a link, in milliseconds."""

    latest: float | None
    smoothed: float | None
    min: float | None
    p95: float | None


class LinkStatus(BaseModel):
    """One link; on the server, one path of a session."""

    name: str
    path_id: int
    local: str | None
    remote: str | None
    state: Literal["probing", "usable", "degraded", "down"]
    reason: str
    rtt_ms: RttStatus
    loss_up: float | None
    loss_down: float | None
    rate_up_bps: float
    rate_down_bps: float
    bytes_up: int
    bytes_down: int
    won: float | None
    queue_ms: float | None = None
    """Milliseconds that this end's packets wait in the link's queue; the other end's status has the other direction."""
    datagram_size: int | None = None
    """Bytes of UDP payload that the link is known to carry."""
    spurious: int = 0
    """Spurious losses: packets of this end that were declared lost, but arrived."""
    use: LinkUse = "available"
    """How this end uses the link now; on a client without a session, the configured use."""
    day_bytes: int | None = None
    """Bytes carried today, headers included, also before a restart. Only a client has this and `month_bytes`."""
    month_bytes: int | None = None
    drill: str | None = None
    """The drill that is under way on the link, None without one."""
    limited_by: Literal["queue", "drops"] | None = None
    """How the link shows that this end sends more than it carries: a queue grows, or the excess is dropped."""
    day_cap_bytes: int | None = None
    """Bytes that the link may carry in a day, None without a cap."""
    month_cap_bytes: int | None = None
    loss_peer: float | None = None
    """Share of this end's packets that are lost, 0 to 1, as the other end counts it."""
    transport: Literal["udp", "tls"] = "udp"
    """How packets are carried now: as datagrams, or in TLS where the network drops these."""

    @model_validator(mode="before")
    @classmethod
    def _present_names(cls, fields: object) -> object:
        """Accepts old names of fields, because a running Tandem of an earlier release may have written them."""
        return present_use(fields)


class StreamStatus(BaseModel):
    """One connection that a client carries."""

    target: str
    via: str = "session"
    """The way that it takes: `session`, `direct`, `link:NAME`, `server:NAME`, or `published` from the server."""
    age_s: float
    bytes_up: int
    bytes_down: int


class SessionStatus(BaseModel):
    """A session between a client and a server."""

    state: Literal["connecting", "up", "outage"]
    server: str | None
    streams_open: int
    streams_total: int
    bytes_up: int
    bytes_down: int
    copy_bytes: int
    rescued: int
    spurious: int = 0
    """Spurious losses: packets of this end that were sent again, but had arrived."""
    age_s: float | None = None
    outage_s: float | None = None
    """Seconds for which all links have been down, None while one is not."""
    reason: str = ""
    """Why there is no session, or no link that works, such as a refusal or the silence of the server."""


class ExitStatus(BaseModel):
    """A client's session with a further server."""

    name: str
    state: Literal["connecting", "up", "outage"]
    server: str
    streams_open: int
    reason: str
    """Why the server refuses this client, where it does."""


class PublishedStatus(BaseModel):
    """A port of the server that a client publishes."""

    name: str
    target: str
    state: Literal["waiting", "published", "refused"]
    at: str
    """Where it is reached at the server, "" while it is not."""
    reason: str
    """Why the server refuses it, where it does."""


class PublicationStatus(BaseModel):
    """A port of a server that leads to a client's side."""

    name: str
    listen: str
    client: str
    """The client that offers it now, "" where none does."""
    connections: int


class ServerSessionStatus(SessionStatus):
    """A session on the server."""

    client: str
    links: list[LinkStatus]


class ClientStatus(BaseModel):
    """A client's status."""

    version: str = __version__
    role: Literal["client"] = "client"
    uptime_s: float
    mode: str
    session: SessionStatus
    links: list[LinkStatus]
    streams: list[StreamStatus] = []
    """The connections that have carried most bytes."""
    failures: dict[str, int] = {}
    """Requests that could not be served, by reason."""
    socks: str = ""
    """The address and port of the SOCKS port; the event log is named after the port."""
    failovers: int = 0
    """How often the client has changed to another server."""
    udp_drops: int | None = None
    """Datagrams that the kernel dropped because this process did not read them in time."""
    exits: list[ExitStatus] = []
    """The sessions with further servers, to which routes lead (`via = "server:NAME"`)."""
    published: list[PublishedStatus] = []
    """The ports of the server that this client publishes."""

    @property
    def is_healthy(self) -> bool:
        """Whether there is a session that can be used."""
        return self.session.state == "up"

    @property
    def problem(self) -> str:
        """Why there is no session that can be used, in words; empty where there is one."""
        return "" if self.is_healthy else self.session.reason or f"session {self.session.state}"

    @property
    def warning(self) -> str:
        """What an operator should look at although all connections go on; a client has no such thing."""
        return ""


class WorkerStatus(BaseModel):
    """One process of a server with several."""

    pid: int
    sessions: int
    uptime_s: float


class ServerStatus(BaseModel):
    """A server's status."""

    version: str = __version__
    role: Literal["server"] = "server"
    uptime_s: float
    listen: list[str]
    clients: int
    sessions: list[ServerSessionStatus]
    failures: dict[str, int] = {}
    """Requests that could not be served, by reason."""
    handshakes: dict[str, int] = {}
    """Datagrams that belong to no session, by what became of them."""
    max_sessions: int = MAX_SESSIONS
    memory_bytes: int = 0
    """Bytes of `max_memory_bytes` that sessions use, or have granted as flow control credit."""
    max_memory_bytes: int = 0
    max_resets: float = 0
    """Clients that are told in a second, at most, that their session is forgotten; `handshakes` counts them."""
    udp_drops: int | None = None
    """Datagrams that the kernel dropped because this process did not read them in time."""
    workers: list[WorkerStatus] = []
    """The processes that serve, where the server has several."""
    workers_replaced: int = 0
    """Workers that have died, and were replaced."""
    pid: int = 0
    published: list[PublicationStatus] = []
    """The ports that lead to clients' sides."""
    registry_problem: str = ""
    """Why the registrations in use are not, or not all, those of the state directory."""

    @property
    def is_healthy(self) -> bool:
        """Whether the server listens on any address."""
        return bool(self.listen)

    @property
    def problem(self) -> str:
        """Why the server does not serve, in words; empty where it does."""
        return "" if self.is_healthy else "no address to listen on"

    @property
    def warning(self) -> str:
        """What an operator should look at although all connections go on; empty where there is nothing."""
        return self.registry_problem


Status = ClientStatus | ServerStatus


_REFUSALS: dict[int, str] = {
    Refusal.UNKNOWN_KEY: "the server does not know this client's key; ask for a new invite",
    Refusal.TOO_MANY_SESSIONS: "too many computers use this client's key; ask for another invite",
    Refusal.SERVER_FULL: "the server is full",
    Refusal.DISABLED: "the server's owner has disabled this client",
    Refusal.EXPIRED: "this client's time has run out; ask the server's owner for more",
    Refusal.QUOTA_USED_UP: "this client has carried as much data as it may",
    Refusal.VERSION: "this client's release is too old for the server; update it",
}


def refusal_text(refused: HandshakeRefused) -> str:
    """Why a server refuses a client, in words, and until when, where the server says that."""
    text = _REFUSALS.get(refused.code, f"the server refuses this client (code {refused.code})")
    return f"{text}, until {format_time(refused.until)}" if refused.until else text


MAX_DOWN_SHOWN = 4
"""The number of paths of a session that are shown at the server, even where they have been down for long."""

HIDE_DOWN_AFTER = 180.0
"""Seconds after which further paths that are down are no longer shown, while the session has one that works."""


def full_reason(link: Link, state: str, reason: str) -> str:
    """Why a link is in its state. The system's error of its packets comes first, because a console may cut the rest."""
    if state not in ("down", "probing") or link.error:
        return reason
    said = f"{link.system_error}, says the system" if link.system_error else ""
    return "; ".join(filter(None, (said, link.detour.problem, reason)))


def client_status(driver: ClientDriver, started_at: float) -> ClientStatus:
    """The present status of a client."""
    now = time.monotonic()
    connection = driver.endpoint.connection
    stats = connection.stats(now=now) if connection is not None else None
    paths = {path.path_id: path for path in stats.paths} if stats else {}
    waiting = refusal_text(driver.refused) if driver.refused is not None else "no session yet"
    links = [_client_link(i, link, paths.get(i), waiting) for i, link in enumerate(driver.links)]
    server = next((link.remote for link in links if link.remote), None)
    return ClientStatus(
        uptime_s=round(now - started_at, 1),
        mode=driver.endpoint.mode.name.lower(),
        session=SessionStatus.model_validate(_session(stats, is_up=True, server=server)),
        links=links,
        udp_drops=driver.unread,
    )


def server_status(driver: ServerDriver, started_at: float, clients: int, link_names: LinkNames) -> ServerStatus:
    """The present status of a server; up and down are directions of the client."""
    now = time.monotonic()
    sessions: list[ServerSessionStatus] = []
    for session in driver.sessions:
        stats = session.connection.stats(now=now)
        names = link_names.of(session)
        shown = shown_paths(stats.paths, driver.down_since(session), now=now)
        links = [_server_link(path, names) for path in shown]
        fields = _session(stats, is_up=False, server=None) | {"client": session.client_name, "links": links}
        made = ServerSessionStatus.model_validate(fields)
        made.streams_total -= link_names.told(session)
        sessions.append(made)
    listen = [format_address(address) for address in driver.sockets.addresses]
    memory, max_memory = driver.endpoint.memory
    return ServerStatus(
        uptime_s=round(now - started_at, 1),
        listen=listen,
        clients=clients,
        sessions=sessions,
        handshakes=asdict(driver.endpoint.counters),
        memory_bytes=memory,
        max_memory_bytes=max_memory,
        max_sessions=driver.endpoint.limits.sessions,
        max_resets=driver.endpoint.limits.resets,
        pid=os.getpid(),
        udp_drops=driver.sockets.unread,
    )


def shown_paths(paths: Sequence[PathStats], down_since: Mapping[int, float], *, now: float) -> Sequence[PathStats]:
    """The paths of a session, without those that have been down for long; all of them where all are down.

    The MAX_DOWN_SHOWN that went down last are always shown. `down_since`: when each path went down, in seconds of
    the clock of `now`.
    """
    down = [path for path in paths if path.status is PathStatus.DOWN]
    if len(down) == len(paths):
        return paths
    down.sort(key=lambda path: down_since.get(path.path_id, now), reverse=True)
    older = down[MAX_DOWN_SHOWN:]
    hidden = {path.path_id for path in older if now - down_since.get(path.path_id, now) >= HIDE_DOWN_AFTER}
    return [path for path in paths if path.path_id not in hidden]


def _session(stats: ConnectionStats | None, *, is_up: bool, server: str | None) -> dict[str, object]:
    """The fields of SessionStatus. `is_up`: what we send is the client's upload."""
    if stats is None:
        counts = {"streams_open": 0, "streams_total": 0, "bytes_up": 0, "bytes_down": 0, "copy_bytes": 0, "rescued": 0}
        return {"state": "connecting", "server": server, **counts}
    sent, received = stats.stream_bytes_sent, stats.stream_bytes_received
    return {
        "state": "outage" if stats.is_out else "up",
        "server": server,
        "streams_open": stats.streams_open,
        "streams_total": stats.streams_total,
        "bytes_up": sent if is_up else received,
        "bytes_down": received if is_up else sent,
        "copy_bytes": stats.copy_bytes,
        "rescued": stats.rescued,
        "spurious": stats.spurious,
    }


def _client_link(path_id: int, link: Link, path: PathStats | None, waiting: str) -> LinkStatus:
    local = format_address(link.sock.local) if link.sock is not None else None
    remote = format_address(link.place) if link.place is not None and not link.error else None
    if path is None:
        state, reason = ("down", link.error) if link.error else ("probing", full_reason(link, "probing", waiting))
        return LinkStatus.model_validate(
            {"name": link.name, "path_id": path_id, "local": local, "remote": remote, "state": state, "reason": reason}
            | {"rtt_ms": {"latest": None, "smoothed": None, "min": None, "p95": None}, "won": None}
            | {"loss_up": None, "loss_down": None, "rate_up_bps": 0, "rate_down_bps": 0, "bytes_up": 0, "bytes_down": 0}
        )
    found = _link(path, link.name, local, remote, is_client=True)
    found.reason = full_reason(link, found.state, found.reason)
    found.transport = "tls" if link.detour.is_in_use else "udp"
    return found


def _server_link(path: PathStats, names: Sequence[str]) -> LinkStatus:
    source = source_of_address(path.address)
    local = format_address(source.local) if source else None
    remote = format_address(source.remote) if source else None
    name = names[path.path_id] if path.path_id < len(names) else f"path {path.path_id}"
    found = _link(path, name, local, remote, is_client=False)
    found.transport = "tls" if isinstance(path.address, Carrier) else "udp"
    return found


def _link(path: PathStats, name: str, local: str | None, remote: str | None, *, is_client: bool) -> LinkStatus:
    """The status of a path. Up and down are directions of the client, on both ends: what a server sends is down."""
    sent = (path.loss_sent, path.rate_sent, path.bytes_sent)
    received = (path.loss_received, path.rate_received, path.bytes_received)
    up, down = (sent, received) if is_client else (received, sent)
    return LinkStatus(
        name=name,
        path_id=path.path_id,
        local=local,
        remote=remote,
        state=path.status.value,
        reason=path.reason,
        rtt_ms=_rtt(path),
        loss_up=_round(up[0]),
        loss_down=_round(down[0]),
        rate_up_bps=up[1] * 8,
        rate_down_bps=down[1] * 8,
        bytes_up=up[2],
        bytes_down=down[2],
        won=_round(path.won),
        queue_ms=_milliseconds(path.queue_delay) if path.rtt_smoothed is not None else None,
        limited_by=path.limited_by,
        datagram_size=path.datagram_size,
        spurious=path.spurious,
        use=_USES[path.use],
        loss_peer=_round(path.loss_at_peer),
    )


def _rtt(path: PathStats) -> RttStatus:
    return RttStatus(
        latest=_milliseconds(path.rtt_latest),
        smoothed=_milliseconds(path.rtt_smoothed),
        min=_milliseconds(path.rtt_min),
        p95=_milliseconds(path.rtt_p95),
    )


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)


def _round(share: float | None) -> float | None:
    return None if share is None else round(share, 4)
