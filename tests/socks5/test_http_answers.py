"""Answers of forwarded requests, without sockets: where each ends, and whether its connection lives on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_port import answer, feed, head
from tandem_socks import State
from tandem_socks.dialects.http_answer import AnswerFilter
from tandem_socks.dialects.http_head import MAX_HEAD


def filtered(
    data: bytes, *, step: int = 0, method: str = "GET", keeps_alive: bool = True
) -> tuple[bytes, AnswerFilter]:
    made = AnswerFilter(method, keeps_alive=keeps_alive)
    out = b"".join(made.take(data[at : at + (step or len(data))]) for at in range(0, len(data), step or len(data)))
    return out, made


@pytest.mark.parametrize("step", [0, 1, 3])
def test_an_answer_with_a_size_keeps_the_connection(step: int) -> None:
    data = head("HTTP/1.1 200 OK", "Connection: close, X-Own", "Keep-Alive: timeout=5", "X-Own: 1", "Content-Length: 4")
    out, made = filtered(data + b"pagebehind", step=step)
    assert out == head("HTTP/1.1 200 OK", "Content-Length: 4") + b"page"
    assert made.is_over
    assert made.keeps_alive


def test_a_client_that_wants_one_answer_is_told_that_it_was_the_last() -> None:
    out, made = filtered(head("HTTP/1.1 200 OK", "Content-Length: 4") + b"page", keeps_alive=False)
    assert out == head("HTTP/1.1 200 OK", "Content-Length: 4", "Connection: close") + b"page"
    assert made.is_over


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ((), b"until the end"),
        (("Transfer-Encoding: gzip",), b"until the end"),
        (("Transfer-Encoding: chunked", "Content-Length: 3"), b"3\r\nabc\r\n0\r\n\r\n"),
        (("Content-Length: 3", "Content-Length: 4"), b"abc"),
        (("Content-Length: x",), b"abc"),
    ],
)
def test_an_answer_whose_end_is_the_end_of_the_connection_says_so(fields: tuple[str, ...], body: bytes) -> None:
    """Two readings of its size are none: nothing of it may pass for the next answer."""
    out, made = filtered(head("HTTP/1.1 200 OK", *fields) + body)
    assert out == head("HTTP/1.1 200 OK", *fields, "Connection: close") + body
    assert not made.is_over
    assert not made.keeps_alive


@pytest.mark.parametrize(
    ("method", "status", "fields", "body"),
    [
        ("HEAD", 200, ("Content-Length: 400",), b""),
        ("GET", 304, ("Content-Length: 400",), b""),
        ("GET", 204, (), b""),
        ("GET", 200, ("Content-Length: 0",), b""),
        ("GET", 200, ("Transfer-Encoding: chunked",), b"3\r\nabc\r\n0\r\n\r\n"),
    ],
)
def test_where_an_answer_ends(method: str, status: int, fields: tuple[str, ...], body: bytes) -> None:
    data = head(f"HTTP/1.1 {status} X", *fields) + body
    for step in (0, 1, 5):
        out, made = filtered(data + b"HTTP/1.1 200 smuggled\r\n\r\n", step=step, method=method)
        assert out == data
        assert (made.is_over, made.keeps_alive) == (True, True)


def test_answers_on_the_way_pass_and_the_final_one_counts() -> None:
    early = head("HTTP/1.1 103 Early Hints", "Link: </a>") + head("HTTP/1.1 100 Continue")
    out, made = filtered(early + head("HTTP/1.1 200 OK", "Connection: close", "Content-Length: 0"), step=2)
    assert out == early + head("HTTP/1.1 200 OK", "Content-Length: 0")
    assert made.is_over


def test_another_protocol_follows_only_where_it_was_asked_for() -> None:
    data = head("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade")
    made = AnswerFilter("GET", keeps_alive=True, may_upgrade=True)
    assert made.take(data + b"\x81\x01a") == data + b"\x81\x01a"
    assert made.is_upgraded
    made = AnswerFilter("GET", keeps_alive=True)
    made.take(data)
    assert not made.is_upgraded


@pytest.mark.parametrize(
    "data",
    [
        head("HTTP/1.1 200 OK", "X: a", " b", "Content-Length: 2") + b"ok",
        head("HTTP/1.1 200 OK", "no colon", "Content-Length: 2") + b"ok",
        head("HTTP/1.1  200 OK", "Content-Length: 2") + b"ok",
        head("HTTP/1.1 200 OK", "Content-Length : 100", "Content-Length: 2") + b"ok",
        head("HTTP/1.1 200 OK", "X: a\nContent-Length: 2") + b"ok",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        head("HTTP/1.1 200 OK", "X: " + "y" * MAX_HEAD, "Content-Length: 2") + b"ok",
        head("HTTP/1.1 103 Early Hints") * 50 + head("HTTP/1.1 200 OK", "Content-Length: 2") + b"ok",
        head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + b"5\r\nhelloX\r\nmore",
    ],
)
@pytest.mark.parametrize("step", [0, 7])
def test_an_answer_that_two_readers_may_end_at_different_places_is_the_last(data: bytes, step: int) -> None:
    out, made = filtered(data, step=step)
    assert out + made.end() == data
    assert (made.is_raw, made.is_over, made.keeps_alive) == (True, False, False)


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("HTTP/1.1 205 Reset Content", "Content-Length: 9"),
        ("HTTP/1.1 101 Switching Protocols", "Upgrade: x"),
        ("HTTP/1.1 199 X", "Content-Length: 0"),
        ("HTTP/1.0 200 OK", "Content-Length: 4"),
        ("HTTP/1.0 200 OK", "Transfer-Encoding: chunked"),
    ],
)
def test_what_readers_take_for_an_end_or_not_ends_the_connection_and_says_so(line: str, field: str) -> None:
    out, made = filtered(head(line, field) + b"rest")
    assert out.startswith(head(line, field, "Connection: close"))
    assert not made.keeps_alive


def test_a_head_of_many_fields_takes_no_longer_than_it_is() -> None:
    lines = ["a:"] * 15_000
    out, made = filtered(head("HTTP/1.1 200 OK", *lines, "Content-Length: 0"))
    assert made.is_over
    assert out.count(b"a:") == 15_000


def test_a_body_that_cannot_be_followed_is_refused_at_once_or_ends_the_connection() -> None:
    data = head("POST http://a.example/ HTTP/1.1", "Transfer-Encoding: chunked")
    chunk = b"5\r\nhelloX\r\n" + head("GET http://b.example/ HTTP/1.1")
    assert answer(feed(data + chunk))[0] == 400
    connection = feed(data)
    assert connection.forwarded is not None
    connection.forwarded.body.take(chunk)
    assert connection.forwarded.body.is_malformed


@given(st.binary(max_size=300), st.integers(1, 50))
def test_what_is_no_answer_passes_as_it_is(data: bytes, step: int) -> None:
    made = AnswerFilter("GET", keeps_alive=True)
    data = b"\0" + data
    out = b"".join(made.take(data[at : at + step]) for at in range(0, len(data), step)) + made.end()
    assert out == data
    assert not made.keeps_alive


def test_an_answer_that_is_cut_in_its_head_passes_as_far_as_it_came() -> None:
    out, made = filtered(b"HTTP/1.1 200 OK\r\nContent-Le")
    assert out == b""
    assert made.end() == b"HTTP/1.1 200 OK\r\nContent-Le"
    assert not made.keeps_alive


def test_a_long_field_takes_no_longer_than_it_is() -> None:
    for value in (" " * 16_000 + "\x01", "a" + " " * 15_000 + "b", " " * 16_000):
        connection = feed(head("GET http://example.org/ HTTP/1.1", f"X:{value}"))
        assert connection.state is (State.CLOSED if "\x01" in value else State.PENDING)
