"""A seeded network in virtual time: the real endpoints, simulated links, no clock.

A test builds a `Network`, gives work to `network.client` and `network.server`, and runs it
until something is true or a time has passed. The same seed gives the same history.
"""

from simnet.memory import size_of
from simnet.network import CLIENT_KEY, SERVER_KEY, Network, hours, mbit
from simnet.peer import Peer
from simnet.traffic import Download, Echo, SteadyStream, Traffic
from simnet.victim import Victim

__all__ = [
    "CLIENT_KEY",
    "SERVER_KEY",
    "Download",
    "Echo",
    "Network",
    "Peer",
    "SteadyStream",
    "Traffic",
    "Victim",
    "hours",
    "mbit",
    "size_of",
]
