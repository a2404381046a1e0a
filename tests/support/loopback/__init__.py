"""Real processes and real sockets on 127.0.0.0/8, or between network namespaces, for the tests that need them."""

from loopback.download import Download
from loopback.gate import Gate, link_options
from loopback.namespaces import Hosts
from loopback.ports import free_port
from loopback.processes import Pair, run_tandem, tandem_command
from loopback.routed import Routed
from loopback.sshd import Sshd
from loopback.target import Target

__all__ = [
    "Download",
    "Gate",
    "Hosts",
    "Pair",
    "Routed",
    "Sshd",
    "Target",
    "free_port",
    "link_options",
    "run_tandem",
    "tandem_command",
]
