"""Local ports that lead to what the server forwards (`--listen PORT=FORWARD`)."""

import ipaddress
import logging
from collections.abc import Sequence
from functools import partial

from tandem.base.addresses import format_host_port
from tandem.base.errors import TandemError, os_error_text
from tandem.base.tasks import TaskSet
from tandem.client.connections import ConnectionTable
from tandem.client.opener import Opener
from tandem.exchange.request import Kind, Request
from tandem.ports.tcp_listener import serving_listener
from tandem_socks import Listener, Relay, SocksError, TcpConnection, admits

log = logging.getLogger("tandem.client")


class ForwardPorts:
    """The local ports that lead to forwards, and the connections that they have accepted."""

    def __init__(self, opener: Opener, connections: ConnectionTable, *, idle_timeout: float) -> None:
        """`idle_timeout`: seconds after which a connection without data is closed, 0 for never."""
        self._opener = opener
        self._connections = connections
        self._idle_timeout = idle_timeout
        self._listeners: list[Listener] = []
        self._serving = TaskSet()

    async def listen(self, host: str, port: int, forward: str, allow_from: Sequence[str]) -> None:
        """Listens on another port; `allow_from`: networks whose connections are accepted. Raises TandemError."""
        request = Request(Kind.FORWARD, forward, port)
        networks = [ipaddress.ip_network(network) for network in allow_from]
        serve, admitted = partial(self._serve, request), partial(admits, networks=networks)
        listener = serving_listener(self._serving, serve, admits=admitted)
        self._listeners.append(listener)
        try:
            await listener.listen(host, port)
        except OSError as error:
            raise port_error(f"forward {forward}", host, port, error, "--listen [HOST:]PORT=FORWARD") from error
        log.info("forward %s at %s", forward, format_host_port(host, port))

    async def stop_listening(self) -> None:
        """Accepts no new connections from now on."""
        for listener in self._listeners:
            await listener.close()

    async def close(self) -> None:
        """Stops listening, and ends the connections."""
        await self.stop_listening()
        await self._serving.cancel()

    async def _serve(self, request: Request, tcp: TcpConnection) -> None:
        try:
            opened = await self._opener.open_at_once(request)
        except SocksError as error:
            log.info("%s: %s", request, error)
            tcp.reset()
            return
        relay = Relay(tcp, opened.stream, idle_timeout=self._idle_timeout)
        self._connections.open(request, relay.result)
        try:
            await relay.run()
        finally:
            self._connections.close(request, relay.result)


def port_error(what: str, host: str, port: int, error: OSError, option: str) -> TandemError:
    """The error for a local port that is not free; `option` is the command-line option that sets another one."""
    place = format_host_port(host, port)
    return TandemError(f"{what} {place}: {os_error_text(error)}", f"{option} takes another one")
