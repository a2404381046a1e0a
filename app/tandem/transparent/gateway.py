"""Everything that serves the devices of a house: TCP, UDP and names."""

import ipaddress
import logging
import sys
from typing import TYPE_CHECKING

from tandem.base.addresses import format_host_port, parse_host_port
from tandem.base.errors import TandemError, os_error_text
from tandem.config.transparent_section import TransparentConfig
from tandem.transparent.destination import HostPort
from tandem.transparent.fake_names import FakeNames
from tandem.transparent.tcp_port import OnChange, TransparentTcp
from tandem.transparent.udp_port import TransparentUdp
from tandem_socks import FarSide, admits

if TYPE_CHECKING:
    from tandem.transparent.names_port import NamesPort

log = logging.getLogger("tandem.client")


class Gateway:
    """The ports of `[transparent]`; without an address there, it does nothing."""

    def __init__(
        self, config: TransparentConfig, far_side: FarSide, *, on_opened: OnChange, on_closed: OnChange
    ) -> None:
        self._places = _parsed(config.listen)
        self._names_places = _parsed(config.dns_listen)
        self._networks = [ipaddress.ip_network(network) for network in config.allow_from]
        networks = [ipaddress.ip_network(network) for network in config.fake]
        self._fake = FakeNames(networks) if config.dns == "fake" else None
        self._tcp = TransparentTcp(far_side, self._name, self._admits, on_opened=on_opened, on_closed=on_closed)
        self._udp = TransparentUdp(far_side, self._name, self._admits)
        self._names = self._names_port(config, far_side) if config.dns != "off" and config.listen else None

    async def listen(self) -> None:
        """Listens on all ports. Raises TandemError."""
        if self._places and sys.platform != "linux":
            raise TandemError("[transparent] needs Linux", "elsewhere a TUN program can use the SOCKS port")
        place: HostPort = ("", 0)
        try:
            for place in self._places:
                await self._tcp.listen([place])
            if self._names is not None:
                for place in self._names_places:
                    await self._names.listen([place])
        except OSError as error:
            text = f"transparent {format_host_port(*place)}: {os_error_text(error)}"
            raise TandemError(text, "`listen` and `dns_listen` in [transparent] take another port") from error
        if self._places:
            self._listen_for_datagrams()

    async def close(self) -> None:
        """Closes all ports, and ends what they carry."""
        await self._tcp.close()
        await self._udp.close()
        if self._names is not None:
            await self._names.close()

    # --- inside ---

    def _names_port(self, config: TransparentConfig, far_side: FarSide) -> "NamesPort":
        from tandem.transparent.names_port import NamesPort  # dnspython takes a while, and most clients need it not

        server = parse_host_port(config.dns_server, what="dns_server")
        return NamesPort(far_side, server, self._fake, self._admits)

    def _listen_for_datagrams(self) -> None:
        """Takes datagrams too, where the system allows it."""
        try:
            self._udp.listen(self._places)
        except OSError as error:
            log.warning(
                "transparent: TCP alone, by `redirect` (%s); for datagrams this process needs CAP_NET_ADMIN",
                error.strerror,
            )
        log.info("transparent port at %s", ", ".join(format_host_port(*place) for place in self._places))

    def _admits(self, host: str) -> bool:
        return admits(host, self._networks)

    def _name(self, host: str) -> str | None:
        """What a caught address stands for."""
        if self._fake is None or not self._fake.is_fake(host):
            return host
        return self._fake.name(host)


def _parsed(places: list[str]) -> list[HostPort]:
    return [parse_host_port(place, what="transparent") for place in places]
