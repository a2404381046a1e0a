"""The server's side of all sessions: which datagram belongs to which session, and what is sent when.

A datagram is answered only if it proves knowledge of the server's public key, or has the id of a
session that this server has begun; and no answer is larger than the datagram that caused it.
"""

from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from tandem_transport.crypto.connection_id import ConnectionIdIssuer
from tandem_transport.crypto.handshake import Randomness
from tandem_transport.endpoint.admission import Lookup
from tandem_transport.endpoint.guard import NetworksOf, ServerCounters
from tandem_transport.endpoint.limits import DEFAULT_TERMS, ServerLimits, ServerTerms
from tandem_transport.endpoint.reception import Identity, Reception, Stray
from tandem_transport.endpoint.resets import Resets
from tandem_transport.endpoint.sessions import ClientSession, SessionTable
from tandem_transport.endpoint.timeouts import Timeouts
from tandem_transport.errors import ErrorCode
from tandem_transport.events import ConnectionTerminated, Event
from tandem_transport.parameters import INITIAL_SESSION_WINDOW, MAX_EMBRYOS
from tandem_transport.path.addresses import HostOf
from tandem_transport.streams.flow_control import Budget
from tandem_transport.wire.packets import PacketType, PacketView, Transmit, split_datagram
from tandem_transport.wire.transport_parameters import TransportParameters


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """A client has confirmed its session."""

    session: ClientSession


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """An event of one session."""

    session: ClientSession
    event: Event


ServerEvent = SessionStarted | SessionEvent


