"""The section of the configuration for devices that know nothing of a proxy: their traffic is caught on its way."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from tandem.config.values import HostPort, Network, Section


def _listed(given: object) -> object:
    return [given] if isinstance(given, str) else given


Places = Annotated[list[HostPort], BeforeValidator(_listed)]


class TransparentConfig(Section):
    """Ports to which a router's firewall sends what other devices meant for somebody else (Linux)."""

    listen: Places = Field(
        default=[],
        description="such as 0.0.0.0:1081; TCP by `redirect` or `tproxy`, UDP by `tproxy`; see `tandem lan nft`",
    )
    dns: Literal["session", "fake", "off"] = Field(
        default="session",
        description="names: asked through the session; or answered with fake addresses, so that names reach the server "
        "and the routes; or left alone",
    )
    dns_listen: Places = Field(default=["0.0.0.0:1053", "[::]:1053"], description="where queries of the devices arrive")
    dns_server: HostPort = Field(default="9.9.9.9:53", description="the name server that is asked through the session")
    fake: list[Network] = Field(
        default=["198.18.0.0/15", "fd74:616e:6465:6d::/64"], description="networks of the fake addresses"
    )
    allow_from: list[Network] = Field(
        default=[
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "100.64.0.0/10",
            "169.254.0.0/16",
            "fc00::/7",
            "fe80::/10",
        ],
        description="the devices that it serves, beside this machine",
    )

    @model_validator(mode="after")
    def _one_port(self) -> "TransparentConfig":
        for key, places in (("listen", self.listen), ("dns_listen", self.dns_listen)):
            if len({place.rpartition(":")[2] for place in places}) > 1:
                raise ValueError(f"{key}: one port for all addresses; the firewall's rules name one")
        return self
