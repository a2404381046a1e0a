"""curl in the background, while something else happens."""

import hashlib
import subprocess
import threading

from loopback.processes import Pair
from loopback.target import Target


class Download(threading.Thread):
    """Fetches `size` bytes from the target through the pair, at 2 MB a second."""

    def __init__(self, pair: Pair, target: Target, size: int) -> None:
        super().__init__()
        self._pair, self._size, self._url = pair, size, target.url(f"bytes/{size}")
        self._result: subprocess.CompletedProcess[bytes] | None = None
        self.start()

    def run(self) -> None:
        self._result = self._pair.curl(self._url, "--limit-rate", "2M")

    def wait_for_data(self) -> None:
        """Until a megabyte has come."""
        before = self._pair.client_status()["session"]["bytes_down"]
        self._pair.wait(lambda: self._pair.client_status()["session"]["bytes_down"] > before + 1_000_000, "data")

    def check(self) -> None:
        """Everything has arrived."""
        done = self._done()
        assert done.returncode == 0, done.stderr
        assert hashlib.sha256(done.stdout).hexdigest() == Target.sha256(self._size)

    def check_broken(self) -> None:
        """It was cut short, and curl could tell; what had come was right."""
        done = self._done()
        assert done.returncode in (18, 56), (done.returncode, done.stderr)
        assert 0 < len(done.stdout) < self._size
        assert Target.content(self._size).startswith(done.stdout)

    def _done(self) -> "subprocess.CompletedProcess[bytes]":
        self.join()
        assert self._result is not None
        return self._result


class Fetch(threading.Thread):
    """Fetches a URL through the pair, as fast as it comes."""

    def __init__(self, pair: Pair, url: str) -> None:
        super().__init__(daemon=True)
        self._pair, self._url = pair, url
        self.data = b""
        self.code = -1
        """What curl has returned, -1 while it runs."""
        self.start()

    def run(self) -> None:
        done = self._pair.curl(self._url)
        self.data, self.code = done.stdout, done.returncode
