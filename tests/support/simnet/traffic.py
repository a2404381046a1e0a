"""What people do on a session: a download, key presses, a stream of a steady rate; measured as they would feel it."""

from collections.abc import Callable
from itertools import pairwise

from simnet.network import Network

_ECHO = 64


class Traffic:
    """Applications at both ends of a network; one per network."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._received: dict[int, Callable[[bytes], None]] = {}
        self._serve: dict[int, Callable[[bytes], None]] = {}
        network.client.on_data = lambda stream_id, data, _: self._received.get(stream_id, _ignore)(data)
        network.server.on_data = lambda stream_id, data, _: self._serve.get(stream_id, _ignore)(data)

    def download(self, size: int) -> "Download":
        """The server sends `size` bytes."""
        return Download(self, size)

    def upload(self, size: int) -> "Upload":
        """The client sends `size` bytes."""
        return Upload(self, size)

    def echo(self, *, count: int, gap: float = 0.1) -> "Echo":
        """64 bytes to and fro each `gap` seconds, whether or not the last ones came back."""
        return Echo(self, count, gap)

    def stream(self, *, rate: float, frame: float, seconds: float) -> "SteadyStream":
        """The server sends `rate` bytes a second in frames of `frame` seconds."""
        return SteadyStream(self, rate, frame, seconds)

    def open(self, on_received: Callable[[bytes], None], on_served: Callable[[bytes], None] | None = None) -> int:
        """A new stream: what the client does with what it receives, and the server likewise."""
        stream_id = self.network.client.connection.open_stream()
        self._received[stream_id] = on_received
        if on_served is not None:
            self._serve[stream_id] = on_served
        return stream_id


class Download:
    """How much has arrived when."""

    def __init__(self, traffic: Traffic, size: int) -> None:
        self._network = traffic.network
        self.size = size
        self.began_at = self._network.now
        self._arrivals: list[tuple[float, int]] = []
        self.received = 0
        self._data = bytes(size)
        self._begin(traffic)

    @property
    def is_done(self) -> bool:
        return self.received == self.size

    def finish(self, *, limit: float = 120) -> float:
        """Waits for its end; returns its goodput in bytes per second."""
        self._network.run_until(lambda: self.is_done, limit=limit)
        return self.size / (self._network.now - self.began_at)

    def goodput(self, begin: float, end: float) -> float:
        """Bytes per second between two times, counted from its beginning."""
        arrived = sum(size for at, size in self._arrivals if begin <= at - self.began_at < end)
        return arrived / (end - begin)

    def reaches(self, goodput: float, *, after: float = 0.0, window: float = 0.1) -> float:
        """Seconds after `after` at which a window with this goodput ends for the first time."""
        end = self._network.now - self.began_at
        at = after + window
        while at <= end:
            if self.goodput(at - window, at) >= goodput:
                return at - after
            at += window / 2
        raise AssertionError(f"never reached {goodput:.0f} bytes/s")

    def first_after(self, after: float) -> float:
        """Seconds from `after` to the next arrival."""
        return next(at for at, _ in self._arrivals if at - self.began_at >= after) - self.began_at - after

    def _begin(self, traffic: Traffic) -> None:
        self._stream_id = traffic.open(self._on_received, self._on_request)
        self._network.client.connection.send_stream_data(self._stream_id, b"get", end_stream=True)

    def longest_gap(self, begin: float, end: float) -> float:
        """Longest time without data between two times, counted from its beginning, in seconds."""
        times = [at - self.began_at for at, _ in self._arrivals if begin <= at - self.began_at < end]
        end = min(end, self._network.now - self.began_at) if not self.is_done else max(times, default=end)
        return max(after - before for before, after in pairwise([begin, *times, end]))

    def _on_request(self, _: bytes) -> None:
        self._network.server.send(self._data, stream_id=self._stream_id)

    def _on_received(self, data: bytes) -> None:
        self.received += len(data)
        self._arrivals.append((self._network.now, len(data)))


class Upload(Download):
    """The same in the other direction."""

    def _begin(self, traffic: Traffic) -> None:
        self._stream_id = traffic.open(_ignore, self._on_received)
        self._network.client.send(self._data, stream_id=self._stream_id)


class Echo:
    """Round-trip times of small messages, in seconds."""

    def __init__(self, traffic: Traffic, count: int, gap: float) -> None:
        self._network = network = traffic.network
        self.count = count
        self.times: list[float] = []
        self._sent_at: list[float] = []
        self._received = 0
        self._stream_id = traffic.open(self._on_received, self._on_served)
        for number in range(count):
            network.after(number * gap, self._send)

    def finish(self, *, limit: float = 120) -> "Echo":
        """Waits until all are back."""
        self._network.run_until(lambda: len(self.times) == self.count, limit=limit)
        return self

    def quantile(self, share: float) -> float:
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def _send(self) -> None:
        self._sent_at.append(self._network.now)
        self._network.client.connection.send_stream_data(self._stream_id, bytes(_ECHO))

    def _on_served(self, data: bytes) -> None:
        self._network.server.connection.send_stream_data(self._stream_id, data)

    def _on_received(self, data: bytes) -> None:
        self._received += len(data)
        while len(self.times) < self._received // _ECHO:
            self.times.append(self._network.now - self._sent_at[len(self.times)])


class SteadyStream:
    """Frames at a fixed rate, as of a call or a film."""

    def __init__(self, traffic: Traffic, rate: float, frame: float, seconds: float) -> None:
        self._network = traffic.network
        self._frame_size = int(rate * frame)
        self.frames = int(seconds / frame)
        self._due: list[float] = []
        self.lateness: list[float] = []
        """Of each frame, from its sending to the arrival of its last byte, in seconds."""
        self.longest_gap = 0.0
        self._received = 0
        self._last_at: float | None = None
        self._gap = frame
        self._stream_id = traffic.open(self._on_received, self._on_request)
        self._network.client.connection.send_stream_data(self._stream_id, b"play")

    def finish(self, *, limit: float = 120) -> "SteadyStream":
        """Waits for the last frame."""
        self._network.run_until(lambda: len(self.lateness) == self.frames, limit=limit)
        return self

    def _on_request(self, _: bytes) -> None:
        for number in range(self.frames):
            self._network.after(number * self._gap, self._send)

    def _send(self) -> None:
        self._due.append(self._network.now)
        self._network.server.connection.send_stream_data(self._stream_id, bytes(self._frame_size))

    def _on_received(self, data: bytes) -> None:
        now = self._network.now
        if self._last_at is not None:
            self.longest_gap = max(self.longest_gap, now - self._last_at)
        self._last_at = now
        self._received += len(data)
        while len(self.lateness) < self._received // self._frame_size:
            self.lateness.append(now - self._due[len(self.lateness)])


def _ignore(_: bytes) -> None:
    pass
