"""The command line as its users meet it: help, messages, exit codes."""

import socket
import threading
from pathlib import Path

import pytest

from loopback import free_port, run_tandem
from tandem.passwords import verify


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "run"), "HOME": str(tmp_path)}


COMMANDS = [
    *("server", "invite", "clients", "revoke", "client", "connect", "status", "demo"),
    *("mode", "drill", "events", "speedtest", "password", "config", "completion", "doctor"),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    done = run_tandem(command, "--help")
    assert done.returncode == 0
    assert "Usage: " in done.stdout


def test_the_version_says_how_the_core_runs() -> None:
    done = run_tandem("--version")
    assert done.returncode == 0
    assert "protocol core interpreted" in done.stdout or "protocol core compiled" in done.stdout


def test_connect_starts_without_the_transport() -> None:
    """ssh waits for it at every login."""
    import subprocess
    import sys

    code = "import sys, tandem.cli, tandem.connect; print([n in sys.modules for n in ('tandem_transport', 'pydantic')])"
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
    import socket

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
