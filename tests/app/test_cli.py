"""The command line as its users meet it: help, messages, exit codes."""

import json
import os
import pwd
import re
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from loopback import free_port, run_tandem
from tandem.base.directories import default_directory
from tandem.base.errors import UsageError
from tandem.cli.main import cli
from tandem.config import config
from tandem.config.passwords import verify


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "run"), "HOME": str(tmp_path)}


COMMANDS = [
    *("server", "invite", "clients", "revoke", "client", "connect", "status", "demo"),
    *("mode", "drill", "events", "speedtest", "password", "config", "completion", "doctor"),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    done = CliRunner().invoke(cli, [command, "--help"])
    assert done.exit_code == 0
    assert done.output.startswith(f"Usage: cli {command} ")


def test_the_version_says_how_the_core_runs() -> None:
    done = run_tandem("--version")
    assert done.returncode == 0
    assert "protocol core interpreted" in done.stdout or "protocol core compiled" in done.stdout


def test_connect_starts_without_the_transport() -> None:
    """ssh waits for it at every login."""
    code = "import sys, tandem.cli.main, tandem.cli.connect\n"
    code += "print([name in sys.modules for name in ('tandem_transport', 'pydantic')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[False, False]"


def test_an_invite_without_an_endpoint_is_a_usage_error_with_a_hint(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    done = run_tandem("invite", "laptop", "--state", str(tmp_path / "s"), environment=environment)
    assert done.returncode == 2
    assert "error: no endpoint" in done.stderr
    assert "hint: --endpoint HOST:8120" in done.stderr
    assert not (tmp_path / "s" / "clients").exists()


def test_an_invite_from_the_command_line_a_file_and_standard_input(tmp_path: Path, environment: dict[str, str]) -> None:
    made = run_tandem(
        "invite", "laptop", "--state", str(tmp_path / "s"), "--endpoint", "127.0.0.1:9", "--qr", environment=environment
    )
    assert made.returncode == 0
    invite = made.stdout.splitlines()[0]
    assert len(made.stdout.splitlines()) > 10, "the QR code"
    file = tmp_path / "invite"
    file.write_text(invite)
    file.chmod(0o644)
    open_file = run_tandem("client", f"@{file}", environment=environment)
    assert open_file.returncode == 2
    assert f"hint: chmod 600 {file}" in open_file.stderr
    file.chmod(0o600)
    taken = run_tandem("client", f"@{file}", "--link", "a=127.0.0.2", "--socks", "nonsense", environment=environment)
    assert taken.returncode == 2
    assert "option --socks: " in taken.stderr
    piped = run_tandem("client", "-", "--link", "broken", environment=environment, stdin=invite)
    assert (piped.returncode, "--link: 'broken'" in piped.stderr) == (2, True)
    visible = run_tandem("client", invite, "--socks", "127.0.0.1:0", environment=environment)
    assert visible.returncode == 2
    broken = run_tandem("client", "-", "--link", "a=127.0.0.2", environment=environment, stdin=invite[:-3])
    assert broken.returncode == 2
    assert "checksum" in broken.stderr
    assert invite[15:40] not in broken.stderr + visible.stderr + taken.stderr


def test_no_invite_at_all(environment: dict[str, str]) -> None:
    done = run_tandem("client", "--link", "a=127.0.0.2", environment=environment)
    assert done.returncode == 2
    assert "error: no invite" in done.stderr


def test_an_unknown_mode(environment: dict[str, str]) -> None:
    done = run_tandem("client", "--mode", "fast", environment=environment)
    assert done.returncode == 2
    assert "mode: input should be 'duplicate' or 'adaptive', got 'fast'" in done.stderr


def test_a_server_address_that_this_machine_does_not_have(tmp_path: Path, environment: dict[str, str]) -> None:
    done = run_tandem("server", "--state", str(tmp_path), "--listen", "192.0.2.1:8120", environment=environment)
    assert done.returncode == 1
    assert "error: udp 192.0.2.1:8120: Cannot assign requested address" in done.stderr
    assert "--listen HOST:PORT takes an address of this machine" in done.stderr


def test_a_server_port_in_use(tmp_path: Path, environment: dict[str, str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{sock.getsockname()[1]}"
        done = run_tandem("server", "--state", str(tmp_path), "--listen", place, environment=environment)
    assert done.returncode == 1
    assert f"error: udp {place}: Address already in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_status_with_nothing_running(environment: dict[str, str]) -> None:
    done = run_tandem("status", "--admin", f"127.0.0.1:{free_port()}", environment=environment)
    assert done.returncode == 1
    assert "error: no Tandem answers" in done.stderr


def test_a_port_of_somebody_else_is_no_admin_endpoint(environment: dict[str, str]) -> None:
    for said in (b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.0 404 Not Found\r\n\r\nnothing", b"HTTP/1.0 200 OK\r\n\r\nhello"):
        with socket.create_server(("127.0.0.1", 0)) as stranger:

            def answer(said: bytes = said, stranger: socket.socket = stranger) -> None:
                connection, _ = stranger.accept()
                with connection:
                    connection.recv(1000)
                    connection.sendall(said)

            thread = threading.Thread(target=answer)
            thread.start()
            place = f"127.0.0.1:{stranger.getsockname()[1]}"
            done = run_tandem("status", "--admin", place, environment=environment)
            thread.join()
        assert done.returncode == 1
        assert f"error: {place} is not the admin endpoint of a Tandem" in done.stderr


def test_connect_without_a_client(environment: dict[str, str]) -> None:
    done = run_tandem("connect", "host", "22", "--proxy", f"127.0.0.1:{free_port()}", environment=environment)
    assert done.returncode == 1
    assert "error: no SOCKS port" in done.stderr


def test_a_wrong_option_is_a_usage_error() -> None:
    assert run_tandem("client", "--nonsense").returncode == 2
    assert run_tandem("nonsense").returncode == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands(shell: str) -> None:
    done = run_tandem("completion", shell)
    assert done.returncode == 0
    assert "_TANDEM_COMPLETE" in done.stdout
    asked = run_tandem(environment={"_TANDEM_COMPLETE": "bash_complete", "COMP_WORDS": "tandem cl", "COMP_CWORD": "1"})
    assert asked.stdout.splitlines() == ["plain,client", "plain,clients"]


def test_a_configuration_is_checked_and_told_without_its_secrets(tmp_path: Path, environment: dict[str, str]) -> None:
    file = tmp_path / "tandem.toml"
    links = '[[link]]\nname = "a"\nbind = "eth0"\n[[link]]\nname = "b"\nbind = "usb*"\n'
    file.write_text('mode = "duplicate"\n[admin]\ntoken = "hunter2-hunter2-hunter2"\n' + links)
    shared = run_tandem("config", "check", "--config", str(file), environment=environment)
    assert (shared.returncode, f"hint: chmod 600 {file}" in shared.stderr) == (2, True), shared.stderr
    file.chmod(0o600)
    done = run_tandem("config", "check", "--config", str(file), environment=environment)
    assert done.returncode == 0, done.stderr
    assert f"# {file}: in order" in done.stdout
    for text in ('mode = "duplicate"', 'token = "***"', '[[link]]\nname = "a"\nbind = "eth0"', 'bind = "usb*"'):
        assert text in done.stdout
    assert "hunter2" not in done.stdout + done.stderr
    again = tmp_path / "again.toml"
    again.write_text(done.stdout.replace('"***"', '"0123456789abcdef"'))
    again.chmod(0o600)
    assert run_tandem("config", "check", "--config", str(again), environment=environment).returncode == 0


def test_the_reference_is_up_to_date() -> None:
    """`tandem config reference > docs/configuration-reference.md`."""
    done = run_tandem("config", "reference")
    path = Path(__file__).parent.parent.parent / "docs" / "configuration-reference.md"
    assert done.stdout == path.read_text()


def test_a_password_from_standard_input(environment: dict[str, str]) -> None:
    done = run_tandem("password", environment=environment, stdin="secret\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert verify("secret", done.stdout.strip())
    nothing = run_tandem("password", environment=environment, stdin="")
    assert nothing.returncode == 2
    assert "error: no password" in nothing.stderr


def test_an_invite_may_be_a_file_that_the_configuration_or_the_environment_names(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    place = ("--state", str(tmp_path / "s"), "--endpoint", "127.0.0.1:9")
    file, config = tmp_path / "invite", tmp_path / "tandem.toml"
    file.write_text(run_tandem("invite", "laptop", *place, environment=environment).stdout)
    file.chmod(0o600)
    config.write_text('invite = "@~/invite"\n')
    config.chmod(0o644)  # it holds no secret
    with socket.create_server(("127.0.0.1", 0)) as taken:
        arguments = ("client", "--link", "a=127.0.0.2", "--socks", f"127.0.0.1:{taken.getsockname()[1]}")
        admin = ("--admin", f"127.0.0.1:{free_port()}")
        for given, more in ((("--config", str(config)), dict[str, str]()), ((), {"TANDEM_INVITE": f"@{file}"})):
            done = run_tandem(*arguments, *admin, *given, environment=environment | more)
            assert "error: SOCKS port " in done.stderr, "the invite was read"
    file.chmod(0o644)
    done = run_tandem("client", "--config", str(config), environment=environment)
    assert "others can read this invite" in done.stderr


def test_a_name_that_does_not_resolve_is_told_and_the_invite_is_made(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    place = ("--state", str(tmp_path / "s"), "--endpoint", "nowhere.invalid:9")
    done = run_tandem("invite", "laptop", *place, environment=environment)
    assert done.returncode == 0
    assert done.stdout.startswith("tandem://1/")
    assert done.stderr.startswith("warning: nowhere.invalid cannot be resolved here")
    for host in ("x" * 70 + ".example", ".example"):
        done = run_tandem("invite", "laptop", "--replace", *place[:3], f"{host}:9", environment=environment)
        assert done.stdout.startswith("tandem://1/")
        assert f"warning: {host} cannot be resolved here" in done.stderr


def test_shells_complete_names_and_files(tmp_path: Path, environment: dict[str, str]) -> None:
    state = tmp_path / "s"
    for name in ("laptop", "phone"):
        run_tandem("invite", name, "--state", str(state), "--endpoint", "127.0.0.1:9", environment=environment)
    (tmp_path / "my.invite").write_text("")

    def complete(line: str) -> list[str]:
        words = {"_TANDEM_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
        done = run_tandem(environment=environment | words)
        return [item.removeprefix("plain,") for item in done.stdout.split()]

    assert complete(f"tandem revoke --state {state} l") == ["laptop"]
    assert complete(f"tandem client @{tmp_path}/my") == [f"@{tmp_path}/my.invite"]
    assert complete("tandem drill wifi l") == ["loss=20%"]
    assert complete("tandem drill w") == [], "no client runs, and nothing is said of that"


# --- who may come ---


def test_an_invite_goes_to_a_private_file_and_never_empties_a_good_one(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    file = tmp_path / "laptop.invite"
    arguments = ("invite", "laptop", "--state", str(tmp_path / "s"), "--endpoint", "127.0.0.1:9", "-o", str(file))
    done = run_tandem(*arguments, environment=environment)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    good = file.read_text()
    assert good.startswith("tandem://1/")
    again = run_tandem(*arguments, environment=environment)
    assert again.returncode == 2
    assert "registered already" in again.stderr
    assert file.read_text() == good
    nowhere = run_tandem(*arguments[:-1], str(tmp_path / "no" / "x"), "--replace", environment=environment)
    assert nowhere.returncode == 2
    assert "No such file or directory" in nowhere.stderr
    listed = run_tandem("clients", "--state", str(tmp_path / "s"), environment=environment)
    assert listed.stdout.startswith("laptop\t"), "it has its old key"


def test_the_terms_of_a_client_are_set_shown_and_listed(tmp_path: Path, environment: dict[str, str]) -> None:
    place = ("--state", str(tmp_path / "s"))

    def clients(*arguments: str) -> str:
        done = run_tandem("clients", *arguments, *place, environment=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run_tandem("invite", "laptop", *place, "--endpoint", "127.0.0.1:9", environment=environment)
    words = ("--quota", "50GB/month", "--month-begins", "15", "--rate", "20Mbit/s", "--note", "hers")
    assert clients("set", "laptop", *words) == "laptop: 50 GB a month (from day 15), 20 Mbit/s\n"
    clients("set", "laptop", "--expires", "2027-03-01", "--max-streams", "9")
    clients("disable", "laptop")
    listed = clients().rstrip("\n").split("\t")
    assert (listed[0], listed[2], listed[3], listed[5]) == ("laptop", "never", "0 B", "hers")
    limits = "disabled, 50 GB a month (from day 15), 20 Mbit/s, 9 connections, expires 2027-03-01 00:00 UTC"
    assert listed[4] == limits
    shown = json.loads(clients("show", "laptop", "--json"))
    assert json.loads(clients("list", "--json")) == [shown]
    assert (shown["quota_bytes"], shown["month_begins"], shown["rate_bps"]) == (50 * 10**9, 15, 20 * 10**6)
    assert (shown["disabled"], shown["connected"], shown["expires"]) == (True, False, 1803859200)
    assert "which begins anew 20" in clients("show", "laptop")
    clients("enable", "laptop")
    clients("kick", "laptop")
    nothing = [f"--{name}=none" for name in ("quota", "rate", "expires", "max-streams")]
    assert clients("set", "laptop", *nothing) == "laptop: no limits\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "nobody"), "registered: laptop"),
        (("kick", "nobody"), "registered: laptop"),
        (("disable", "nobody"), "registered: laptop"),
        (("set", "nobody", "--rate", "none"), "registered: laptop"),
        (("set", "laptop"), "nothing to change"),
        (("set", "laptop", "--quota", "50"), "SIZE/day or SIZE/month"),
        (("set", "laptop", "--expires", "tomorrow"), "a date such as 2027-03-01"),
    ],
)
def test_mistakes_about_clients(
    arguments: tuple[str, ...], said: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    place = ("--state", str(tmp_path / "s"))
    run_tandem("invite", "laptop", *place, "--endpoint", "127.0.0.1:9", environment=environment)
    done = run_tandem("clients", *arguments, *place, environment=environment)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [("clients",), ("clients", "kick", "laptop"), ("revoke", "laptop"), ("servers",)])
def test_a_mistaken_state_directory_is_told_and_gets_no_registry(
    command: tuple[str, ...], tmp_path: Path, environment: dict[str, str]
) -> None:
    (tmp_path / "s").mkdir()
    done = run_tandem(*command, "--state", str(tmp_path / "s"), environment=environment)
    assert done.returncode == 1
    assert "there is none" in done.stderr
    assert not list((tmp_path / "s").iterdir())


def test_a_service_that_knows_the_clients_is_told_of_by_the_commands(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    environment = environment | {"TANDEM_REGISTRY__URL": "http://127.0.0.1:9/auth"}
    place = ("--state", str(tmp_path / "s"))
    made = run_tandem("invite", "laptop", *place, "--endpoint", "127.0.0.1:9", environment=environment)
    assert made.returncode == 0
    assert "must know laptop by its public key: " in made.stderr
    assert made.stdout.startswith("tandem")
    done = run_tandem("clients", *place, environment=environment)
    assert done.returncode == 2
    assert "its clients are changed there" in done.stderr


def test_revoke_says_that_no_server_was_asked(tmp_path: Path, environment: dict[str, str]) -> None:
    state = tmp_path / "s"
    run_tandem("invite", "laptop", "--state", str(state), "--endpoint", "127.0.0.1:9", environment=environment)
    place = ("--state", str(state), "--admin", f"127.0.0.1:{free_port()}")
    done = run_tandem("revoke", "laptop", *place, environment=environment)
    assert (done.returncode, done.stdout) == (0, "laptop is removed\n")
    assert "note: no running server was asked" in done.stderr


def test_the_qr_code_has_colours_of_its_own(tmp_path: Path, environment: dict[str, str]) -> None:
    """Dark on light in a dark terminal and in a light one: an inverted code is read by few."""
    place = ("--state", str(tmp_path / "s"), "--endpoint", "127.0.0.1:9")
    made = run_tandem("invite", "laptop", *place, "--qr", environment=environment)
    rows = made.stdout.splitlines()[1:]
    assert len(rows) > 40
    assert all(row.startswith("\x1b[107m  ") and row.endswith("\x1b[0m") for row in rows), "a light border"
    assert set(re.sub("\x1b\\[(107|40|0)m", "", "".join(rows))) == {" "}


# --- no tracebacks ---


def no_such_user(uid: int) -> None:
    raise KeyError(uid)


def test_a_user_without_a_home_gets_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's user that is in no list, or cron without HOME."""
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "STATE_DIRECTORY", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    monkeypatch.setattr(pwd, "getpwuid", no_such_user)
    assert config.default_file() in (None, Path("/etc/tandem/tandem.toml"))
    with pytest.raises(UsageError, match="user 54321 has no home directory") as caught:
        default_directory()
    assert caught.value.hint == "set HOME, or XDG_STATE_HOME"


def test_a_configuration_that_cannot_be_looked_for_gets_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """`~/.config`, once made by root."""

    def refuse(self: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(UsageError, match=r"tandem\.toml: Permission denied") as caught:
        config.default_file()
    assert "--config FILE" in caught.value.hint


def test_what_cannot_be_read_gets_words(tmp_path: Path, environment: dict[str, str]) -> None:
    """A file as Windows writes it is read; a directory in a file's place is told."""
    (tmp_path / "state").write_text("not a directory")
    done = run_tandem("server", "--state", str(tmp_path / "state"), environment=environment)
    assert done.returncode == 2
    assert "is no directory" in done.stderr
    for encoding in ("utf-16", "utf-8-sig"):
        file = tmp_path / "tandem.toml"
        file.write_bytes('mode = "duplicate"\r\n'.encode(encoding))
        done = run_tandem("config", "check", "--config", str(file), environment=environment)
        assert (done.returncode, 'mode = "duplicate"' in done.stdout) == (0, True), done.stderr
        invite = tmp_path / "invite"
        place = ("--state", str(tmp_path / encoding), "--endpoint", "127.0.0.1:9")
        made = run_tandem("invite", "laptop", *place, environment=environment)
        invite.write_bytes((made.stdout.strip() + "\r\n").encode(encoding))
        invite.chmod(0o600)
        taken = run_tandem("client", f"@{invite}", "--link", "broken", environment=environment)
        assert "--link: 'broken'" in taken.stderr, "the invite was read"
    (tmp_path / "tandem.toml").write_bytes(b"\x80\x81\x82")
    done = run_tandem("config", "check", "--config", str(tmp_path / "tandem.toml"), environment=environment)
    assert (done.returncode, "it is no text in UTF-8" in done.stderr) == (2, True)


def test_a_port_for_everybody_needs_networks_for_a_forward_too(environment: dict[str, str]) -> None:
    done = run_tandem("client", "--listen", "0.0.0.0:8128=web", environment=environment)
    assert done.returncode == 2
    assert "0.0.0.0:8128 would be open to everybody who reaches it" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_gets_words(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "tandem", "config", "reference"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            command, env=os.environ | environment, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert done.returncode == 1
    assert done.stderr == b"error: standard output: No space left on device\n"
