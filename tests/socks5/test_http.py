"""HTTP on the SOCKS port, without sockets: what is forwarded, what is answered, and what web pages try."""

import base64
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_port import TERMS, answer, feed, head
from tandem_socks import Command, Reply, Request, ServerConnection, SocksError, State, Terms
from tandem_socks.dialects.http_body import BodyMeter
from tandem_socks.dialects.http_head import MAX_HEAD, MalformedRequest, parse_head, split_authority

# --- CONNECT ---


@pytest.mark.parametrize("step", [0, 1, 7])
def test_connect_opens_a_tunnel(step: int) -> None:
    connection = feed(head("CONNECT example.org:443 HTTP/1.1", "Host: example.org:443"), step=step)
    assert (connection.state, connection.request) == (State.PENDING, Request(Command.CONNECT, "example.org", 443))
    connection.succeed("192.0.2.1", 5)
    assert connection.data_to_send() == b"HTTP/1.1 200 Connection established\r\n\r\n"
    assert connection.forwarded is None


def test_what_follows_a_connect_goes_to_the_target() -> None:
    connection = feed(head("CONNECT [2001:db8::1]:22 HTTP/1.0") + b"\x16\x03")
    assert str(connection.request) == "[2001:db8::1]:22"
    assert connection.trailing_data() == b"\x16\x03"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SocksError(Reply.CONNECTION_NOT_ALLOWED_BY_RULESET, "rule"), 403),
        (SocksError(Reply.CONNECTION_REFUSED, "refused"), 502),
        (SocksError(Reply.HOST_UNREACHABLE, "no such name"), 502),
        (SocksError(Reply.HOST_UNREACHABLE, "silence", is_timeout=True), 504),
        (SocksError(Reply.GENERAL_FAILURE, "no session"), 503),
        (SocksError(Reply.COMMAND_NOT_SUPPORTED, "bind"), 501),
    ],
)
def test_a_destination_that_cannot_be_reached_has_its_status(error: SocksError, status: int) -> None:
    connection = feed(head("CONNECT example.org:443 HTTP/1.1"))
    connection.fail(error)
    found, text = answer(connection)
    assert found == status
    assert str(error) in text


# --- absolute-form ---


def test_an_absolute_request_is_written_as_its_server_wants_it() -> None:
    data = head(
        "GET http://Example.org:8080/path?q=1 HTTP/1.1",
        "Host: other.example",
        "Accept: */*",
        "Proxy-Connection: keep-alive",
        "Proxy-Authorization: Basic c2VjcmV0",
        "Connection: keep-alive, X-Own",
        "X-Own: 1",
        "Cookie: a=1",
    )
    connection = feed(data)
    assert connection.request == Request(Command.CONNECT, "Example.org", 8080)
    assert connection.trailing_data() == head(
        "GET /path?q=1 HTTP/1.1", "Host: Example.org:8080", "Accept: */*", "Cookie: a=1", "Connection: close"
    )
    connection.succeed("192.0.2.1", 5)
    assert connection.data_to_send() == b"", "the server answers, not we"


@pytest.mark.parametrize(
    ("target", "host", "port", "path"),
    [
        ("http://example.org", "example.org", 80, "/"),
        ("HTTP://example.org?x", "example.org", 80, "/?x"),
        ("http://[2001:db8::1]:81/a#b", "2001:db8::1", 81, "/a"),
        ("http://web.forward/", "web.forward", 80, "/"),
    ],
)
def test_targets(target: str, host: str, port: int, path: str) -> None:
    data = head(f"GET {target} HTTP/1.1")
    if "#" in target:
        assert answer(feed(data))[0] == 400
        return
    connection = feed(data)
    assert connection.request == Request(Command.CONNECT, host, port)
    assert connection.trailing_data().startswith(f"GET {path} HTTP/1.1\r\n".encode())


