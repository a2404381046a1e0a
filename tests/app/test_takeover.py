"""Clients of release 0.1 come into the registry once, and their invites stay good."""

import base64
import json
import logging
import os
from pathlib import Path

import pytest

from tandem.base.errors import TandemError
from tandem.config.server_sections import RegistryConfig
from tandem.registry.opening import open_registry
from tandem.registry.takeover import TAKEN_OVER


def write(state: Path, name: str, content: str | None = None, *, number: int = 1) -> Path:
    """A client's file as release 0.1 wrote it."""
    path = state / "clients" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    key = base64.b64encode(bytes([number]) * 32).decode()
    record = {"name": name, "public_key": key, "created": "2026-11-01T08:00:00Z"}
    path.write_text(json.dumps(record) if content is None else content)
    return path


def names(state: Path) -> list[str]:
    registry = open_registry(RegistryConfig(), state)
    registry.close()
    return [item.name for item in registry.all()]


def test_files_are_taken_over_once_with_their_times(tmp_path: Path) -> None:
    write(tmp_path, "laptop", number=1)
    write(tmp_path, "phone", number=2)
    (tmp_path / "seen").mkdir()
    (tmp_path / "seen" / "phone").touch()
    os.utime(tmp_path / "seen" / "phone", (1_700_000_000, 1_700_000_000))
    registry = open_registry(RegistryConfig(), tmp_path)
    phone = registry.find(b"\2" * 32)
    assert phone is not None
    assert (phone.name, phone.created, phone.seen_at) == ("phone", "2026-11-01T08:00:00Z", 1_700_000_000)
    assert registry.get("laptop").seen_at is None
    registry.remove("laptop")
    registry.close()
    assert names(tmp_path) == ["phone"], "what was removed does not come back"
    assert sorted(path.name for path in (tmp_path / TAKEN_OVER).iterdir()) == ["laptop.json", "phone.json"]


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", "\0\1", "[" * 9999, '{"name": "bad"}'),
        '{"public_key": "???", "created": ""}',
        '{"public_key": "AAAA", "created": ""}',
    ],
)
def test_a_bad_file_is_told_and_all_others_count(
    content: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "bad", content)
    write(tmp_path, "laptop")
    write(tmp_path, ".hidden", number=3)
    assert names(tmp_path) == ["laptop"]
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "bad.json" in caplog.text
    assert "invite that client again" in caplog.text
    assert (tmp_path / TAKEN_OVER / "bad.json").read_text() == content


def test_a_name_or_a_key_that_is_taken_already_stays_with_whom_it_belongs_to(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Files of a backup beside a registry that has gone on."""
    caplog.set_level(logging.INFO)
    registry = open_registry(RegistryConfig(), tmp_path)
    registry.add("laptop", b"\1" * 32)
    registry.add("phone", b"\2" * 32)
    registry.close()
    write(tmp_path, "laptop", number=9)
    write(tmp_path, "copy", number=2)
    write(tmp_path, "phone", number=2)
    write(tmp_path, "new", number=4)
    assert names(tmp_path) == ["laptop", "new", "phone"]
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 2
    assert any("laptop.json" in text for text in errors)
    assert any("copy.json" in text for text in errors)
    registry = open_registry(RegistryConfig(), tmp_path)
    assert registry.get("laptop").public_key == b"\1" * 32
    registry.close()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    write(tmp_path / "elsewhere", "laptop")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "clients").symlink_to(tmp_path / "elsewhere" / "clients")
    with pytest.raises(TandemError, match="it is a link"):
        names(tmp_path / "state")


def test_an_older_directory_that_was_kept_is_not_lost_to_a_second_one(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        write(tmp_path, f"c{number}", number=number)
        assert names(tmp_path)[-1] == f"c{number}"
    assert len(list(tmp_path.glob(f"{TAKEN_OVER}*/*.json"))) == 3
