"""The real thing: two processes, real sockets, curl, ssh, PySocks. No test measures time."""

import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import socks

from loopback import Gate, Pair, Sshd, Target, free_port, link_options, run_tandem, tandem_command

assert sys.platform != "win32"  # see conftest.py

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


@pytest.mark.smoke
@needs_curl
def test_curl_through_twenty_percent_loss_on_both_links(pair: Pair, gates: list[Gate], target: Target) -> None:
    invite = pair.invite()
    pair.start_server()
    pair.start_client(invite, *link_options(gates))
    for gate in gates:
        gate.loss = 0.20
    size = 10_000_000
    done = pair.curl(target.url(f"bytes/{size}"))
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(done.stdout).hexdigest() == Target.sha256(size)
    status = pair.client_status()
    assert status["role"] == "client"
    assert [link["name"] for link in status["links"]] == ["a", "b"]
    assert all(0.1 < link["loss_down"] < 0.3 for link in status["links"])


@needs_curl
def test_a_transfer_outlives_an_outage_of_both_links_with_one_link_dead_from_the_start(
    pair: Pair, gates: list[Gate], target: Target
) -> None:
    gates[0].is_cut = True
    invite = pair.invite()
    pair.start_server()
    pair.start_client(invite, *link_options(gates))
    size = 45_000_000  # more than windows and buffers hold, however late we look
    result: list[subprocess.CompletedProcess[bytes]] = []
    limited = threading.Thread(
        target=lambda: result.append(pair.curl(target.url(f"bytes/{size}"), "--limit-rate", "4M"))
    )
    limited.start()
    pair.wait(lambda: pair.client_status()["session"]["bytes_down"] > 1_000_000, "data")
    gates[1].is_cut = True
    time.sleep(20)
    assert pair.session_state() == "outage"
    assert limited.is_alive()
    gates[1].is_cut = False
    limited.join()
    assert result[0].returncode == 0, result[0].stderr
    assert hashlib.sha256(result[0].stdout).hexdigest() == Target.sha256(size)
    assert target.connections == 1
    assert pair.client_status()["session"]["streams_total"] == 1
    # After the outage each link is asked anew; the download may be over before that is known to be in vain.
    pair.wait(lambda: pair.client_status()["links"][0]["state"] == "down", "the link that is dead")
    assert pair.client_status()["links"][0]["reason"] == "never answered"


@needs_curl
def test_reply_codes_and_forwards(pair: Pair, target: Target) -> None:
    invite = pair.invite()
    web = free_port()
    pair.start_server("--forward", f"web=127.0.0.1:{target.port}")
    pair.start_client(invite, "--link", "a=127.0.0.2", "--link", "b=127.0.0.3", "--listen", f"{web}=web")
    by_name = pair.curl("http://web.forward/bytes/1000")
    assert by_name.stdout == Target.content(1000)
    by_port = subprocess.run(
        ["curl", "-sS", f"http://127.0.0.1:{web}/bytes/2000"], capture_output=True, timeout=60, check=False
    )
    assert by_port.stdout == Target.content(2000)
    for url, reply in (
        (f"http://127.0.0.1:{free_port()}/", 5),
        ("http://nowhere.invalid/", 4),
        ("http://10.255.255.1/", 2),
        ("http://169.254.169.254/", 2),
        ("http://[::ffff:10.0.0.1]/", 2),
        ("http://unknown.forward/", 4),
    ):
        done = pair.curl(url)
        assert done.returncode == 97, (url, done)
        assert f"({reply})".encode() in done.stderr, (url, done.stderr)


