"""A transport stream as what a relay expects."""

from collections.abc import Callable

from tandem_socks import FarReset
from tandem_transport import Connection, TransportError
from tandem_transport.driver import Stream


class FarStream:
    """A `ByteStream` of tandem_socks over a `Stream` of tandem_transport."""

    def __init__(self, stream: Stream, connection: Connection) -> None:
        self._stream = stream
        self._connection = connection

    async def read(self) -> bytes:
        try:
            return await self._stream.read()
        except TransportError as error:
            raise FarReset(str(error)) from error

    async def write(self, data: bytes) -> None:
        try:
            await self._stream.write(data)
        except TransportError as error:
            raise FarReset(str(error)) from error

    async def room(self) -> int:
        try:
            return await self._stream.room()
        except TransportError as error:
            raise FarReset(str(error)) from error

    def finish(self) -> None:
        self._stream.finish()

    def reset(self) -> None:
        self._stream.reset()

    def watch_reset(self, callback: Callable[[], None]) -> None:
        self._stream.on_reset = callback
        if self._stream.is_reset:
            callback()

    @property
    def is_held(self) -> bool:
        return self._connection.is_out