def test_only_the_body_follows_a_request() -> None:
    second = head("GET http://other.example/ HTTP/1.1", "Cookie: for another")
    data = head("POST http://example.org/ HTTP/1.1", "Content-Length: 5") + b"12345" + second
    connection = feed(data)
    assert connection.trailing_data().endswith(b"\r\n\r\n12345")
    assert connection.forwarded is not None
    assert connection.forwarded.body.is_over
    assert connection.forwarded.body.take(second) == 0
    assert connection.behind == second, "it is kept for whoever reads the next request"


CHUNKED = b"5\r\nhello\r\n1;x=y\r\n!\r\n0\r\nTrailer: 1\r\n\r\n"


@given(st.lists(st.integers(0, len(CHUNKED) + 6), max_size=6))
def test_a_chunked_body_ends_where_it_ends(cuts: list[int]) -> None:
    data = CHUNKED + b"GET / "
    meter = BodyMeter(None)
    edges = [0, *sorted(cuts), len(data)]
    taken = sum(meter.take(data[begin:end]) for begin, end in itertools.pairwise(edges))
    assert (taken, meter.is_over) == (len(CHUNKED), True)


@pytest.mark.parametrize(
    "data", [b"x\r\n", b"-1\r\n", b"\r\n", b"5\r\nhelloX\r\n", b"1" * 2000, b"ffffffffffffffffff\r\n"]
)
def test_a_body_that_cannot_be_followed_is_at_its_end(data: bytes) -> None:
    meter = BodyMeter(None)
    meter.take(data)
    assert meter.is_over
    assert meter.take(b"more") == 0


@pytest.mark.parametrize(
    "fields",
    [
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: gzip, chunked",),
        ("Transfer-Encoding: xchunked",),
        ("Content-Length: +5",),
        ("Content-Length: 5, 5",),
        ("Content-Length : 5",),
        ("Connection: close, content-length", "Content-Length: 5"),
        ("Connection: Transfer-Encoding", "Transfer-Encoding: chunked"),
        (" folded: 1",),
        ("X: a\rb",),
        ("X: a\0b",),
        ("no colon",),
    ],
)
def test_what_two_parsers_may_read_differently_is_refused(fields: tuple[str, ...]) -> None:
    connection = feed(head("POST http://example.org/ HTTP/1.1", *fields) + b"hello")
    assert answer(connection)[0] == 400
    assert connection.request is None


@pytest.mark.parametrize(
    "line",
    [
        "GET https://example.org/ HTTP/1.1",
        "CONNECT user:password@example.org:443 HTTP/1.1",
        "GET http:/// HTTP/1.1",
        "GET example.org HTTP/1.1",
        "CONNECT example.org HTTP/1.1",
        "CONNECT example.org:0 HTTP/1.1",
        "CONNECT example.org:99999 HTTP/1.1",
        "CONNECT http://example.org:443/ HTTP/1.1",
        "CONNECT a:b:443 HTTP/1.1",
        f"CONNECT {'a' * 256}:443 HTTP/1.1",
        "GET  http://example.org/ HTTP/1.1",
        "GET http://example.org/ HTTP/2.0",
        "GET http://example.org/",
        "HELO example.org",
    ],
)
def test_requests_that_a_proxy_cannot_serve(line: str) -> None:
    assert answer(feed(head(line)))[0] == 400


