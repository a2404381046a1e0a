"""Logs: one record is one line, whatever the other end has put into it; who logs whom can be set."""

import json
import logging
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem.base import logs
from tandem.base.errors import UsageError
from tandem.client.events import EventLog, read
from tandem.exchange.failures import Failure, Hop
from tandem.exchange.pieces import decode_datagram, encode_datagram
from tandem.exchange.request import Answer, Kind, Request
from tandem_socks import Command, Reply
from tandem_socks import Request as SocksRequest
from tandem_transport import printable
from tandem_transport.wire.decoding import decode_frames
from tandem_transport.wire.frames import ConnectionCloseFrame

ATTACK = "x\x1b[2J\x1b]0;pwned\x07\n12:00:00 error tandem.server: admin: \u202egnihton\x9b31m"
"""Clears the screen, sets the title, forges a line, turns writing around, and an 8-bit CSI."""


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    logger = logging.getLogger()
    handlers, level = list(logger.handlers), logger.level
    yield logger
    logs.set_up("warning")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    for handler in handlers:
        logger.addHandler(handler)
    logger.setLevel(level)


def harmless(text: str) -> bool:
    return text.isprintable() and "\x1b" not in text


@given(st.text())
def test_printable_is_printable_and_changes_nothing_else(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)
    if text.isprintable():
        assert printable(text) == text


def test_control_characters_are_written_out() -> None:
    assert printable("a\nb\x1b[2J\u202e\x9b") == r"a\nb\x1b[2J\u202e\x9b"


def test_what_the_other_end_has_written_is_one_line_in_every_log(root: logging.Logger, tmp_path: Path) -> None:
    path = tmp_path / "tandem.log"
    for form in ("text", "json"):
        path.unlink(missing_ok=True)
        logs.set_up("info", "json" if form == "json" else "text", path)
        logging.getLogger("tandem.server").info("%s: %s", "laptop", Failure(Reply.GENERAL_FAILURE, Hop.DIAL, ATTACK))
        try:
            raise ValueError(ATTACK)
        except ValueError:
            logging.getLogger("tandem.server").exception("%s", ATTACK)
        first, second, *traceback = path.read_text().splitlines()
        for line in (first, second, *traceback):
            assert harmless(line)
        assert all(line.startswith("    ") for line in traceback), "no part of it can pass for a record"
        if form == "json":
            assert "pwned" in json.loads(second)["message"]


def test_the_clock_has_a_date_and_is_utc_for_programs(root: logging.Logger, tmp_path: Path) -> None:
    path = tmp_path / "tandem.log"
    logs.set_up("info", "text", path)
    logging.getLogger("x").info("hello")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d info    x: hello\n", path.read_text())
    path.unlink()
    logs.set_up("info", "json", path)
    logging.getLogger("x").info("hello")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", json.loads(path.read_text())["at"])
    assert logs.utc(0.0) == "1970-01-01T00:00:00Z"
    assert logs.utc(1.9996, digits=3) == "1970-01-01T00:00:01.999Z"


def test_a_log_file_is_private_and_made_anew_when_it_was_moved_away(root: logging.Logger, tmp_path: Path) -> None:
    path = tmp_path / "tandem.log"
    logs.set_up("info", "text", path)
    logging.getLogger("x").info("before")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.rename(tmp_path / "tandem.log.1")
    logging.getLogger("x").info("after")
    assert "after" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(UsageError, match="--log-file"):
        logs.set_up("info", "text", tmp_path / "nowhere" / "tandem.log")


def test_a_log_that_cannot_be_opened_again_costs_its_lines_alone(
    root: logging.Logger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "log"
    directory.mkdir()
    logs.set_up("info", "text", directory / "tandem.log")
    monkeypatch.setattr(logging, "raiseExceptions", False)
    directory.rename(tmp_path / "away")
    for _ in range(3):
        logging.getLogger("x").info("lost")
    (tmp_path / "away").rename(directory)
    logging.getLogger("x").info("back")
    assert "back" in (directory / "tandem.log").read_text()


def test_logs_need_not_tell_where_connections_lead(root: logging.Logger, tmp_path: Path) -> None:
    path = tmp_path / "tandem.log"
    target = "secret.example"
    for targets in (True, False):
        path.unlink(missing_ok=True)
        logs.set_up("info", "text", path, targets=targets)
        log = logging.getLogger("tandem")
        log.info("%s: %s: %d bytes up", "laptop", Request(Kind.DIAL, target, 443), 5)
        log.info("%s: %s", SocksRequest(Command.CONNECT, target, 443), "ended by both ends")
        failure = Failure(Reply.HOST_UNREACHABLE, Hop.DIAL, f"no answer from {target} within 10 s", "ETIMEDOUT")
        log.info("%s: %s: %s", "laptop", Request(Kind.DIAL, target, 443), failure)
        assert (target in path.read_text()) is targets
    assert "laptop: dial: 5 bytes up" in path.read_text()
    assert "laptop: dial: dial at the server: ETIMEDOUT" in path.read_text()


# --- where text comes in ---


def test_the_reason_of_a_close_is_made_printable_as_it_is_decoded() -> None:
    [frame] = decode_frames(ConnectionCloseFrame(1, ATTACK).encode())
    assert isinstance(frame, ConnectionCloseFrame)
    assert harmless(frame.reason)
    assert "pwned" in frame.reason


def test_a_datagram_for_what_is_no_host_is_malformed() -> None:
    assert decode_datagram(encode_datagram(ATTACK, 53, b"data")) is None


class Sent:
    """A stream that has said something."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def read_exactly(self, size: int) -> bytes:
        data, self._data = self._data[:size], self._data[size:]
        return data


async def test_the_answer_of_a_server_is_made_printable_as_it_is_decoded() -> None:
    from typing import Any

    from tandem.exchange.request import read_answer

    said: Any = Sent(Answer(Reply.GENERAL_FAILURE, ATTACK, 5, Hop.DIAL, ATTACK, ATTACK).encode())
    answer = await read_answer(said)
    for text in (answer.bound_host, answer.error, answer.detail, str(answer.failure())):
        assert harmless(text)


def test_events_are_harmless_also_those_of_an_older_file(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    EventLog(path).add("session", state="over", cause=ATTACK)
    with path.open("a") as file:
        file.write(json.dumps({"at": "1", "event": "session", "cause": ATTACK}) + "\n")
    assert len(list(read(path))) == 2
    for event in read(path):
        assert harmless(str(event))
