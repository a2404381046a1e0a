"""Two hosts made of network namespaces, with cables between them that a test can pull."""

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from itertools import count

_CLONE_NEWNET = 0x40000000
_number = count(1)


class Hosts:
    """A client host and a server host. Needs root and Linux; raises OSError where that is not there."""

    def __init__(self) -> None:
        tag = f"{os.getpid()}-{next(_number)}"
        self.client, self.server = f"tandem-c-{tag}", f"tandem-s-{tag}"
        for name in (self.client, self.server):
            run_ip("netns", "add", name)
            self.ip(name, "link", "set", "lo", "up")

    def close(self) -> None:
        for name in (self.client, self.server):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False, timeout=20)

    @staticmethod
    def command(name: str) -> tuple[str, ...]:
        """What runs a command on a host."""
        return ("ip", "netns", "exec", name)

    def ip(self, name: str, *arguments: str) -> None:
        """Runs `ip` on a host."""
        run_ip("-n", name, *arguments)

    def run(self, name: str, *command: str) -> str:
        """Runs a command on a host, and returns what it prints. Raises OSError where it fails."""
        done = subprocess.run([*self.command(name), *command], capture_output=True, text=True, check=False, timeout=20)
        if done.returncode:
            raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def plug(self, interface: str, client: str, server: str) -> None:
        """A cable: an interface of that name on both hosts, with these addresses (with prefix lengths)."""
        run_ip("link", "add", interface, "netns", self.client, "type", "veth", "peer", interface, "netns", self.server)
        for name, address in ((self.client, client), (self.server, server)):
            self.ip(name, "addr", "add", address, "dev", interface, *(["nodad"] if ":" in address else []))
            self.ip(name, "link", "set", interface, "up")

    def unplug(self, interface: str) -> None:
        """The interface is gone, with all that the client's host knew of it."""
        self.ip(self.client, "link", "del", interface)

    def readdress(self, interface: str, old: str, new: str) -> None:
        """The client's interface has another address."""
        self.ip(self.client, "addr", "del", old, "dev", interface)
        self.ip(self.client, "addr", "add", new, "dev", interface)

    def listen(self, name: str) -> socket.socket:
        """A TCP socket on a host's loopback."""
        return self.socket(name, lambda: socket.create_server(("127.0.0.1", 0), backlog=64))

    @staticmethod
    def socket(name: str, make: Callable[[], socket.socket]) -> socket.socket:
        """A socket that is made on a host."""
        made: list[socket.socket] = []

        def work() -> None:
            with open(f"/run/netns/{name}") as file:
                if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            made.append(make())

        thread = threading.Thread(target=work)  # a namespace belongs to a thread
        thread.start()
        thread.join()
        return made[0]


def run_ip(*arguments: str) -> None:
    """Runs `ip` on the host of the tests. Raises OSError where it fails."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False, timeout=20)
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
