"""A device that knows nothing of proxies, behind the client's host, which is its router."""

import json
import shutil
import socket
import subprocess
from pathlib import Path

from loopback.namespaces import Hosts, run_ip
from loopback.routed import SERVER, SERVER_V6, Routed

PLACE, PLACE_V6 = "203.0.113.5", "2001:db8:5::5"
"""Addresses of the server's host that are not private: what the device wants to reach."""

LAN = "lan0"

_UDP = """
import json, socket, sys, time
host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
sock = socket.socket(family, socket.SOCK_DGRAM)
sock.settimeout(2)
got = []
for number in range(count):
    for _ in range(10):
        sock.sendto(b"%d" % number, place)
        try:
            data, source = sock.recvfrom(100)
        except OSError:
            continue
        got.append([data.decode(), source[0] == place[0]])
        break
print(json.dumps(got))
"""


class House:
    """Needs root and Linux; raises OSError where that is not there."""

    def __init__(self) -> None:
        self.net = Routed()
        self.router, self.device = self.net.client, self.net.client.replace("-c-", "-d-")
        self._etc = Path("/etc/netns") / self.device
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        subprocess.run(["ip", "netns", "del", self.device], capture_output=True, check=False, timeout=20)
        shutil.rmtree(self._etc, ignore_errors=True)
        self.net.close()

    def _build(self) -> None:
        run_ip("netns", "add", self.device)
        self.ip(self.device, "link", "set", "lo", "up")
        run_ip("link", "add", LAN, "netns", self.router, "type", "veth", "peer", "eth0", "netns", self.device)
        for name, device, number in ((self.router, LAN, 1), (self.device, "eth0", 2)):
            self.ip(name, "addr", "add", f"10.70.0.{number}/24", "dev", device)
            self.ip(name, "addr", "add", f"fd70::{number}/64", "dev", device, "nodad")
            self.ip(name, "link", "set", device, "up")
        self.ip(self.device, "route", "add", "default", "via", "10.70.0.1")
        self.ip(self.device, "-6", "route", "add", "default", "via", "fd70::1")
        self._etc.mkdir(parents=True)
        (self._etc / "resolv.conf").write_text("nameserver 10.70.0.1\noptions timeout:2 attempts:5\n")
        for name in (self.router, self.net.router):
            self.net.set(name, "net/ipv4/ip_forward", 1)
            self.net.set(name, "net/ipv6/conf/all/forwarding", 1)
        self.ip(self.net.server, "addr", "add", f"{PLACE}/32", "dev", "lo")
        self.ip(self.net.server, "addr", "add", f"{PLACE_V6}/128", "dev", "lo", "nodad")
        self.ip(self.net.router, "route", "add", PLACE, "via", SERVER)
        self.ip(self.net.router, "-6", "route", "add", PLACE_V6, "via", SERVER_V6)

    def ip(self, name: str, *arguments: str) -> None:
        """Runs `ip` on a host."""
        self.net.hosts.ip(name, *arguments)

    def run(self, name: str, *command: str, limit: float = 120) -> "subprocess.CompletedProcess[bytes]":
        """Runs a command on a host."""
        return subprocess.run([*Hosts.command(name), *command], capture_output=True, check=False, timeout=limit)

    def curl(self, url: str, *options: str) -> "subprocess.CompletedProcess[bytes]":
        """Fetches a URL on the device."""
        return self.run(self.device, "curl", "-sS", "--max-time", "100", *options, url)

    def udp(self, host: str, port: int, count: int = 5) -> list[list[object]]:
        """Sends datagrams from the device: each answer, and whether it came from where the datagram was sent to."""
        done = self.run(self.device, "python3", "-c", _UDP, host, str(port), str(count))
        return json.loads(done.stdout) if done.stdout else []

    def socket_at_server(self, host: str, port: int, kind: socket.SocketKind) -> socket.socket:
        """A socket of the server's host that is bound there; one of TCP listens."""

        def make() -> socket.socket:
            sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
            sock.bind((host, port))
            if kind is socket.SOCK_STREAM:
                sock.listen(64)
            return sock

        return self.net.hosts.socket(self.net.server, make)
