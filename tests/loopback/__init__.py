"""Real processes and real sockets on 127.0.0.0/8, for the tests that need them."""

from loopback.gate import Gate
from loopback.processes import Pair, free_port, run_tandem, tandem_command
from loopback.target import Target

__all__ = ["Gate", "Pair", "Target", "free_port", "run_tandem", "tandem_command"]
