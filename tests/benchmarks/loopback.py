"""Throughput of two real processes over two loopback links, with the CPU and memory that it takes.

    python tests/benchmarks/loopback.py [--megabytes 200] [--mode adaptive] [--rate 20] [--page]

Prints figures; asserts nothing. Loopback takes UDP_SEGMENT and UDP_GRO, so this is what the code
can do; `--rate` is the most that both links together may carry, in Mbit/s. `--page` keeps the page of both ends open
meanwhile, as a browser does that reads its events. Target and downloader run beside both ends, on the same cores.
"""

import argparse
import contextlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from loopback.ends import cpu, link_tables, processes
from loopback.processes import Pair

_BLOCK = bytes(1 << 18)


def serve(server: socket.socket, size: int) -> None:
    """Sends `size` bytes to whoever has sent a byte."""
    while True:
        connection, _ = server.accept()
        with connection:
            connection.recv(1)
            for begin in range(0, size, len(_BLOCK)):
                connection.sendall(_BLOCK[: size - begin])


def download(socks_port: int, port: int, size: int) -> float:
    """Seconds from the request to the last byte."""
    with socket.create_connection(("127.0.0.1", socks_port)) as connection:
        connection.sendall(b"\x05\x01\x00")
        assert connection.recv(2, socket.MSG_WAITALL) == b"\x05\x00"
        connection.sendall(b"\x05\x01\x00\x01" + socket.inet_aton("127.0.0.1") + port.to_bytes(2, "big"))
        assert connection.recv(10, socket.MSG_WAITALL)[1] == 0
        began, left, buffer = time.monotonic(), size, bytearray(1 << 18)
        connection.sendall(b"x")
        while left:
            left -= connection.recv_into(buffer)
        return time.monotonic() - began


@contextlib.contextmanager
def open_pages(pair: Pair) -> Generator[None]:
    """Reads the events that the page of each end is told, as one who has logged in."""
    readers: list[subprocess.Popen[bytes]] = []
    for port in (pair.client_admin, pair.server_admin):
        token = Path(pair.environment["XDG_RUNTIME_DIR"], "tandem", f"admin-{port}.token").read_text().strip()
        at = ("-H", f"Authorization: Bearer {token}", f"http://127.0.0.1:{port}/live")
        readers.append(subprocess.Popen(["curl", "-sSN", "-o", "/dev/null", *at]))
    try:
        yield
    finally:
        for reader in readers:
            assert reader.poll() is None, "the page was not open to the end"
            reader.terminate()
            reader.wait()


def measure(mode: str, size: int, rate: float | None, *, page: bool) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=serve, args=(server, size), daemon=True).start()
    with tempfile.TemporaryDirectory() as directory:
        pair = Pair(Path(directory))
        try:
            pair.start_server()
            settings = Path(directory, "tandem.toml")
            settings.write_text(link_tables("" if rate is None else f'max_rate = "{rate / 2} Mbit/s"\n'))
            pair.start_client(pair.invite(), "--config", str(settings), "--mode", mode)
            ends = processes(pair)
            print(f"{mode}: server {ends[0].pid}, client {ends[1].pid}", file=sys.stderr)
            before = [cpu(end) for end in ends]
            with open_pages(pair) if page else contextlib.nullcontext():
                seconds = download(pair.socks_port, server.getsockname()[1], size)
            spent = [(cpu(end) - begin) / size * 1e8 for end, begin in zip(ends, before, strict=True)]
            memory = [end.memory_info().rss / 1e6 for end in ends]
        finally:
            pair.close()
    print(
        f"{mode:10} {size * 8e-6 / seconds:6.0f} Mbit/s; "
        f"CPU for 100 MB: server {spent[0]:.2f} s, client {spent[1]:.2f} s; "
        f"resident: server {memory[0]:.0f} MB, client {memory[1]:.0f} MB"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--mode", choices=("duplicate", "adaptive"), action="append")
    parser.add_argument("--rate", type=float)
    parser.add_argument("--page", action="store_true")
    arguments = parser.parse_args()
    for chosen in arguments.mode or ("duplicate", "adaptive"):
        measure(chosen, arguments.megabytes * 1_000_000, arguments.rate, page=arguments.page)
