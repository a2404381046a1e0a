"""`tandem doctor` beside a running client: what it finds, and what it says of what is wrong."""

import json
import socket

from loopback import Gate, Pair, run_tandem


def examine(pair: Pair, *links: str, invite: str) -> tuple[int, dict[tuple[str, str], dict[str, str]]]:
    given = [item for link in links for item in ("--link", link)]
    arguments = ("doctor", "-", *given, "--socks", pair.proxy, "--json")
    done = run_tandem(*arguments, environment=pair.environment, stdin=invite, limit=120)
    assert done.stdout, done.stderr
    return done.returncode, {(item["subject"], item["check"]): item for item in json.loads(done.stdout)}


def test_two_links_of_which_one_is_bad_and_one_is_gone(pair: Pair, gates: list[Gate]) -> None:
    pair.start_server()
    gates[1].loss = 0.30
    links = [f"{name}=127.0.0.{n}@127.0.0.1:{gate.port}" for name, n, gate in zip("ab", (2, 3), gates, strict=True)]
    code, found = examine(pair, *links, "gone=192.0.2.77", invite=pair.invite())
    places = [f"127.0.0.1:{gate.port}" for gate in gates]
    assert code == 1
    assert found[("this machine", "SOCKS port")]["verdict"] == "ok"
    assert found[("a", "address")]["text"] == "127.0.0.2"
    assert found[("a", places[0])]["verdict"] == "ok"
    assert "loss 0%" in found[("a", places[0])]["text"]
    assert found[("b", places[1])]["verdict"] == "warning"
    assert found[("gone", "address")]["verdict"] == "problem"
    assert "no address 192.0.2.77" in found[("gone", "address")]["text"]
    assert found[("a", "clock")]["text"] == "agrees"
    assert found[("a", "server's version")]["verdict"] == "ok"
    assert "the server sees 127.0.0.1:" in found[("a", "NAT")]["text"], "behind the gate, which is a NAT"
    assert found[("links", "shared fate")]["verdict"] == "warning"


def test_a_server_that_does_not_answer_and_a_port_that_is_taken(pair: Pair) -> None:
    invite = pair.invite()
    with socket.create_server(("127.0.0.1", pair.socks_port)):
        code, found = examine(pair, "a=127.0.0.2", invite=invite)
    assert code == 1
    assert found[("this machine", "SOCKS port")]["verdict"] == "warning"
    assert found[("a", "server")]["verdict"] == "problem"
    assert "captive portal" in found[("a", "server")]["advice"]


def test_a_revoked_client_is_told_so_beside_one_that_runs(pair: Pair) -> None:
    pair.start_server()
    pair.start_client(pair.invite(), "--link", "a=127.0.0.2", "--link", "b=127.0.0.3")
    other = pair.invite("other")
    assert examine(pair, "a=127.0.0.2", invite=other)[0] == 0
    assert run_tandem("revoke", "other", "--state", str(pair.state), environment=pair.environment).returncode == 0
    pair.wait(lambda: "does not know this client" in str(examine(pair, "a=127.0.0.2", invite=other)[1]), "refusal")
    assert pair.session_state() == "up"
