"""Commands that show or change a running client or server."""

import pytest
from click.testing import CliRunner

from tandem.admin.status import ClientStatus, SessionStatus
from tandem.base.errors import TandemError
from tandem.cli.main import cli


def test_mode_without_an_argument_says_which_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    counts = dict.fromkeys(("streams_open", "streams_total", "bytes_up", "bytes_down", "copy_bytes", "rescued"), 0)
    session = SessionStatus.model_validate({"state": "up", "server": None, **counts})
    status = ClientStatus(uptime_s=60, mode="adaptive", session=session, links=[])

    def ask(_places: object, path: str, body: object = None) -> dict[str, object]:
        asked.append(path)
        return status.model_dump() if body is None else {}

    monkeypatch.setattr("tandem.admin.admin_client.ask", ask)
    assert CliRunner().invoke(cli, ["mode"]).output == "mode adaptive\n"
    assert CliRunner().invoke(cli, ["mode", "duplicate"]).output == "mode duplicate\n"
    assert asked == ["/status", "/mode"]


def answer_of_a_server(_places: object, _path: str) -> dict[str, object]:
    return {"role": "server"}


def test_a_server_has_no_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tandem.admin.admin_client.ask", answer_of_a_server)
    with pytest.raises(TandemError, match="a server has no mode"):
        CliRunner().invoke(cli, ["mode", "--admin", "127.0.0.1:8118"], catch_exceptions=False, standalone_mode=False)
