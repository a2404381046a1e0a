"""The timeouts of many sessions: the earliest is always right, and outdated ones fill nothing."""

import random

from tandem_transport.endpoint.timeouts import Timeouts


def test_it_agrees_with_a_plain_table() -> None:
    randomness = random.Random(1)
    timeouts, plain = Timeouts(), dict[bytes, float]()
    for step in range(5000):
        key, at = bytes([randomness.randrange(40)]), round(randomness.random() * 100, 1)
        match randomness.randrange(4):
            case 0:
                timeouts.pop(key)
                plain.pop(key, None)
            case 1 if step % 10 == 0:
                found = timeouts.due(at)
                assert sorted(found) == sorted(key for key, time in plain.items() if time <= at)
                assert [plain[key] for key in found] == sorted(plain[key] for key in found)
            case _:
                timeouts.put(key, at)
                plain[key] = at
        assert timeouts.next() == min(plain.values(), default=None)
        assert len(timeouts) == len(plain)


def test_a_busy_session_among_idle_ones_leaves_no_heap_of_old_times() -> None:
    timeouts = Timeouts()
    for number in range(100):
        timeouts.put(bytes([number]), 1e9)
    for step in range(100_000):
        timeouts.put(b"busy", 1e6 + step)
    assert len(timeouts._heap) <= 2 * 101 + 64  # pyright: ignore[reportPrivateUsage]
    assert timeouts.next() == 1e6 + 99_999
