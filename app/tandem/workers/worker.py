"""A worker: serves the sessions of its slot on sockets that its parent has opened."""

import asyncio
import contextlib
import json
import logging
import os
import signal
from collections.abc import Callable

from tandem.base.errors import TandemError
from tandem.config.config import Config
from tandem.server.server import Server
from tandem.workers.channel import Body, Channel
from tandem.workers.doors import Doors
from tandem.workers.seat import Seat, inherited
from tandem.workers.unix_sockets import take_socket
from tandem_transport import Placement
from tandem_transport.driver import Carrier, ServerDriver, Source

log = logging.getLogger("tandem.workers")

_MESSAGE = 4096


class _Inside:
    """What others leave at the door, for the driver."""

    def __init__(self, driver: ServerDriver) -> None:
        self.receive_stray: Callable[[Source, bytes], None] = driver.receive_stray
        self.receive_far = driver.receive_far
        self.send_by_number = driver.tls.send_by_number


class Worker:
    """The `Service` of a worker process."""

    def __init__(self, config: Config, seat: Seat, reload: Callable[[], Config]) -> None:
        """`reload` reads the configuration anew."""
        self._config = config
        self._reload = reload
        placement = Placement(seat.slot, seat.slots, seat.first, seat.workers)
        doors = {int(slot): inherited(number) for slot, number in seat.doors.items()}
        self._doors = Doors(seat.slot, inherited(seat.door), doors, self._number_of)
        self._server = Server(
            config, placement=placement, on_stray=self._doors.hand_over, on_far_send=self._doors.send_far
        )
        self._channel = Channel(inherited(seat.talk), self._answer, self._on_orphaned)
        self._sockets = inherited(seat.sockets)
        self._adopting: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Starts to serve. Raises TandemError."""
        await self._server.start()
        self._sockets.setblocking(False)
        asyncio.get_running_loop().add_reader(self._sockets, self._take_socket)
        self._doors.open(_Inside(self._server.driver))
        await self._channel.open()
        await self._channel.ask("ready", timeout=60)

    async def drain(self) -> None:
        """Refuses new streams, and waits for the open ones."""
        await self._server.drain()

    async def close(self) -> None:
        """Ends all sessions."""
        asyncio.get_running_loop().remove_reader(self._sockets)
        self._sockets.close()
        await self._server.close()
        self._doors.close()
        await self._channel.close()

    # --- inside ---

    async def _answer(self, what: str, body: Body) -> Body:
        match what:
            case "ping":
                return {}
            case "status":
                return self._server.status().model_dump(mode="json")
            case "follow":
                return await self._server.follow(str(body["name"]))
            case "retire":
                self._adopting.add(asyncio.create_task(self._retire()))
                return {}
            case "reload":
                self._config = self._reload()
                self._server.reload(self._config)
                return {}
            case _:
                raise TandemError(f"a worker cannot {what!r}")

    async def _retire(self) -> None:
        await self._server.retire()
        os.kill(os.getpid(), signal.SIGINT)  # without draining once more

    def _on_orphaned(self) -> None:
        log.error("the parent process is gone: this worker ends; start the server anew")
        os.kill(os.getpid(), signal.SIGINT)  # without draining: it holds the ports

    def _number_of(self, carrier: Carrier) -> int:
        return self._server.driver.tls.number(carrier)

    def _take_socket(self) -> None:
        """Takes a UDP socket from the parent, or learns that an address is no longer listened on."""
        with contextlib.suppress(BlockingIOError):
            message, descriptors = take_socket(self._sockets, _MESSAGE)
            if not message:
                asyncio.get_running_loop().remove_reader(self._sockets)
                return
            host, port = json.loads(message)
            if descriptors:
                task = asyncio.create_task(self._server.driver.sockets.adopt((host, port), inherited(descriptors[0])))
                self._adopting.add(task)
                task.add_done_callback(self._adopting.discard)
            else:
                self._server.driver.sockets.leave((host, port))
