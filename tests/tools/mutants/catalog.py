"""The rooms whose mutants are played, the tests that play them, and the mutants that are known to survive."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
SURVIVORS = Path(__file__).with_name("survivors.txt")

LEAST_KILLED = 0.85
"""Share of all mutants that tests must kill."""

_TRANSPORT = "transport/tandem_transport"
_TESTS = "tests/transport"
_SERVER = "app/tandem/server"
_DIALING = "app/tandem/dialing"


@dataclass(frozen=True)
class Room:
    """Files, and the tests that say of them what they do: those that take less than half a second each."""

    name: str
    places: tuple[str, ...]
    """Files, or folders of files."""
    tests: tuple[str, ...]
    """Files, or single tests."""

    @property
    def files(self) -> list[str]:
        """The paths of its files from the root of the tree."""
        found = [ROOT / place for place in self.places]
        paths = [path for place in found for path in (sorted(place.glob("*.py")) if place.is_dir() else [place])]
        return [str(path.relative_to(ROOT)) for path in paths]


ROOMS = (
    Room(
        "crypto",
        (f"{_TRANSPORT}/crypto",),
        (
            f"{_TESTS}/test_handshake.py",
            f"{_TESTS}/test_protection.py",
            f"{_TESTS}/test_key_update.py::test_a_peer_that_updates_its_keys_faster_than_it_may_is_closed",
            f"{_TESTS}/test_key_update.py::test_a_machine_that_has_slept_lets_the_peer_update_again",
            f"{_TESTS}/test_endpoints.py",
        ),
    ),
    Room(
        "recovery",
        (f"{_TRANSPORT}/recovery",),
        (
            f"{_TESTS}/test_recovery.py",
            f"{_TESTS}/test_silence.py",
            f"{_TESTS}/test_rtt.py",
            f"{_TESTS}/test_reordering.py",
            f"{_TESTS}/test_acknowledgements.py",
            f"{_TESTS}/test_endpoints.py",
        ),
    ),
    Room(
        "streams",
        (f"{_TRANSPORT}/streams",),
        (
            f"{_TESTS}/test_streams.py",
            f"{_TESTS}/test_stream_halves.py",
            f"{_TESTS}/test_stream_table.py",
            f"{_TESTS}/test_stream_resets.py",
            f"{_TESTS}/test_credit.py",
            f"{_TESTS}/test_endpoints.py",
        ),
    ),
    Room(
        "sending",
        (f"{_TRANSPORT}/sending",),
        (
            f"{_TESTS}/test_outbox.py",
            f"{_TESTS}/test_copies.py",
            f"{_TESTS}/test_sources.py",
            f"{_TESTS}/test_adaptive.py",
            f"{_TESTS}/test_idle_copies.py",
            f"{_TESTS}/test_sender.py",
            f"{_TESTS}/test_sender_limits.py",
            f"{_TESTS}/test_endpoints.py",
        ),
    ),
    Room(
        "path",
        (f"{_TRANSPORT}/path",),
        (
            f"{_TESTS}/test_addresses.py",
            f"{_TESTS}/test_hearing.py",
            f"{_TESTS}/test_counters.py",
            f"{_TESTS}/test_path_parts.py",
            f"{_TESTS}/test_path_sending.py",
            f"{_TESTS}/test_path_news.py",
            f"{_TESTS}/test_path_status.py",
            f"{_TESTS}/test_path_table.py",
            f"{_TESTS}/test_mtu_checks.py",
            f"{_TESTS}/test_mtu.py::test_a_search_begins_anew_soon_after_a_path_has_become_narrower",
            f"{_TESTS}/test_mtu.py::test_a_probe_on_its_way_into_a_black_hole",
            f"{_TESTS}/test_status_and_limits.py",
            f"{_TESTS}/test_endpoints.py",
        ),
    ),
    Room(
        "rules",
        (
            *(f"{_SERVER}/{name}.py" for name in ("access", "rules")),
            *(f"{_DIALING}/{name}.py" for name in ("address_guard", "own_networks")),
        ),
        ("tests/app/test_access.py", "tests/app/test_access_rules.py"),
    ),
)


def rooms(names: Iterable[str]) -> list[Room]:
    """The rooms of these names, in the order of the catalog; all where there are none. Raises ValueError."""
    wanted = set(names) or {room.name for room in ROOMS}
    unknown = wanted - {room.name for room in ROOMS}
    if unknown:
        raise ValueError(f"no room {', '.join(sorted(unknown))}; there are: {', '.join(room.name for room in ROOMS)}")
    return [room for room in ROOMS if room.name in wanted]


def known_survivors() -> dict[str, str]:
    """By the name of a mutant, why it survives: the heading in survivors.txt under which it stands."""
    known: dict[str, str] = {}
    reason = ""
    for line in SURVIVORS.read_text().splitlines():
        if line.startswith("# "):
            reason = line.removeprefix("# ")
        elif line:
            known[line] = reason
    return known
