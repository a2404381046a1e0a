"""What a packet costs: sending, receiving, acknowledging, each on its own, without sockets.

Prints figures; asserts nothing. Two ends of a session are handed each other's packets; the sender's rate and window are
without limit, so that nothing waits. Run it before and after a change, on an idle machine.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from simnet import Network
from tandem.impair.impairment import Impairment
from tandem_transport import Mode
from tandem_transport.congestion.controller import AckSummary, CongestionController
from tandem_transport.events import StreamDataReceived

_PIECE = 60_000
_RTT = 0.040


class Wide:
    """A congestion controller that holds nothing back."""

    pacing_rate = 1e12
    congestion_window = 1e12
    capacity = 1e12
    queue_target = 0.020
    is_starting = is_policed = is_sending_below_capacity = False

    def on_ack(self, ack: AckSummary) -> float:
        return 0.0

    def on_packets_lost(self, lost_below_capacity: int, lost: int = 0, runs: int = 0) -> None:
        pass


class Stopwatch:
    """Seconds of CPU, by what they were spent on."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self._began = time.process_time()

    def lap(self, name: str) -> None:
        now = time.process_time()
        self.spent[name] = self.spent.get(name, 0.0) + now - self._began
        self._began = now

    def skip(self) -> None:
        self._began = time.process_time()


def measure(mode: Mode, rounds: int) -> None:
    link = Impairment(delay=_RTT / 2)
    network = Network(link, link, mode=mode).connect()
    network.run(1.0)
    stream_id = network.client.send(b"get")
    network.run(1.0)
    server: Any = network.server.connection
    client: Any = network.client.connection
    for path in server._paths.all:
        wide: CongestionController = Wide()
        path.network.congestion = wide
    watch, packets, acks, now = Stopwatch(), 0, 0, network.now
    for _ in range(rounds):
        now += 0.001
        server.send_stream_data(stream_id, bytes(_PIECE))
        watch.skip()
        sent = list(server.datagrams_to_send(now=now))
        watch.lap("send")
        for transmit in sent:
            client.receive_datagram(transmit.path_id, transmit.data, now=now)
        watch.lap("receive")
        while (event := client.next_event()) is not None:
            if isinstance(event, StreamDataReceived):
                client.consume(event.stream_id, len(event.data))
        watch.lap("deliver")
        answers = list(client.datagrams_to_send(now=now))
        watch.lap("make ACKs")
        for transmit in answers:
            server.receive_datagram(transmit.path_id, transmit.data, now=now, source=f"client-link-{transmit.path_id}")
        watch.lap("take ACKs")
        packets += len(sent)
        acks += len(answers)
    costs = ", ".join(f"{name} {spent / packets * 1e6:.1f}" for name, spent in watch.spent.items())
    total = sum(watch.spent.values()) / packets * 1e6
    print(f"{mode.name.lower():9}  us a packet: {costs}; in all {total:.1f}  ({packets} packets, {acks} of ACKs)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=500)
    arguments = parser.parse_args()
    for chosen in (Mode.DUPLICATE, Mode.ADAPTIVE):
        measure(chosen, arguments.rounds)
