"""The search for a session: first messages to the server, when each is due, and the answers that are still read."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tandem_transport.crypto.handshake import MAC_SIZE, ClientHandshake, Randomness
from tandem_transport.parameters import (
    HANDSHAKE_FAST_RETRIES,
    HANDSHAKE_REPEAT,
    HANDSHAKE_RETRY,
    HANDSHAKE_RETRY_MAX,
)
from tandem_transport.wire.packets import Transmit
from tandem_transport.wire.transport_parameters import TransportParameters

_KEPT_HANDSHAKES = 3
"""First messages whose answers are still read: one may come after the next was sent."""

_REPEATS = 3
"""Times that the same first message is sent again."""


@dataclass(slots=True, kw_only=True)
class ClientIdentity:
    """Who asks whom for a session, and for what."""

    static_private: bytes
    server_public: bytes
    randomness: Randomness
    wall_clock: Callable[[], float]
    """Seconds since 1970, for the timestamps that keep first messages from being replayed."""
    parameters: TransportParameters = field(default_factory=TransportParameters)
    instance_id: bytes = b""
    """8 random bytes; drawn where none are given. A client that was restarted gives those that it had, and its old
    session gives way; with others it is another computer with the same key."""
    token: bytes = bytes(MAC_SIZE)
    """The server's newest answer to a client whose clock it cannot trust."""
    last_timestamp_us: int = 0

    def __post_init__(self) -> None:
        if not self.instance_id:
            self.renew()

    def renew(self) -> None:
        """Another instance id: somebody else uses the present one."""
        self.instance_id = self.randomness(8)

    def make_handshake(self) -> ClientHandshake:
        """A first message with a new ephemeral key."""
        # Never the same timestamp twice, whatever the clock does.
        self.last_timestamp_us = max(int(self.wall_clock() * 1e6), self.last_timestamp_us + 1)
        return ClientHandshake(
            static_private=self.static_private,
            server_public=self.server_public,
            parameters=self.parameters,
            instance_id=self.instance_id,
            timestamp_us=self.last_timestamp_us,
            token=self.token,
            randomness=self.randomness,
        )


class Search:
    """Sends first messages on all paths while a session is wanted; ever more rarely where nothing answers."""

    def __init__(self, identity: ClientIdentity, send: Callable[[Transmit], None], *, now: float) -> None:
        """`send` queues a datagram. The first one is due now."""
        self._identity = identity
        self._send = send
        self._handshakes: deque[ClientHandshake] = deque(maxlen=_KEPT_HANDSHAKES)
        self.attempts = 0
        """First messages that were sent since the last session."""
        self._fast_retries, self._interval = HANDSHAKE_FAST_RETRIES, HANDSHAKE_RETRY
        """First messages before they become rarer, and the seconds after which the next one is due."""
        self._is_refused = False
        """The last answer was a refusal."""
        self._began_at = now
        self._retry_at: float | None = now
        self._repeat_at: float | None = None
        self._repeats_left = 0

    @property
    def is_under_way(self) -> bool:
        """First messages are being sent."""
        return self._retry_at is not None

    def times(self) -> Iterable[float]:
        """When `handle_timeout` has something to do."""
        return (at for at in (self._retry_at, self._repeat_at) if at is not None)

    def silence(self, *, now: float) -> float:
        """Seconds since the first message of this search."""
        return now - self._began_at

    def handle_timeout(self, path_ids: Iterable[int], *, now: float) -> bool:
        """Sends what is due on these paths; tells whether it is another first message."""
        if self._retry_at is not None and now >= self._retry_at:
            self._begin(path_ids, now)
            return True
        if self._repeat_at is not None and now >= self._repeat_at:
            self._repeat(path_ids, now)
        return False

    # --- when ---

    def retry(self, at: float) -> None:
        """The next first message is due at that time."""
        self._retry_at = at

    def begin_rarely(self, *, now: float) -> None:
        """A search beside a session that is silent: mostly it is the links that are dead."""
        self.attempts = self._fast_retries = 0
        self._interval, self._retry_at = HANDSHAKE_RETRY, now

    def reset_backoff(self) -> None:
        """Things have changed: an answer is to be expected again."""
        self._is_refused = False
        self._fast_retries, self._interval = HANDSHAKE_FAST_RETRIES, HANDSHAKE_RETRY

    def stop(self) -> None:
        """No session is wanted, or there is one; no answer is read any more."""
        self._handshakes.clear()
        self.attempts = 0
        self.reset_backoff()
        self.pause()

    def pause(self) -> None:
        """Sends nothing more; answers are still read."""
        self._retry_at = self._repeat_at = None

    # --- answers ---

    def handshake(self, handshake_id: bytes) -> ClientHandshake | None:
        """The first message that an answer belongs to, None for none that is still waited for."""
        return next((known for known in self._handshakes if known.handshake_id == handshake_id), None)

    def on_challenged(self, token: bytes, *, now: float) -> None:
        """The server wants another first message, with this token."""
        if self.is_under_way and token != self._identity.token:
            self._identity.token = token
            self._retry_at = now

    def on_cookie(self, handshake: ClientHandshake, cookie: bytes, path_id: int) -> None:
        """The server wants the same first message again, with proof that it comes from where it says."""
        if path_id not in handshake.paths_with_cookie:
            handshake.paths_with_cookie.add(path_id)  # once each: copies of a cookie must not make a flood
            self._send(Transmit(path_id, handshake.initiation(cookie), None))

    def on_refused(self, *, now: float) -> None:
        """Retries soon, because the server may be registering this client right now, then backs off."""
        if not self._is_refused:
            self._interval = HANDSHAKE_RETRY
        self._is_refused = True
        self.attempts, self._fast_retries = 0, 0
        self._retry_at, self._repeat_at = now + self._interval, None

    # --- inside ---

    def _begin(self, path_ids: Iterable[int], now: float) -> None:
        if self.attempts == 0:
            self._began_at = now
        self.attempts += 1
        self._fast_retries -= 1
        if self._fast_retries < 0:
            self._interval = min(2 * self._interval, HANDSHAKE_RETRY_MAX)
        self._retry_at = now + self._interval
        self._handshakes.append(self._identity.make_handshake())
        self._repeats_left = _REPEATS + 1
        self._repeat(path_ids, now)

    def _repeat(self, path_ids: Iterable[int], now: float) -> None:
        self._handshakes[-1].paths_with_cookie.clear()
        data = self._handshakes[-1].initiation()
        for path_id in path_ids:
            self._send(Transmit(path_id, data, None))
        self._repeats_left -= 1
        self._repeat_at = now + HANDSHAKE_REPEAT if self._repeats_left else None
