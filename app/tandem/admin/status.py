"""The status: what `/status`, `tandem status --json` and the console show. The names are a contract and do not change.

"No sample yet" is null, never 0.
"""

from typing import Literal

from pydantic import BaseModel, model_validator

from tandem import __version__
from tandem.config.old_names import present_use
from tandem_transport.parameters import MAX_SESSIONS

LinkUse = Literal["available", "metered", "backup", "off"]


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
    id: int = 0
    """A number that no other connection of this client has had since its start; 0 from an earlier release."""


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
    bridged: int = 0
    """Outages of single links that another link has bridged, since the client was started; on a server 0."""
    bridged_s: float = 0.0
    """Seconds that these outages have lasted, in all."""


class SpeedtestStatus(BaseModel):
    """A speedtest that is under way."""

    step: str
    """The link that is measured, or `all together`, and the direction."""
    done: int
    """Steps that are over, of `steps`."""
    steps: int


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
    speedtest: SpeedtestStatus | None = None
    """The speedtest that is under way, None while there is none."""

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
