"""Files with invites, which stand nowhere else: none is overwritten by another client's."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from tandem.cli import main as entry
from tandem.cli.main import cli


def invite(name: str, state: Path, file: Path, *more: str) -> tuple[int, str]:
    arguments = ["invite", name, "--state", str(state), "--endpoint", "127.0.0.1:9", "-o", str(file), *more]
    done = CliRunner().invoke(cli, arguments)
    return done.exit_code, str(done.exception or "")


def test_the_invite_of_another_client_stays(tmp_path: Path) -> None:
    state, file = tmp_path / "state", tmp_path / "one.invite"
    assert invite("one", state, file)[0] == 0
    before = file.read_text()
    code, said = invite("two", state, file)
    assert code == 1
    assert "has the invite of one" in said
    assert file.read_text() == before
    assert invite("two", state, tmp_path / "two.invite")[0] == 0, "the name is not taken by the attempt"


def test_a_client_s_own_invite_and_other_files_are_replaced(tmp_path: Path) -> None:
    state, file = tmp_path / "state", tmp_path / "one.invite"
    file.write_text("a note\n")
    assert invite("one", state, file)[0] == 0
    before = file.read_text()
    assert invite("one", state, file, "--replace")[0] == 0
    assert file.read_text() != before


def test_a_file_of_another_user_is_an_error_in_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(**options: object) -> None:
        raise PermissionError(13, "Permission denied", "/var/lib/tandem/clients")

    monkeypatch.setattr(entry.cli, "main", refuse)
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert "error: /var/lib/tandem/clients: Permission denied" in said
    assert "another user" in said
