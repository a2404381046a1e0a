"""What a service tells systemd (sd_notify): one datagram to the socket that it names."""

import asyncio
import contextlib
import os
import socket
import time

_STATE_TIMEOUT = 1.0
"""Seconds for which a change of state waits for a supervisor whose queue is full."""


def notify(*assignments: str, timeout: float = _STATE_TIMEOUT) -> None:
    """Such as "READY=1". Does nothing where nobody listens, and gives up after `timeout` seconds where nobody reads."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address or not hasattr(socket, "AF_UNIX"):
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout)
        sock.sendto("\n".join(assignments).encode(), "\0" + address[1:] if address.startswith("@") else address)


def notify_reloading() -> None:
    """A reload begins; `notify("READY=1")` ends it."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


async def watchdog() -> None:
    """Tells that the event loop turns, twice in the time that systemd grants; returns where it does not ask."""
    interval = int(os.environ.get("WATCHDOG_USEC", "0")) / 2e6
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()) or interval <= 0:
        return
    while True:
        notify("WATCHDOG=1", timeout=0)
        await asyncio.sleep(interval)
