"""What people are told of links that do not work: reasons, addresses, and which rows are shown."""

import dataclasses
import errno
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tandem.admin.snapshots import HIDE_DOWN_AFTER, full_reason, shown_paths
from tandem.client.events import EventLog, read
from tandem.client.journal import Journal
from tandem_transport import HandshakeUnanswered, PathStats, PathStatus
from tandem_transport.driver import Link, LocalAddress, Names, UdpAddress
from tandem_transport.driver.link import Change
from tandem_transport.driver.search import Step
from tandem_transport.events import PathStatusChanged

UNREACHABLE = OSError(errno.ENETUNREACH, "Network is unreachable")
SAID = "Network is unreachable, says the system"


def ignore(batch: Sequence[bytes], address: UdpAddress) -> None:
    pass


class Failing:
    """A link of which the system says the same for two seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.link = Link("lte", lambda: [LocalAddress("127.0.0.2", None)], [("127.0.0.1", 8120)])
        errors = getattr(self.link, "_errors")  # noqa: B009
        monkeypatch.setattr(errors, "_clock", lambda: self.now)
        for _ in range(4):
            errors.on_failure(UNREACHABLE, "127.0.0.2:9")
            self.now += 0.7
        self.succeed = errors.on_success


def test_the_systems_own_words_are_the_reason_of_a_link_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = Failing(monkeypatch)
    assert full_reason(failing.link, "down", "no answer") == f"{SAID}; no answer"
    assert full_reason(failing.link, "probing", "no session yet") == f"{SAID}; no session yet"
    assert full_reason(failing.link, "usable", "") == ""
    assert full_reason(failing.link, "degraded", "loss over 10%") == "loss over 10%"
    failing.link.error = "there is no interface lte now"
    assert full_reason(failing.link, "down", failing.link.error) == failing.link.error
    failing.link.error = ""
    failing.succeed()
    assert full_reason(failing.link, "down", "no answer") == "no answer"


def test_the_journal_has_the_systems_words_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tandem.client")
    failing = Failing(monkeypatch)
    events = EventLog(tmp_path / "events.jsonl")
    Journal(events, lambda: [failing.link]).note(PathStatusChanged(0, PathStatus.DOWN, "no answer"))
    assert caplog.messages == [f"link lte is down ({SAID}; no answer)"]
    assert [str(event).partition("  ")[2] for event in read(tmp_path / "events.jsonl")] == [
        f"link lte down ({SAID}; no answer)"
    ]


async def test_no_answer_names_the_addresses_that_were_asked(caplog: pytest.LogCaptureFixture) -> None:
    async def look_up(host: str) -> list[UdpAddress]:
        return [("127.0.0.1", 0), ("127.0.0.9", 0)]

    endpoints = [("srv.example", 8120), ("127.0.0.7", 8121)]
    link = Link("lte", lambda: [LocalAddress("127.0.0.2", None)], endpoints, names=Names(look_up))
    journal = Journal(EventLog(None), lambda: [link])
    try:
        for expected in (
            "srv.example:8120 (127.0.0.1)",
            "srv.example:8120 (127.0.0.1, 127.0.0.9)",
            "127.0.0.7:8121, srv.example:8120 (127.0.0.1, 127.0.0.9)",
        ):
            caplog.clear()
            assert await link.follow(ignore, Step.ROTATE)
            journal.note(HandshakeUnanswered(2, 4.0))
            assert caplog.messages[-1].startswith(f"no answer from {expected} for 4 s: ")
        assert await link.follow(ignore) is Change.NONE
        link.on_answer(now=0.0)
        assert not link.targets.asked
    finally:
        link.close()


def path(number: int, status: PathStatus) -> PathStats:
    """One of which only number and status matter."""
    fields: dict[str, Any] = dict.fromkeys(field.name for field in dataclasses.fields(PathStats))
    fields["path_id"], fields["status"] = number, status
    return PathStats(**fields)


def test_a_server_shows_few_of_the_paths_that_went_down_long_ago() -> None:
    paths = [path(0, PathStatus.USABLE), *(path(number, PathStatus.DOWN) for number in range(1, 11))]
    now = 10_000.0
    since = {number: now - 10 * HIDE_DOWN_AFTER + number for number in range(1, 11)}
    shown = [item.path_id for item in shown_paths(paths, since, now=now)]
    assert shown == [0, 7, 8, 9, 10]
    since[2] = now - 1.0
    assert [item.path_id for item in shown_paths(paths, since, now=now)] == [0, 2, 8, 9, 10]
    recent = dict.fromkeys(since, now - 1.0)
    assert list(shown_paths(paths, recent, now=now)) == paths, "what has just happened is shown"
    assert list(shown_paths(paths[1:], since, now=now)) == paths[1:], "where nothing works, nothing is hidden"
