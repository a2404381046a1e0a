"""What a service tells systemd (sd_notify): one message to the Unix socket that systemd names."""

import asyncio
import contextlib
import os
import socket
import sys
import time

_STATE_TIMEOUT = 1.0
"""Seconds for which a message about a change of state waits while the supervisor's queue is full."""


def notify(*assignments: str, timeout: float = _STATE_TIMEOUT) -> None:
    """Sends state, such as "READY=1". Does nothing without systemd; gives up after `timeout` s where nobody reads."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address or sys.platform == "win32":
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout)
        sock.sendto("\n".join(assignments).encode(), "\0" + address[1:] if address.startswith("@") else address)


def notify_reloading() -> None:
    """Tells systemd that a reload begins; `notify("READY=1")` tells it that the reload is over."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


async def watchdog() -> None:
    """Tells systemd twice per watchdog timeout that the event loop runs; returns where systemd does not ask for it."""
    interval = int(os.environ.get("WATCHDOG_USEC", "0")) / 2e6
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()) or interval <= 0:
        return
    while True:
        notify("WATCHDOG=1", timeout=0)
        await asyncio.sleep(interval)
