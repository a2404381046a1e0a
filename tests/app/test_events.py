"""The event log: kept, bounded, readable after a crash."""

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from tandem.base.errors import TandemError
from tandem.cli.main import cli
from tandem.client import events
from tandem.client.events import EventLog, read


def test_events_are_kept_and_told_in_words(tmp_path: Path) -> None:
    path = tmp_path / "state" / "events.jsonl"
    EventLog(path).add("started", cause="version 1")
    EventLog(path).add("link", link="wifi", state="down", cause="no answer for 2 s")
    EventLog(path).add("outage", state="over", duration_s=12.34)
    told = [str(event).partition("  ")[2] for event in read(path)]
    assert told == ["started (version 1)", "link wifi down (no answer for 2 s)", "outage over after 12.3 s"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_file_has_a_bound_and_the_older_half_is_still_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_SIZE", 1000)
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    for number in range(100):
        log.add("link", link=f"l{number}", state="up")
    kept = [event.link for event in read(path)]
    assert kept[-1] == "l99"
    assert kept == [f"l{number}" for number in range(100 - len(kept), 100)]
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 2300


def test_a_line_that_was_cut_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    EventLog(path).add("stopped")
    with path.open("a") as file:
        file.write('{"at": "2026\\n{}\\n[1]\\n\\x00\n')
    EventLog(path).add("started")
    assert [event.event for event in read(path)] == ["stopped", "started"]


def write(path: Path, *clients: str | None) -> None:
    for client in clients:
        log = EventLog(path)
        log.client = client
        log.add("link", link="wifi", state=f"of {client}")


def test_a_log_of_several_clients_says_whose_each_event_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.jsonl"

    def events_file(port: int) -> Path:
        return path

    monkeypatch.setattr("tandem.client.files.events_file", events_file)
    write(path, None, "laptop")  # an older version names nobody
    told = CliRunner().invoke(cli, ["events"]).output
    assert [line.partition("  ")[2] for line in told.splitlines()] == ["link wifi of None", "link wifi of laptop"]
    write(path, "router", "laptop")
    told = CliRunner().invoke(cli, ["events"]).output
    assert [line.partition("  ")[2] for line in told.splitlines()][-2:] == [
        "router: link wifi of router",
        "laptop: link wifi of laptop",
    ]
    told = CliRunner().invoke(cli, ["events", "--client", "laptop", "--last", "5", "--json"]).output
    assert [json.loads(line)["client"] for line in told.splitlines()] == ["laptop", "laptop"]
    failed = CliRunner().invoke(cli, ["events", "--client", "nas"])
    assert isinstance(failed.exception, TandemError)
    assert "there are some of laptop, router" in failed.exception.hint


def test_where_it_cannot_be_written_there_is_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    log = EventLog(tmp_path / "file" / "events.jsonl")
    log.add("started")
    log.add("stopped")
    assert len(caplog.records) == 1
