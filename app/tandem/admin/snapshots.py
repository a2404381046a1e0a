"""Makes the status of a running client or server from its driver."""

import os
import time
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict

from tandem.admin.history import LinkSample
from tandem.admin.status import (
    ClientStatus,
    LinkStatus,
    LinkUse,
    RttStatus,
    ServerSessionStatus,
    ServerStatus,
    SessionStatus,
)
from tandem.base.units import format_time
from tandem.exchange.link_names import LinkNames
from tandem_transport import ConnectionStats, HandshakeRefused, PathStats, PathStatus, PathUse, Refusal
from tandem_transport.driver import ClientDriver, Link, ServerDriver, format_address, source_of_address
from tandem_transport.path.carrier import Carrier

_USES: dict[PathUse, LinkUse] = {
    PathUse.AVAILABLE: "available",
    PathUse.METERED: "metered",
    PathUse.BACKUP: "backup",
    PathUse.OFF: "off",
}

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
    stats = _client_stats(driver, now=now)
    paths = _by_id(stats)
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


def link_samples(driver: ClientDriver, hidden: Container[int]) -> dict[str, LinkSample]:
    """What a client's links do now, by name, without those whose path ids are hidden: a small part of the status."""
    paths = _by_id(_client_stats(driver, now=time.monotonic()))
    return {link.name: _sample(paths.get(i)) for i, link in enumerate(driver.links) if i not in hidden}


def _client_stats(driver: ClientDriver, *, now: float) -> ConnectionStats | None:
    connection = driver.endpoint.connection
    return connection.stats(now=now) if connection is not None else None


def _by_id(stats: ConnectionStats | None) -> dict[int, PathStats]:
    return {path.path_id: path for path in stats.paths} if stats is not None else {}


def _sample(path: PathStats | None) -> LinkSample:
    if path is None:
        return LinkSample(None, None, None, 0, 0)
    loss = (_round(path.loss_sent), _round(path.loss_received))
    return LinkSample(_milliseconds(path.rtt_smoothed), *loss, round(path.rate_sent * 8), round(path.rate_received * 8))


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
