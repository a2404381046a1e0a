"""A small TCP server that counts its connections: what clients reach through Tandem."""

import contextlib
import hashlib
import random
import socket
import struct
import threading
import time

BLOCK = 64 << 10


class Target:
    """HTTP enough for curl: /bytes/N, /slow/N/MS (N blocks of 64 KB, MS apart), /held/N, /reset, /count."""

    def __init__(self, server: socket.socket | None = None) -> None:
        """`server` listens already, in a network namespace perhaps."""
        self.connections = 0
        self.peers: list[str] = []
        """The address that each connection came from."""
        self.may_end = threading.Event()
        """Set by a test: the second half of the blocks of /held/N goes out."""
        self._server = server or socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    def close(self) -> None:
        with contextlib.suppress(OSError):  # wakes the thread that waits in accept, or it would serve one more
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    @staticmethod
    def content(size: int) -> bytes:
        return random.Random(size).randbytes(size)

    @classmethod
    def sha256(cls, size: int) -> str:
        return hashlib.sha256(cls.content(size)).hexdigest()

    def _accept(self) -> None:
        while True:
            try:
                connection, peer = self._server.accept()
            except OSError:
                return
            self.peers.append(peer[0])
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                request = b""
                while b"\r\n\r\n" not in request:
                    data = connection.recv(65536)
                    if not data:
                        break
                    request += data
                self._answer(connection, request)
            except OSError:
                pass

    def _answer(self, connection: socket.socket, request: bytes) -> None:
        path = request.split(b" ")[1].decode().strip("/") if b" " in request else ""
        kind, *arguments = path.split("/")
        if kind == "bytes":
            size = int(arguments[0])
            connection.sendall(_head(size) + self.content(size))
        elif kind == "slow":
            blocks, pause = int(arguments[0]), int(arguments[1]) / 1000
            connection.sendall(_head(blocks * BLOCK))
            for _ in range(blocks):
                connection.sendall(bytes(BLOCK))
                time.sleep(pause)
        elif kind == "held":
            half = int(arguments[0]) // 2 * BLOCK
            connection.sendall(_head(2 * half) + bytes(half))
            self.may_end.wait(250)
            connection.sendall(bytes(half))
        elif kind == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif kind == "count":
            # Reads until the client's end of data, then says how much there was.
            size = len(request.split(b"\r\n\r\n", 1)[1])
            while data := connection.recv(65536):
                size += len(data)
            connection.sendall(b"%d" % size)


def _head(size: int) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n".encode()
