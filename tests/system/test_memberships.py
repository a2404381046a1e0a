"""The registry of running servers: its changes come into force, its faults let nobody in and throw nobody out."""

import json
import signal
import sqlite3
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import postgres
from loopback.processes import Pair, run_tandem

LINKS = ("--link", "a=127.0.0.2", "--link", "b=127.0.0.3")


def clients(pair: Pair, *arguments: str) -> str:
    done = run_tandem("clients", *arguments, "--state", str(pair.state), environment=pair.environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def problem(pair: Pair) -> str:
    status = pair.status(pair.server_admin)
    assert status is not None
    return str(status["registry_problem"])


def reason(pair: Pair) -> str:
    """Why the client has no session, as its user reads it."""
    return str(pair.client_status()["session"]["reason"])


@pytest.mark.smoke
def test_terms_come_into_force_in_running_sessions_and_the_client_is_told_why(pair: Pair) -> None:
    invite = pair.invite()
    pair.start_server()
    pair.start_client(invite, *LINKS)
    pair.wait(lambda: "\tnow\t" in clients(pair), "who is connected")
    clients(pair, "kick", "laptop")
    pair.wait(lambda: "the server's owner has ended this session" in pair.log("client"), "the end of the session")
    pair.wait(lambda: pair.session_state() == "up", "the next session")
    clients(pair, "disable", "laptop")
    pair.wait(lambda: "the server's owner has disabled this client" in reason(pair), "a refusal")
    pair.wait(lambda: "\tnow\t" not in clients(pair), "who is connected")
    clients(pair, "enable", "laptop")
    pair.wait(lambda: pair.session_state() == "up", "the next session")
    metrics = pair.curl(f"http://127.0.0.1:{pair.server_admin}/metrics")
    assert len(metrics.stdout) > 1000, metrics
    clients(pair, "set", "laptop", "--quota", "1kB/day")
    pair.wait(lambda: "has carried as much data as it may, until 20" in reason(pair), "a refusal")
    assert "quota of 1 kB a day is used up until 20" in pair.log("client")
    pair.wait(lambda: json.loads(clients(pair, "show", "laptop", "--json"))["used_bytes"] > 1000, "what it has used")
    clients(pair, "set", "laptop", "--quota", "none", "--expires", "2020-01-01")
    pair.wait(lambda: "time has run out" in reason(pair), "a refusal")


def test_the_admin_endpoint_does_what_the_commands_do(pair: Pair) -> None:
    invite = pair.invite()
    pair.start_server()
    pair.start_client(invite, *LINKS)
    token = next((pair.directory / "run").rglob(f"*{pair.server_admin}*")).read_text().strip()

    def post(action: str, body: dict[str, object]) -> tuple[int, dict[str, object]]:
        headers = {"Authorization": f"Bearer {token}"}
        url = f"http://127.0.0.1:{pair.server_admin}/{action}"
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    code, said = post("clients", {})
    assert code == 200
    assert [item["name"] for item in said["clients"]] == ["laptop"]  # type: ignore[attr-defined]
    code, said = post("clients/set", {"name": "laptop", "quota": "5GB/month", "rate": "8Mbit/s"})
    assert (code, said["quota_bytes"], said["rate_bps"]) == (200, 5 * 10**9, 8_000_000)
    assert post("clients/show", {"name": "laptop"}) == (200, said)
    assert post("clients/disable", {"name": "laptop"}) == (200, {"name": "laptop", "disabled": True})
    code, said = post("clients/follow", {"name": "laptop"})
    assert (said["sessions"], said["problem"]) == (0, "")
    assert post("clients/enable", {"name": "laptop"})[1]["disabled"] is False
    assert post("clients/kick", {"name": "laptop"})[0] == 200
    for action, body in (
        ("clients/show", {"name": "nobody"}),
        ("clients/set", {"name": "laptop", "quota": "much"}),
        ("clients/set", {"name": "laptop", "speed": "1"}),
        ("clients/kick", {}),
    ):
        code, said = post(action, dict(body))
        assert code == 400, said
        assert said["error"]
    token = "wrong"
    assert post("clients/disable", {"name": "laptop"})[0] == 401


def test_a_registry_that_is_gone_for_a_while_ends_no_session_and_is_told(pair: Pair, tmp_path: Path) -> None:
    invite, late = pair.invite(), pair.invite("late")
    pair.start_server()
    pair.start_client(invite, *LINKS)
    away = tmp_path / "away"
    away.mkdir()
    for path in pair.state.glob("registry.db*"):
        path.rename(away / path.name)
    pair.wait(lambda: "registry.db: " in problem(pair), "the problem")
    stranger = Pair(tmp_path / "late")
    stranger.directory.mkdir()
    try:
        stranger.start_client(late, *LINKS, wait=False)
        time.sleep(3)
        assert stranger.session_state() != "up"
        assert pair.session_state() == "up"
        assert pair.log("server").count("known clients stay as they are") == 1, "aloud, but not each second"
        with urllib.request.urlopen(f"http://127.0.0.1:{pair.server_admin}/healthz", timeout=60) as answer:
            health = json.load(answer)
        assert health["healthy"]
        assert "registry.db" in health["warning"]
        for path in away.iterdir():
            path.rename(pair.state / path.name)
        pair.wait(lambda: problem(pair) == "", "the registry")
        stranger.wait(lambda: stranger.session_state() == "up", "a session")
    finally:
        stranger.close()
    run_tandem("revoke", "laptop", "--state", str(pair.state), environment=pair.environment)
    pair.wait(lambda: pair.session_state() != "up", "the end of the session")


def test_clients_of_the_last_release_come_with_their_invites(pair: Pair) -> None:
    invite = pair.invite()
    exported = json.loads(clients(pair, "show", "laptop", "--json"))
    key = only_key(pair.state / "registry.db")
    record = {"name": "laptop", "public_key": key, "created": exported["registered"]}
    for path in pair.state.glob("registry.db*"):
        path.unlink()
    (pair.state / "clients").mkdir()
    (pair.state / "clients" / "laptop.json").write_text(json.dumps(record))
    (pair.state / "clients" / "broken.json").write_text("{")
    pair.start_server()
    assert pair.log("server").count("broken.json") == 1
    pair.start_client(invite, *LINKS)


def test_a_postgresql_that_restarts_ends_no_session_and_new_clients_wait(pair: Pair, tmp_path: Path) -> None:
    if postgres.missing():
        pytest.skip(postgres.missing())
    with postgres.running_cluster() as cluster:
        pair.environment["TANDEM_REGISTRY__URL"] = cluster.make_database()
        invite, late = pair.invite(), pair.invite("late")
        pair.start_server()
        pair.start_client(invite, *LINKS)
        cluster.stop("immediate")
        pair.wait(lambda: problem(pair) != "", "the problem")
        stranger = Pair(tmp_path / "late")
        stranger.directory.mkdir()
        try:
            stranger.start_client(late, *LINKS, wait=False)
            time.sleep(3)
            assert stranger.session_state() != "up"
            assert pair.session_state() == "up"
            cluster.start()
            stranger.wait(lambda: stranger.session_state() == "up", "a session")
        finally:
            stranger.close()
        pair.wait(lambda: problem(pair) == "", "the registry")
        clients(pair, "disable", "laptop")
        pair.wait(lambda: "has disabled this client" in reason(pair), "a refusal")
        pair.close()


def only_key(path: Path) -> str:
    """The public key of the only client in a file of SQLite."""
    connection = sqlite3.connect(path)
    (key,) = connection.execute("select public_key from clients").fetchone()
    connection.close()
    return str(key)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_postgresql_that_hangs_does_not_keep_a_server_from_ending(workers: str, pair: Pair) -> None:
    if postgres.missing():
        pytest.skip(postgres.missing())
    with postgres.running_cluster() as cluster:
        pair.environment["TANDEM_REGISTRY__URL"] = cluster.make_database()
        invite = pair.invite()
        pair.start_server("--workers", workers)
        pair.start_client(invite, *LINKS)
        with cluster.frozen():
            time.sleep(3)  # until the server has asked it something
            assert pair.session_state() == "up"
            assert pair.server is not None
            pair.server.send_signal(signal.SIGTERM)
            assert pair.server.wait(timeout=60) == 0
    assert "Traceback" not in pair.log("server")
