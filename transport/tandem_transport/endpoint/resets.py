"""Stateless resets, which tell clients that their session is forgotten (RFC 9000 section 10.3)."""

from collections.abc import Hashable

from tandem_transport.crypto.connection_id import ConnectionIdIssuer
from tandem_transport.endpoint.guard import ServerCounters
from tandem_transport.endpoint.rate_limits import RateLimiter, RateLimiters
from tandem_transport.parameters import (
    MAX_LIMITED_HOSTS,
    RESET_TOKEN_SIZE,
    RESETS_PER_HOST,
    RESETS_PER_ID,
)
from tandem_transport.path.addresses import HostOf
from tandem_transport.wire.packets import PREFIX_SIZE, PacketType, PacketView, Transmit, message


class Resets:
    """Answers packets of sessions that this server has begun but no longer knows; other packets get no answer.

    Connection ids are not encrypted and visible on every link, so the small rate limits are per host.
    """

    def __init__(
        self, ids: ConnectionIdIssuer, counters: ServerCounters, *, host_of: HostOf, per_second: float, now: float
    ) -> None:
        self._ids = ids
        self._counters = counters
        self._host_of = host_of
        self._all = RateLimiter(per_second, now=now)
        self._by_host: RateLimiters[Hashable] = RateLimiters(RESETS_PER_HOST, limit=MAX_LIMITED_HOSTS)
        self._by_id: RateLimiters[tuple[bytes, Hashable]] = RateLimiters(RESETS_PER_ID, limit=MAX_LIMITED_HOSTS)

    def answer(self, packet: PacketView, source: Hashable, *, now: float) -> Transmit | None:
        """The reset for a packet of an unknown session, None where it gets none; always smaller than the packet."""
        self._counters.unknown_connection += 1
        connection_id = packet.connection_id
        if len(packet.data) <= PREFIX_SIZE + RESET_TOKEN_SIZE or not self._ids.is_ours(connection_id):
            return None
        if not self._allows(connection_id, self._host_of(source), now):
            return None
        self._counters.resets += 1
        token = self._ids.reset_token(connection_id)
        return Transmit(packet.path_id, message(PacketType.STATELESS_RESET, connection_id, token), source)

    def _allows(self, connection_id: bytes, host: Hashable, now: float) -> bool:
        return (
            self._by_id.allows((connection_id, host), now=now)
            and self._by_host.allows(host, now=now)
            and self._all.allows(now=now)
        )
