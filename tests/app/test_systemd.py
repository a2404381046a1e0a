"""What a supervisor is told, and that one who does not read holds nothing up."""

import asyncio
import contextlib
import socket
import sys
import threading
from pathlib import Path

import pytest

from tandem.process import systemd

assert sys.platform != "win32"  # which has no Unix sockets for datagrams


def test_an_event_loop_goes_on_beside_a_supervisor_that_does_not_read(
    notices: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "2")
    turns = 0

    async def work() -> None:
        nonlocal turns
        dog = asyncio.create_task(systemd.watchdog())
        while turns < 1000:
            await asyncio.sleep(0)
            turns += 1
        dog.cancel()
        await asyncio.gather(dog, return_exceptions=True)

    thread = threading.Thread(target=lambda: asyncio.run(work()), daemon=True)
    thread.start()
    thread.join(60)
    assert turns == 1000
    assert notices.recv(100) == b"WATCHDOG=1"


def test_a_change_of_state_waits_for_a_supervisor_that_reads_late(notices: socket.socket) -> None:
    with contextlib.suppress(TimeoutError, BlockingIOError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        while True:
            sock.sendto(b"WATCHDOG=1", notices.getsockname())
    reader = threading.Timer(0.05, notices.recv, (100,))
    reader.start()
    systemd.notify("READY=1", timeout=60)
    reader.join()
    assert any(notices.recv(100) == b"READY=1" for _ in range(100))


def test_nobody_is_told_where_nobody_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    systemd.notify("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    systemd.notify("READY=1")