@pytest.mark.smoke
def test_half_close_and_reset_with_pysocks(pair: Pair, target: Target) -> None:
    invite = pair.invite()
    pair.start_server()
    pair.start_client(invite, "--link", "a=127.0.0.2", "--link", "b=127.0.0.3")

    def dial() -> socks.socksocket:
        sock = socks.socksocket()
        sock.set_proxy(socks.SOCKS5, "127.0.0.1", pair.socks_port)
        sock.settimeout(60)
        sock.connect(("127.0.0.1", target.port))
        return sock

    with dial() as sock:
        sock.sendall(b"POST /count HTTP/1.1\r\n\r\n" + bytes(3_000_000))
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(100) == b"3000000"
        assert sock.recv(100) == b""
    with dial() as sock:
        sock.sendall(b"GET /reset HTTP/1.1\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            sock.recv(100)
    pair.wait(lambda: pair.client_status()["session"]["streams_open"] == 0, "end of the streams")


@pytest.mark.smoke
@pytest.mark.skipif(os.geteuid() != 0, reason="sshd needs root to log a user in")
@pytest.mark.skipif(shutil.which("ssh") is None or not Path(SSHD).exists(), reason="no OpenSSH client and server")
def test_ssh_logs_in_and_copies_a_file(pair: Pair, gates: list[Gate], tmp_path: Path) -> None:
    sshd = Sshd(SSHD, tmp_path)
    try:
        invite = pair.invite()
        pair.start_server()
        pair.start_client(invite, *link_options(gates))
        for gate in gates:
            gate.loss = 0.10
        data = os.urandom(3_000_000)
        copied = sshd.run(
            f"{' '.join(tandem_command())} connect --proxy {pair.proxy} %h %p",
            f"cat > {tmp_path}/copy && cat {tmp_path}/copy && echo ok >&2",
            data,
        )
        assert copied.returncode == 0, copied.stderr
        assert copied.stdout == data
        assert copied.stderr == b"ok\n"
        assert (tmp_path / "copy").read_bytes() == data
    finally:
        sshd.close()


def test_invites_take_effect_in_a_running_server_and_revoking_too(pair: Pair) -> None:
    from loopback import run_tandem

    pair.start_server()
    invite = pair.invite("late")
    pair.start_client(invite, "--link", "a=127.0.0.2", "--link", "b=127.0.0.3")
    done = run_tandem("revoke", "late", "--state", str(pair.state), environment=pair.environment)
    assert done.returncode == 0, done.stderr
    pair.wait(lambda: "does not know this client's key" in pair.log("client"), "refusal")
    assert pair.session_state() == "connecting"


def test_unknown_links_are_tried_again_and_do_no_harm(pair: Pair) -> None:
    invite = pair.invite()
    pair.start_server()
    pair.start_client(invite, "--link", "gone=192.0.2.77", "--link", "none=nosuchif0", "--link", "b=127.0.0.3")
    states = {link["name"]: (link["state"], link["reason"]) for link in pair.client_status()["links"]}
    assert states["gone"] == ("down", "this machine has no address 192.0.2.77 now")
    assert states["none"] == ("down", "there is no interface nosuchif0 now, or it is down")
    assert states["b"][0] in ("usable", "degraded")


def test_sigterm_ends_both_with_success(pair: Pair) -> None:
    invite = pair.invite()
    pair.start_server()
    pair.start_client(invite, "--link", "a=127.0.0.2", "--link", "b=127.0.0.3")
    assert pair.client is not None
    assert pair.server is not None
    pair.client.send_signal(signal.SIGTERM)
    assert pair.client.wait(timeout=60) == 0
    pair.wait(lambda: "the client shuts down" in pair.log("server"), "goodbye")
    pair.server.send_signal(signal.SIGTERM)
    assert pair.server.wait(timeout=60) == 0
    assert "Traceback" not in pair.log("client") + pair.log("server")
    assert "tandem://1/" not in pair.log("client") + pair.log("server")


@pytest.mark.smoke
@needs_curl
def test_the_demo_works(pair: Pair, target: Target) -> None:
    for port in (8120, 8121):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                pytest.skip(f"UDP port {port}, which the demo uses, is taken")
    log = (pair.directory / "demo.log").open("wb")
    demo = subprocess.Popen(
        [*tandem_command(), "demo", "--socks", pair.proxy],
        env={**os.environ, **pair.environment},
        stdout=log,
        stderr=log,
    )
    try:
        pair.wait(lambda: "session with the server is up" in pair.log("demo"), "session in the demo")
        done = pair.curl(target.url("bytes/500000"))
        assert done.stdout == Target.content(500_000), (done.stderr, pair.log("demo"))
        tried = re.search(rf"curl -x socks5h://{pair.proxy} (http://\S+)", pair.log("demo"))
        assert tried is not None, "what the demo says can be typed"
        assert b"It works" in pair.curl(tried[1]).stdout
    finally:
        demo.send_signal(signal.SIGINT)
        assert demo.wait(timeout=60) == 0
        log.close()


@needs_curl
def test_the_mode_is_changed_while_running(pair: Pair, target: Target) -> None:
    invite = pair.invite()
    pair.start_server()
    pair.start_client(invite, "--link", "a=127.0.0.2", "--link", "b=127.0.0.3", "--mode", "duplicate")
    place = ("--admin", f"127.0.0.1:{pair.client_admin}")
    assert pair.client_status()["mode"] == "duplicate"
    done = run_tandem("mode", "adaptive", *place, environment=pair.environment)
    assert (done.returncode, done.stdout) == (0, "mode adaptive\n")
    assert pair.client_status()["mode"] == "adaptive"
    size = 6_000_000
    done_curl = pair.curl(target.url(f"bytes/{size}"))
    assert hashlib.sha256(done_curl.stdout).hexdigest() == Target.sha256(size)
    status = pair.status(pair.server_admin)
    assert status is not None
    [session] = status["sessions"]
    assert session["copy_bytes"] < 0.9 * size, "it is not all sent twice"
    wrong = run_tandem("mode", "fast", *place, environment=pair.environment)
    assert wrong.returncode == 2
    server = run_tandem("mode", "adaptive", "--admin", f"127.0.0.1:{pair.server_admin}", environment=pair.environment)
    assert server.returncode == 1
    assert "the command is for a client" in server.stderr


@needs_curl
@pytest.mark.parametrize("fast_open", ["off", "known"])
def test_a_target_that_was_reached_is_expected_to_answer(
    pair: Pair, fast_open: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TANDEM_SOCKS__FAST_OPEN", fast_open)
    pair.start_server()
    pair.start_client(pair.invite(), "--link", "a=127.0.0.2", "--link", "b=127.0.0.3")
    target = Target()
    url = target.url("bytes/1000")
    assert pair.curl(url).returncode == 0
    assert pair.curl(url).stdout == Target.content(1000)
    target.close()
    socks_failed, cut_short = 97, (52, 56)
    done = pair.curl(url)
    assert done.returncode == socks_failed if fast_open == "off" else done.returncode in cut_short, done.stderr
    assert pair.curl(url).returncode == socks_failed, "known no more"