def test_a_head_has_a_bound() -> None:
    connection = ServerConnection(TERMS)
    for _ in range(MAX_HEAD // 1000 + 2):
        connection.receive_data(b"GET " + b"x" * 996)
    assert answer(connection)[0] == 431


@pytest.mark.parametrize("step", [0, 1000, 1460, 4096])
def test_heads_of_64_kilobytes_pass_and_larger_ones_get_431_whatever_the_segmentation(step: int) -> None:
    line, name = "GET http://example.org/ HTTP/1.1", "Cookie: "
    room = MAX_HEAD - len(line) - 2 - len(name)
    assert feed(head(line, name + "a" * room), step=step).state is State.PENDING
    assert answer(feed(head(line, name + "a" * (room + 1)), step=step))[0] == 431


def test_empty_lines_before_a_request_mean_nothing_and_bare_lf_gets_words() -> None:
    assert feed(b"\r\n\r\n" + head("GET http://example.org/ HTTP/1.1"), step=1).state is State.PENDING
    assert answer(feed(b"GET http://example.org/ HTTP/1.1\nHost: example.org\n\n"))[0] == 400


def test_a_user_in_the_target_is_not_sent_on() -> None:
    connection = feed(head("GET http://user:p@ssw0rd@example.org:81/a HTTP/1.1", "Authorization: Basic eA=="))
    assert connection.request == Request(Command.CONNECT, "example.org", 81)
    sent = connection.trailing_data()
    assert b"Host: example.org:81\r\n" in sent
    assert b"Authorization: Basic eA==\r\n" in sent
    assert b"ssw0rd" not in sent


def test_bytes_beyond_ascii_in_a_path_pass_as_they_are() -> None:
    path = "/ä€".encode()
    connection = feed(b"GET http://example.org" + path + b" HTTP/1.1\r\n\r\n")
    assert connection.trailing_data().startswith(b"GET " + path + b" HTTP/1.1\r\n")


def test_a_name_beyond_ascii_is_understood() -> None:
    connection = feed("GET http://b\u00fccher.example/ HTTP/1.1\r\n\r\n".encode())
    assert connection.request == Request(Command.CONNECT, "b\u00fccher.example", 80)


def test_a_client_of_http_1_0_is_answered_in_its_version() -> None:
    connection = feed(head("GET http://example.org/ HTTP/1.0"))
    assert connection.trailing_data().startswith(b"GET / HTTP/1.0\r\n")
    assert connection.forwarded is not None
    assert not connection.forwarded.keeps_alive


@pytest.mark.parametrize("scheme", ["http", "ws", "WS"])
def test_an_upgrade_reaches_its_server(scheme: str) -> None:
    data = head(
        f"GET {scheme}://example.org/chat HTTP/1.1",
        "Connection: keep-alive, Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Key: x",
    )
    connection = feed(data)
    assert connection.trailing_data() == head(
        "GET /chat HTTP/1.1",
        "Host: example.org",
        "Upgrade: websocket",
        "Sec-WebSocket-Key: x",
        "Connection: Upgrade",
    )
    assert connection.forwarded is not None
    assert connection.forwarded.is_upgrade


@pytest.mark.parametrize("scheme", ["ftp", "gopher", "ftps"])
def test_other_schemes_get_words_that_say_what_to_set(scheme: str) -> None:
    status, text = answer(feed(head(f"GET {scheme}://example.org/file HTTP/1.1")))
    assert status == 501
    assert f"does not speak {scheme}" in text
    assert "CONNECT" in text


# --- passwords ---


def test_a_password_is_needed_where_it_is() -> None:
    terms = Terms(needs_password=True)
    request = "GET http://example.org/ HTTP/1.1"
    for fields in (
        (),
        ("Proxy-Authorization: Bearer abc",),
        ("Proxy-Authorization: Basic ###",),
        ("Proxy-Authorization: Basic \xe9",),
    ):
        status, text = answer(feed(head(request, *fields), terms))
        assert status == 407
        assert 'Proxy-Authenticate: Basic realm="Tandem"' in text
    encoded = base64.b64encode("anna:pass:wört".encode()).decode()
    for is_right in (True, False):
        connection = feed(head(request, f"Proxy-Authorization: basic {encoded}"), terms)
        assert connection.credentials == ("anna", "pass:wört")
        connection.decide(is_accepted=is_right)
        if is_right:
            assert connection.state is State.PENDING
            assert b"uthorization" not in connection.trailing_data()
        else:
            assert answer(connection)[0] == 407


# --- what web pages try ---


def test_a_post_whose_body_says_connect_stays_a_post() -> None:
    body = head("CONNECT 127.0.0.1:22 HTTP/1.1")
    connection = feed(head("POST / HTTP/1.1", "Host: 127.0.0.1:1080", f"Content-Length: {len(body)}") + body)
    assert answer(connection)[0] == 400
    connection.receive_data(body)
    assert (connection.request, connection.data_to_send()) == (None, b"")


@pytest.mark.parametrize(
    "host", ["intranet.example", "127.0.0.1.evil.example", "evil.example:1080", "localhost.evil.example", ""]
)
@pytest.mark.parametrize("target", ["/", "/proxy.pac", "*"])
def test_an_origin_form_request_is_never_routed_by_its_host(host: str, target: str) -> None:
    connection = feed(head(f"GET {target} HTTP/1.1", f"Host: {host}"))
    status, text = answer(connection)
    assert status == 421
    assert connection.request is None
    assert "1080" not in text, "whoever rebinds a name to this address learns nothing"
    assert not host or host not in text


def test_two_hosts_are_none() -> None:
    assert answer(feed(head("GET /proxy.pac HTTP/1.1", "Host: 127.0.0.1", "Host: evil.example")))[0] == 421


@pytest.mark.parametrize("field", ["Origin: null", "Sec-Fetch-Site: cross-site", "sec-fetch-mode: no-cors"])
def test_a_connect_that_a_page_caused_is_refused(field: str) -> None:
    assert answer(feed(head("CONNECT example.org:443 HTTP/1.1", field)))[0] == 403


# --- people ---


@pytest.mark.parametrize("host", ["127.0.0.1:1080", "[::1]:1080", "127.0.0.2", "proxy.home", "localhost:1080"])
def test_the_pac_file_sends_everything_through_the_proxy(host: str) -> None:
    terms = Terms(host="192.168.1.2", port=1081, names=frozenset({"proxy.home"}))
    status, text = answer(feed(head("GET /proxy.pac HTTP/1.1", f"Host: {host}"), terms))
    assert status == 200
    assert "application/x-ns-proxy-autoconfig" in text
    assert 'there = "SOCKS5 192.168.1.2:1081; SOCKS 192.168.1.2:1081; PROXY 192.168.1.2:1081";' in text
    assert "return here" not in text
    assert text.rstrip().endswith("return there;\n}")
    assert "Host" not in text


def test_the_owner_of_the_port_says_what_a_browser_connects_to_itself() -> None:
    terms = Terms(pac_rules=lambda: 'if (host == "a") return here;\nif (port == 25) return there;')
    _, text = answer(feed(head("GET /proxy.pac HTTP/1.1", "Host: 127.0.0.1"), terms))
    assert '\n  if (host == "a") return here;\n  if (port == 25) return there;\n  return there;\n' in text


def test_the_head_of_the_pac_file_can_be_asked_for() -> None:
    connection = feed(head("HEAD /proxy.pac HTTP/1.1", "Host: 127.0.0.1:1080"))
    sent = connection.data_to_send()
    assert sent.startswith(b"HTTP/1.1 200 ")
    assert sent.endswith(b"\r\n\r\n")


def test_a_browser_on_the_wrong_way_is_told_the_right_one() -> None:
    connection = feed(head("GET / HTTP/1.1", "Host: 127.0.0.1:1080"))
    assert connection.is_misconfigured
    status, text = answer(connection)
    assert status == 400
    assert "SOCKS v5 host to 127.0.0.1 and its port to 1080" in text


def test_tls_bytes_get_words() -> None:
    connection = feed(b"\x16\x03\x01\x02\x00\x01")
    assert connection.is_misconfigured
    status, text = answer(connection)
    assert status == 400
    assert "takes no TLS" in text


# --- parsers ---


@given(st.binary(max_size=400))
def test_heads_raise_nothing_but_their_error(data: bytes) -> None:
    try:
        found = parse_head(data + b"\r\n\r\n")
    except MalformedRequest:
        return
    assert found is not None or not data.strip(b"\r\n")


@given(st.text(max_size=40))
def test_authorities_raise_nothing_but_their_error(text: str) -> None:
    try:
        host, port = split_authority(text, 80)
    except MalformedRequest:
        return
    assert host
    assert 0 < port < 65536
    assert not set(host) & set("@/?# ")


@given(st.binary(max_size=200), st.integers(1, 20))
def test_a_meter_never_takes_more_than_there_is(data: bytes, size: int) -> None:
    for meter in (BodyMeter(None), BodyMeter(size)):
        taken = meter.take(data)
        assert 0 <= taken <= len(data)
        assert taken == len(data) or meter.is_over
