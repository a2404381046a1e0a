"""A client host with two uplinks, a router between it and the server, all made of network namespaces."""

import shutil
import subprocess
from pathlib import Path

from loopback.namespaces import Hosts, run_ip

SERVER, SERVER_V6 = "10.90.0.2", "fd90::2"
UPLINKS = ("wan0", "wan1")
_METRICS = (100, 200)


class Routed:
    """`wan0` and `wan1` of the client lead to the router, `core` of the router leads to the server.

    wan0 has the default route that is preferred. Needs root and Linux; raises OSError where that is not there.
    """

    def __init__(self) -> None:
        self.hosts = Hosts()
        self.client, self.server = self.hosts.client, self.hosts.server
        self.router = self.client.replace("-c-", "-r-")
        self._etc = Path("/etc/netns") / self.client
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self.hosts.close()
        subprocess.run(["ip", "netns", "del", self.router], capture_output=True, check=False, timeout=20)
        shutil.rmtree(self._etc, ignore_errors=True)

    def run(self, name: str, *command: str) -> None:
        """Runs a command on a host. Raises OSError where it fails."""
        done = subprocess.run([*Hosts.command(name), *command], capture_output=True, text=True, check=False, timeout=20)
        if done.returncode:
            raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")

    def ip(self, name: str, *arguments: str) -> None:
        """Runs `ip` on a host."""
        self.hosts.ip(name, *arguments)

    def set(self, name: str, setting: str, value: int) -> None:
        """A setting of a host's kernel, such as net/ipv4/ip_forward."""
        self.run(name, "sh", "-c", f"echo {value} > /proc/sys/{setting}")

    def name_server(self, *names: str) -> None:
        """Makes names for the server that the client's host can resolve, to its IPv4 and its IPv6 address."""
        self._etc.mkdir(parents=True)
        lines = ["127.0.0.1 localhost", *(f"{host} {name}" for name in names for host in (SERVER, SERVER_V6))]
        (self._etc / "hosts").write_text("\n".join(lines) + "\n")

    def narrow(self, mtu: int) -> None:
        """Larger packets vanish between router and server, in both directions."""
        self.ip(self.router, "link", "set", "core", "mtu", str(mtu))

    def default_route(self, action: str, number: int) -> None:
        """Adds or deletes (`add`, `del`) the client's IPv4 default route over an uplink."""
        via = ("via", f"10.8{number}.0.1", "dev", UPLINKS[number], "metric", str(_METRICS[number]))
        self.ip(self.client, "route", action, "default", *via)

    # --- inside ---

    def _build(self) -> None:
        run_ip("netns", "add", self.router)
        for number, device in enumerate(UPLINKS):
            self._plug(device, self.client, (f"10.8{number}.0.2/24", f"fd8{number}::2/64"), f"8{number}")
            self.default_route("add", number)
            metric = ("metric", str(_METRICS[number]))
            self.ip(self.client, "-6", "route", "add", "default", "via", f"fd8{number}::1", "dev", device, *metric)
        self._plug("core", self.server, (f"{SERVER}/24", f"{SERVER_V6}/64"), "90")
        self.ip(self.server, "route", "add", "default", "via", "10.90.0.1")
        self.ip(self.server, "-6", "route", "add", "default", "via", "fd90::1")
        self.set(self.router, "net/ipv4/ip_forward", 1)
        self.set(self.router, "net/ipv6/conf/all/forwarding", 1)

    def _plug(self, device: str, host: str, addresses: tuple[str, str], network: str) -> None:
        """A cable between a host and the router, which has the first address of each network."""
        run_ip("link", "add", device, "netns", host, "type", "veth", "peer", device, "netns", self.router)
        for name, pair in ((host, addresses), (self.router, (f"10.{network}.0.1/24", f"fd{network}::1/64"))):
            self.ip(name, "addr", "add", pair[0], "dev", device)
            self.ip(name, "addr", "add", pair[1], "dev", device, "nodad")
            self.ip(name, "link", "set", device, "up")
