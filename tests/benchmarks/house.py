"""A device behind a router: downloads that are caught on their way, and the same by the router's SOCKS port, in turn.

Needs root, Linux and nft: `python tests/benchmarks/house.py`. It prints each rate, and the ratio of the medians
(2 links without a limit, so it is the machine that limits).
"""

import socket
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from loopback import Hosts, Pair, Target, run_tandem
from loopback.house import LAN, PLACE, House

ROUNDS = 14
SIZE = 60_000_000
_SOCKS = "10.70.0.1:1080"


def main() -> None:
    house = House()
    try:
        with tempfile.TemporaryDirectory() as directory:
            _measure(house, Path(directory))
    finally:
        house.close()


def _measure(house: House, directory: Path) -> None:
    pair = Pair(directory, Hosts.command(house.router), Hosts.command(house.net.server))
    pair.listen = pair.endpoints = ["10.90.0.2:8120"]
    target = Target(house.socket_at_server(PLACE, 0, socket.SOCK_STREAM))
    try:
        _start(pair, house, directory)
        url = f"http://{PLACE}:{target.port}/bytes/{SIZE}"
        rates: dict[str, list[float]] = {"caught": [], "socks": []}
        for number in range(ROUNDS):
            for way, options in (("caught", ()), ("socks", ("--socks5", _SOCKS))):
                rates[way].append(_rate(house, url, options))
                print(f"round {number + 1} {way:6} {rates[way][-1]:7.0f} Mbit/s", flush=True)
        medians = {way: statistics.median(found) for way, found in rates.items()}
        print(f"medians {medians}, ratio {medians['caught'] / medians['socks']:.3f}")
    finally:
        pair.close()
        target.close()


def _start(pair: Pair, house: House, directory: Path) -> None:
    pair.start_server("--allow", f"{PLACE}/32")
    config = directory / "client.toml"
    config.write_text('[socks]\nallow_from = ["10.70.0.0/24"]\n[transparent]\nlisten = "0.0.0.0:1081"\ndns = "off"\n')
    pair.start_client(pair.invite(), "--config", str(config), "--socks", _SOCKS)
    at = Hosts.command(house.router)
    made = run_tandem("lan", "nft", "--lan", LAN, "--config", str(config), at=at, environment=pair.environment)
    rules = directory / "tandem.nft"
    rules.write_text(made.stdout)
    house.run(house.router, "nft", "-f", str(rules))
    for line in made.stdout.splitlines():
        if line.startswith("# before: "):
            house.run(house.router, *line.removeprefix("# before: ").split())


def _rate(house: House, url: str, options: tuple[str, ...]) -> float:
    """Megabits a second of one download."""
    done = house.curl(url, "-o", "/dev/null", "-w", "%{speed_download}", *options)
    return float(done.stdout) * 8e-6


if __name__ == "__main__":
    main()
