"""How fast both ends run on one core: a download over two clean links of the simulated network.

Prints figures; asserts nothing. Run it before and after a change, on an idle machine.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from simnet import Network
from tandem.impair.impairment import Impairment

SIZE = 20_000_000


def measure(name: str, loss: float) -> None:
    link = Impairment(delay=0.020, rate=100e6 / 8, loss=loss)
    network = Network(link, link).connect()
    data = network.random.randbytes(SIZE)
    stream_id = network.client.send(b"get")
    network.run_until(lambda: stream_id in network.server.ended, limit=10)
    began = time.process_time()
    network.server.send(data, stream_id=stream_id)
    virtual = network.run_until(lambda: stream_id in network.client.ended, limit=60)
    spent = time.process_time() - began
    packets = network.datagrams_to_client + network.datagrams_to_server
    print(
        f"{name:10} {SIZE * 8e-6 / spent:6.1f} Mbit/s of CPU, {spent / packets * 1e6:5.1f} us a packet (both ends "
        f"and the simulation), {SIZE * 8e-6 / virtual:6.1f} Mbit/s in virtual time"
    )


if __name__ == "__main__":
    measure("clean", 0.0)
    measure("10 % loss", 0.1)
