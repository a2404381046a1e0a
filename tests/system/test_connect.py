"""`tandem connect` as odd parents start it, and what it says when the server does not want to."""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from loopback import Pair, Target, run_tandem, tandem_command

assert sys.platform != "win32"  # see conftest.py

SIZE = 3_000_000


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    made = Pair(tmp_path_factory.mktemp("connect"))
    made.start_server()
    made.start_client(made.invite(), "--link", "a=127.0.0.2", "--link", "b=127.0.0.3")
    yield made
    made.close()


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    made = Target()
    yield made
    made.close()


def command(pair: Pair, target: Target) -> list[str]:
    return [*tandem_command(), "connect", "--proxy", pair.proxy, "127.0.0.1", str(target.port)]


def shell(words: list[str], redirection: str) -> list[str]:
    return ["sh", "-c", f'"$@" {redirection}', "sh", *words]


REQUEST = f"GET /bytes/{SIZE} HTTP/1.0\r\n\r\n".encode()


@pytest.mark.smoke
def test_a_closed_standard_input_is_one_that_has_ended(pair: Pair, target: Target) -> None:
    """The far side hears of the end, and so the connection does."""
    done = subprocess.run(shell(command(pair, target), "<&-"), capture_output=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_closed_standard_output_gets_words(pair: Pair, target: Target) -> None:
    done = subprocess.run(
        shell(command(pair, target), ">&-"), input=REQUEST, stderr=subprocess.PIPE, timeout=100, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: standard output: ")


def test_descriptors_that_do_not_wait_lose_nothing(pair: Pair, target: Target) -> None:
    reading, writing = os.pipe()
    from_us, to_child = os.pipe()
    for descriptor in (writing, from_us):
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    process = subprocess.Popen(command(pair, target), stdin=from_us, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    os.close(from_us)
    time.sleep(0.3)
    os.write(to_child, REQUEST)
    received = bytearray()
    while data := os.read(reading, 65536):
        received += data
        time.sleep(0.001)
    os.close(to_child)
    os.close(reading)
    assert process.stderr is not None
    assert (process.wait(100), process.stderr.read()) == (0, b"")
    process.stderr.close()
    assert bytes(received).partition(b"\r\n\r\n")[2] == Target.content(SIZE)


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("10.1.2.3", "server's rules: 10.1.2.3 is a private address"),
        ("nowhere.invalid", "name at the server: cannot resolve nowhere.invalid"),
        ("no-such.forward", "server's rules: no forward 'no-such'"),
    ],
)
def test_the_reason_of_a_refusal_is_told(pair: Pair, host: str, reason: str) -> None:
    done = run_tandem("connect", host, "22", "--proxy", pair.proxy, environment=pair.environment)
    assert done.returncode == 1
    assert f"error: {host}:22: {reason}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_revoked_client_is_told_so_at_once_everywhere(tmp_path: Path) -> None:
    """Applications, status and health say why; nobody waits fifteen seconds for a session that will not come."""
    made = Pair(tmp_path)
    try:
        made.start_server()
        made.start_client(made.invite(), "--link", "a=127.0.0.2", "--link", "b=127.0.0.3")
        place = ("--state", str(made.state), "--admin", f"127.0.0.1:{made.server_admin}")
        done = run_tandem("revoke", "laptop", *place, environment=made.environment)
        assert (done.returncode, "the running server has let go of it" in done.stderr) == (0, True), done.stderr
        made.wait(lambda: "does not know this client's key" in made.client_status()["session"]["reason"], "the reason")
        began = time.monotonic()
        done = run_tandem("connect", "192.0.2.1", "22", "--proxy", made.proxy, environment=made.environment)
        assert "the server does not know this client's key; ask for a new invite" in done.stderr
        assert time.monotonic() - began < 14, "it did not wait for a session"
        health = subprocess.run(
            ["curl", "-s", f"http://127.0.0.1:{made.client_admin}/healthz"],
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert b"does not know this client's key" in health.stdout
        shown = run_tandem("status", "--admin", f"127.0.0.1:{made.client_admin}", environment=made.environment)
        assert "NO SESSION (the server does not know" in " ".join(shown.stdout.split())
    finally:
        made.close()
