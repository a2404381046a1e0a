"""Plays all cases in all setups and writes the table: `make conformance`."""

import asyncio
import os
import sys
import tempfile
from pathlib import Path

import tandem.dialing.tcp_stream
import tandem_socks.frontend.frontend
import tandem_socks.tcp.relay
from conformance.all_cases import all_cases
from conformance.bench import SETUPS, Setup, bench
from conformance.catalog import Case

HEAD = """# What clients can expect of the SOCKS port

Written by `make conformance`: each row is a case of `tests/conformance/`, played over real sockets against a client
and a server of Tandem, with two links between them. `make test` plays those on clean
links, `make test-long` all. Waits of 10 s (a handshake that
stalls) and 30 s (silence after a half-close) are shortened to 1 s there. Two thousand connections at a time, a client
out of descriptors and ten thousand that say nothing are in `tests/system/test_exhaustion.py`, real clients in
`test_clients.py` and `test_browser.py` beside it. Past the session, where a route says `direct`, there are no rules of
a server (-).

Eight servers that people use were put to a part of these questions in November 2026 (microsocks 1.0.3, dante 1.4.2,
pproxy 2.7.9, asyncio-socks-server 1.3.3, tiny-proxy 0.3.0, siosocks 0.3.0, OpenSSH 9.2's `ssh -D`, asyncssh 2.24.1).
Five lost the answer after a half-close, none passed a reset on as a reset, two said "connected" for a refused port
and one closed without a reply, five did not answer a BIND with a whole reply, one hung on a handshake in one segment,
and three kept a client that stalled after one byte.

"""


def shorten_waits() -> None:
    """What takes long is shown in a second."""
    tandem_socks.tcp.relay.HALF_CLOSE_LINGER = 1.0
    tandem.dialing.tcp_stream.HALF_CLOSE_LINGER = 1.0
    tandem_socks.frontend.frontend.NEGOTIATION_TIMEOUT = 1.0


async def outcome(case: Case, setup: Setup) -> str:
    """What stands in the table."""
    if not setup.has(case):
        return "-"
    with tempfile.TemporaryDirectory() as directory:
        os.environ["XDG_RUNTIME_DIR"] = directory
        try:
            async with bench(setup, Path(directory) / "state") as made:
                await case.play(made)
        except Exception as error:
            print(f"{case} ({setup}): {error!r}", file=sys.stderr)
            return "**fails**"
    return "ok"


def table(outcomes: dict[Case, list[str]]) -> str:
    """Markdown, a table for each group."""
    lines: list[str] = []
    group = ""
    for case, row in outcomes.items():
        if case.group != group:
            group = case.group
            lines += [
                "",
                f"## {group}",
                "",
                f"| | {' | '.join(map(str, SETUPS))} |",
                "| --- |" + " --- |" * len(SETUPS),
            ]
        lines.append(f"| {case.name} | {' | '.join(row)} |")
    return "\n".join(lines).strip() + "\n"


def main(path: Path) -> int:
    """Returns how many have failed."""
    shorten_waits()
    outcomes: dict[Case, list[str]] = {}
    for case in all_cases():
        outcomes[case] = [asyncio.run(outcome(case, setup)) for setup in SETUPS]
        print(f"{case}: {', '.join(outcomes[case])}")
    path.write_text(HEAD + table(outcomes))
    return sum("**fails**" in row for row in outcomes.values())


if __name__ == "__main__":
    sys.exit(min(main(Path(sys.argv[1])), 1))
