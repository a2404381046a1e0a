"""A worker as its parent sees it: a process with a channel, and a way to send it sockets."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tandem.base.errors import TandemError, os_error_text
from tandem.workers.channel import Body, Channel
from tandem.workers.seat import VARIABLE, Seat
from tandem.workers.unix_sockets import connected_pair, pass_socket

log = logging.getLogger("tandem.workers")

_START_TIMEOUT = 120.0
_STOP_TIMEOUT = 10.0
"""Seconds that a worker has to end its sessions when it is told to stop, before it is killed."""

Door = tuple[socket.socket, socket.socket]


@dataclass(frozen=True, slots=True)
class Generation:
    """The workers that were started together: they begin sessions until the next generation does."""

    number: int
    workers: int

    @property
    def first(self) -> int:
        """The first of its slots: two generations have slots of their own, in turn."""
        return self.number % 2 * self.workers

    @property
    def slots(self) -> range:
        return range(self.first, self.first + self.workers)


class Child:
    """One worker process."""

    def __init__(self, slot: int, generation: Generation, doors: Sequence[Door], command: Sequence[str]) -> None:
        """`doors`: inner and outer side of the door of each slot."""
        self.slot = slot
        self.generation = generation
        self.is_retiring = False
        """Others have taken its place; it ends when its sessions have."""
        self._doors = doors
        self._command = command
        self._ready = asyncio.Event()
        self._ended: asyncio.Task[int] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._channel: Channel | None = None
        self._sockets: socket.socket | None = None
        self._began_at = time.monotonic()

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self._began_at

    @property
    def has_ended(self) -> bool:
        """Whether its process was started and has ended."""
        return self._ended is not None and self._ended.done()

    async def start(self) -> None:
        """Starts the process, and returns when it serves. Raises TandemError where it ends before that."""
        talk, its_talk = socket.socketpair()
        self._sockets, its_sockets = connected_pair(socket.SOCK_SEQPACKET)
        outer = {str(slot): door[1].fileno() for slot, door in enumerate(self._doors) if slot != self.slot}
        inner = self._doors[self.slot][0].fileno()
        first, workers = self.generation.first, self.generation.workers
        descriptors = its_talk.fileno(), its_sockets.fileno(), inner, outer
        seat = Seat(self.slot, len(self._doors), first, workers, *descriptors)
        environment = {key: value for key, value in os.environ.items() if key not in ("NOTIFY_SOCKET", "WATCHDOG_USEC")}
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                env=environment | {VARIABLE: seat.encode()},
                pass_fds=seat.descriptors,
                stdin=asyncio.subprocess.DEVNULL,
            )
        except OSError as error:  # the program is being replaced, or there are too many processes
            for sock in (talk, self._sockets):
                sock.close()
            raise TandemError(f"worker {self.slot} cannot be started: {os_error_text(error)}") from error
        finally:
            its_talk.close()
            its_sockets.close()
        self._ended = asyncio.create_task(self._process.wait())
        self._channel = Channel(talk, self._answer, lambda: None)
        await self._channel.open()
        ready = asyncio.create_task(self._ready.wait())
        await asyncio.wait({ready, self._ended}, timeout=_START_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if not self._ready.is_set():
            self.kill()
            raise TandemError(f"worker {self.slot} did not start ({await self._ended})", "its messages are above")

    async def ask(self, what: str, body: Body | None = None, *, timeout: float) -> Body:
        """Asks the worker. Raises TandemError where it cannot answer, or does not in time."""
        if self._channel is None:
            raise TandemError(f"worker {self.slot} is not there")
        return await self._channel.ask(what, body, timeout=timeout)

    async def ended(self) -> int:
        """Waits until the process has ended; returns its exit code, or the negative number of a signal."""
        return 0 if self._ended is None else await asyncio.shield(self._ended)

    def give(self, address: tuple[str, int], sock: socket.socket) -> None:
        """Sends the worker the socket on which it listens on an address."""
        if self._sockets is not None:
            with contextlib.suppress(OSError):  # the worker has ended, which `ended` tells
                pass_socket(self._sockets, json.dumps(address).encode(), sock)

    def take_back(self, address: tuple[str, int]) -> None:
        """Tells the worker to listen no longer on an address."""
        if self._sockets is not None:
            with contextlib.suppress(OSError):
                self._sockets.send(json.dumps(address).encode())

    async def retire(self) -> None:
        """Tells the worker to leave new sessions to others, and to end with its last one."""
        self.is_retiring = True
        with contextlib.suppress(TandemError):  # it has ended already
            await self.ask("retire", timeout=_STOP_TIMEOUT)

    def terminate(self) -> None:
        """Tells the worker to drain and end."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()

    def kill(self) -> None:
        """Ends the process at once."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def stop(self) -> None:
        """Ends the process, by force where it takes too long."""
        if self._ended is not None and self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGINT)  # without draining
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._ended), _STOP_TIMEOUT)
            self.kill()
            await self._ended
        if self._channel is not None:
            await self._channel.close()
        if self._sockets is not None:
            self._sockets.close()

    async def _answer(self, what: str, body: Body) -> Body:
        if what != "ready":
            raise TandemError(f"a parent cannot {what!r}")
        self._ready.set()
        return {}