class ServerEndpoint:
    """The server's end, sans-I/O like `Connection`: the same kinds of methods, for many sessions."""

    def __init__(
        self,
        static_private: bytes,
        lookup: Lookup,
        *,
        randomness: Randomness,
        now: float,
        host_of: HostOf = lambda address: address,
        networks_of: NetworksOf = lambda source: (source,),
        parameters: TransportParameters | None = None,
        terms: ServerTerms = DEFAULT_TERMS,
    ) -> None:
        """`host_of`: what a source has in common with all other sources that the same person may send from.

        `networks_of`: the host and the wider networks around it, each with a rate limit for initiations.
        """
        parameters = parameters or TransportParameters(initial_max_data=INITIAL_SESSION_WINDOW)
        self.limits, ids = terms.limits, ConnectionIdIssuer(static_private)
        self._budgets = budgets = _budgets(terms.limits)
        identity = Identity(static_private, lookup, parameters, *budgets, randomness, host_of, ids, terms.placement)
        self.counters, self._sessions = ServerCounters(), SessionTable(terms.limits.sessions)
        self._reception = Reception(identity, self._sessions, self.counters, networks_of=networks_of, now=now)
        self._resets = Resets(ids, self.counters, host_of=host_of, per_second=terms.limits.resets, now=now)
        self._outgoing: deque[Transmit] = deque(maxlen=MAX_EMBRYOS)
        self._events, self._timeouts = deque[ServerEvent](), Timeouts()
        self._touched: dict[bytes, ClientSession] = {}
        self._is_closing = False
        self.has_small_data = False
        """A small piece of a stream has arrived since `datagrams_to_send`: somebody may wait for it."""

    @property
    def sessions(self) -> list[ClientSession]:
        """The confirmed sessions, including those that are closing."""
        return list(self._sessions)

    @property
    def memory(self) -> tuple[int, int]:
        """Bytes that all sessions have buffered or were promised as credit, and the limit of these bytes."""
        return sum(budget.used for budget in self._budgets), sum(budget.limit for budget in self._budgets)

    # --- input ---

    def receive_datagram(self, data: bytes, *, source: Hashable, now: float) -> None:
        """A datagram has arrived from an address that only the driver understands."""
        packets = split_datagram(data)
        packet = packets[0] if packets else None
        if packet is None:
            self.counters.malformed += 1
        elif self._is_closing and packet.connection_id not in self._sessions:
            return
        elif packet.packet_type is PacketType.TRANSPORT:
            self._receive_transport(packet, packets, source, now)
        elif packet.packet_type is PacketType.INITIATION:
            self._send(self._reception.receive(packet, source, now=now))
        else:
            self.counters.malformed += 1

    def receive_stray(self, data: bytes, *, source: Hashable, now: float) -> None:
        """Another worker has received an initiation of one of our clients, and handed it over."""
        packets = split_datagram(data)
        if packets and packets[0].packet_type is PacketType.INITIATION and not self._is_closing:
            self._send(self._reception.receive_stray(packets[0], source, now=now))

    def handle_timeout(self, *, now: float) -> None:
        """To be called when `next_timeout` has passed."""
        for connection_id in self._timeouts.due(now):
            session = self._sessions.get(connection_id)
            if session is not None:
                session.connection.handle_timeout(now=now)
                self._touched[connection_id] = session

    # --- commands ---

    def touch(self, session: ClientSession) -> None:
        """The application has given a command to the session, which may have something to send now."""
        if session.connection_id in self._sessions:
            self._touched[session.connection_id] = session

    def touch_by_id(self, connection_id: bytes) -> None:
        """A carrier of the session with this connection id takes data again."""
        session = self._sessions.get(connection_id)
        if session is not None:
            self._touched[connection_id] = session

    def on_client_found(self, public: bytes, *, now: float) -> None:
        """A key for which `lookup` has returned PENDING has been looked up: it has another answer now."""
        self._outgoing.extend(self._reception.on_client_found(public, now=now))

    def remove_client(self, public: bytes, *, now: float) -> None:
        """Ends the sessions of a client that is no longer registered."""
        self._reception.forget_client(public)
        self.close_client(public, "this client's key was removed", now=now)

    def close_client(self, public: bytes, reason: str, *, now: float) -> None:
        """Ends the sessions of a client, and tells it why. Whether it may come back is what `lookup` says then."""
        for session in self._sessions.open(public):
            self._close(session, ErrorCode.REVOKED, reason, now)

    def go_away(self) -> None:
        """Begins no session any more, and tells all clients to open their next streams elsewhere; streams go on."""
        self._reception.is_closed = True
        for session in self._sessions:
            session.connection.go_away()
            self._touched[session.connection_id] = session

    def close_session(self, session: ClientSession, reason: str, *, now: float) -> None:
        """Ends one session; its client begins another."""
        self._close(session, ErrorCode.SHUTTING_DOWN, reason, now)

    def close(self, *, now: float) -> None:
        """Ends all sessions, and begins no other."""
        self._is_closing = True
        for session in self._sessions:
            self._close(session, ErrorCode.SHUTTING_DOWN, "the server shuts down", now)

    # --- output ---

    def datagrams_to_send(self, *, now: float) -> Iterator[Transmit]:
        """All datagrams that may leave now."""
        self.has_small_data = False
        while self._outgoing:
            yield self._outgoing.popleft()
        touched, self._touched = self._touched, {}
        for connection_id, session in touched.items():
            yield from session.connection.datagrams_to_send(now=now)
            self._collect(session)
            self._schedule(connection_id, session)

    def next_timeout(self) -> float | None:
        """When to call `handle_timeout` and `datagrams_to_send` again."""
        return self._timeouts.next()

    def next_stray(self) -> Stray | None:
        """The next initiation that is to be handed over to another worker, None where none is left."""
        return self._reception.strays.popleft() if self._reception.strays else None

    def next_event(self) -> ServerEvent | None:
        """The next event of any session, None where none is left."""
        if not self._events:
            for session in list(self._touched.values()):
                self._collect(session)
        return self._events.popleft() if self._events else None

    # --- transport packets ---

    def _receive_transport(self, packet: PacketView, packets: list[PacketView], source: Hashable, now: float) -> None:
        connection_id = packet.connection_id
        session = self._sessions.get(connection_id) or self._reception.embryo(connection_id, now=now)
        if session is None:
            self._send(self._resets.answer(packet, source, now=now))
            return
        session.connection.receive_packets(packet.path_id, packets, now=now, source=source)
        self.has_small_data = self.has_small_data or session.connection.has_small_data
        if connection_id not in self._sessions:
            if not session.connection.is_confirmed:
                return
            if not self._reception.hand_over(session):
                session.connection.close(ErrorCode.REVOKED, now=now)
                self._send(self._resets.answer(packet, source, now=now))
                return
            self._confirm(session, now)
        self._touched[connection_id] = session

    def _confirm(self, session: ClientSession, now: float) -> None:
        for other, reason in self._sessions.replaced_by(session):
            self._close(other, ErrorCode.REPLACED, reason, now)
        closed = self._sessions.closed() if len(self._sessions) >= 2 * self.limits.sessions else None
        if closed is not None:
            self._forget(closed)
        self._sessions.add(session)
        if self._reception.is_closed:  # its initiation came before
            session.connection.go_away()
        self._events.append(SessionStarted(session))

    # --- inside ---

    def _send(self, transmit: Transmit | None) -> None:
        if transmit is not None:
            self._outgoing.append(transmit)

    def _close(self, session: ClientSession, code: ErrorCode, reason: str, now: float) -> None:
        session.connection.close(code, reason, now=now)
        self._touched[session.connection_id] = session

    def _collect(self, session: ClientSession) -> None:
        while (event := session.connection.next_event()) is not None:
            self._events.append(SessionEvent(session, event))
            if isinstance(event, ConnectionTerminated):
                self._touched.setdefault(session.connection_id, session)

    def _schedule(self, connection_id: bytes, session: ClientSession) -> None:
        timeout = session.connection.next_timeout()
        if timeout is None or session.connection.is_closed:
            self._forget(session)
        else:
            self._timeouts.put(connection_id, timeout)

    def _forget(self, session: ClientSession) -> None:
        self._sessions.remove(session.connection_id)
        self._timeouts.pop(session.connection_id)
        self._touched.pop(session.connection_id, None)


def _budgets(limits: ServerLimits) -> tuple[Budget, Budget]:
    """Half of the memory for each direction, less what each session is guaranteed for receiving."""
    half = limits.memory // 2
    return Budget(half), Budget(half - limits.sessions * INITIAL_SESSION_WINDOW)
