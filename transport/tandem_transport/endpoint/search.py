"""The search for a session: initiations to the server, when each is due, and the answers that are still read."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from tandem_transport.crypto.handshake import MAC_SIZE, ClientHandshake, Randomness
from tandem_transport.parameters import (
    HANDSHAKE_FAST_RETRIES,
    HANDSHAKE_REPEAT,
    HANDSHAKE_RETRY,
    HANDSHAKE_RETRY_MAX,
)
from tandem_transport.wire.packets import Transmit
from tandem_transport.wire.transport_parameters import TransportParameters

_KEPT_HANDSHAKES: Final = 3
"""Number of initiations whose answers are still read: an answer may come after the next initiation was sent."""

_REPEATS: Final = 3
"""Number of times that the same initiation is sent again."""


@dataclass(slots=True, kw_only=True)
class ClientIdentity:
    """The keys, parameters and instance id with which a client asks a server for a session."""

    static_private: bytes
    server_public: bytes
    randomness: Randomness
    wall_clock: Callable[[], float]
    """Returns seconds since 1970, for the timestamps that protect initiations against replay."""
    parameters: TransportParameters = field(default_factory=TransportParameters)
    instance_id: bytes = b""
    """8 bytes, chosen at random where none are given. A restarted client gives those that it had before, and replaces
    its old session; with other bytes it counts as another computer with the same key."""
    token: bytes = bytes(MAC_SIZE)
    """The server's newest challenge token, for a client with a timestamp that the server cannot trust."""
    last_timestamp_us: int = 0

    def __post_init__(self) -> None:
        if not self.instance_id:
            self.renew()

    def renew(self) -> None:
        """Chooses another instance id, because somebody else uses the current one."""
        self.instance_id = self.randomness(8)

    def make_handshake(self) -> ClientHandshake:
        """A handshake, whose initiation has a new ephemeral key and a new timestamp."""
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
    """Sends initiations on all paths while a session is wanted; backs off where nothing answers."""

    def __init__(self, identity: ClientIdentity, send: Callable[[Transmit], None], *, now: float) -> None:
        """`send` queues a datagram. The first initiation is due now."""
        self._identity = identity
        self._send = send
        self._handshakes: deque[ClientHandshake] = deque(maxlen=_KEPT_HANDSHAKES)
        self.attempts = 0
        """Initiations that were sent since the last session."""
        self._fast_retries, self._interval = HANDSHAKE_FAST_RETRIES, HANDSHAKE_RETRY
        """Initiations to send before the search backs off, and seconds after which the next one is due."""
        self._is_refused = False
        """The server has refused, and neither a session nor a change of the links has come since."""
        self._began_at = now
        self._retry_at: float | None = now
        self._repeat_at: float | None = None
        self._repeats_left = 0

    @property
    def is_under_way(self) -> bool:
        """The client asks for a session: initiations are being sent."""
        return self._retry_at is not None

    def times(self) -> Iterable[float]:
        """When `handle_timeout` has something to do."""
        return (at for at in (self._retry_at, self._repeat_at) if at is not None)

    def silence(self, *, now: float) -> float:
        """Seconds since the first initiation of this search."""
        return now - self._began_at

    def handle_timeout(self, path_ids: Iterable[int], *, now: float) -> bool:
        """Sends what is due on these paths; tells whether it is a new initiation, not a repeated one."""
        if self._retry_at is not None and now >= self._retry_at:
            self._begin(path_ids, now)
            return True
        if self._repeat_at is not None and now >= self._repeat_at:
            self._repeat(path_ids, now)
        return False

    # --- when ---

    def retry(self, at: float) -> None:
        """The next initiation is due at this time."""
        self._retry_at = at

    def begin_rarely(self, *, now: float) -> None:
        """Begins a search while a silent session is kept; backs off at once, because usually the links are dead."""
        self.attempts = self._fast_retries = 0
        self._interval, self._retry_at = HANDSHAKE_RETRY, now

    def reset_backoff(self) -> None:
        """Retries at the initial rate again, because something has changed and an answer is likely."""
        self._is_refused = False
        self._fast_retries, self._interval = HANDSHAKE_FAST_RETRIES, HANDSHAKE_RETRY

    def stop(self) -> None:
        """Ends the search: no session is wanted, or there is one. No answer is read any more."""
        self._handshakes.clear()
        self.attempts = 0
        self.reset_backoff()
        self.pause()

    def pause(self) -> None:
        """Sends nothing more; answers are still read."""
        self._retry_at = self._repeat_at = None

    # --- answers ---

    def handshake(self, handshake_id: bytes) -> ClientHandshake | None:
        """The handshake that an answer belongs to, None if its answers are no longer read."""
        return next((known for known in self._handshakes if known.handshake_id == handshake_id), None)

    def on_challenged(self, token: bytes, *, now: float) -> None:
        """The server wants another initiation, with this token."""
        if self.is_under_way and token != self._identity.token:
            self._identity.token = token
            self._retry_at = now

    def on_cookie(self, handshake: ClientHandshake, cookie: bytes, path_id: int) -> None:
        """The server wants the same initiation again, with a cookie that proves its source address."""
        if path_id not in handshake.paths_with_cookie:
            handshake.paths_with_cookie.add(path_id)  # once per path: copies of a cookie must not cause a flood
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
