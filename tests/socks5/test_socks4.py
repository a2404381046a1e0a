"""SOCKS 4 and 4a, without sockets."""

import pytest

from tandem_socks import Command, Reply, Request, ServerConnection, SocksError, State, Terms

REQUESTS = {
    Request(Command.CONNECT, "192.0.2.1", 80): b"\x04\x01\x00\x50\xc0\x00\x02\x01user\x00",
    Request(Command.CONNECT, "example.org", 80): b"\x04\x01\x00\x50\x00\x00\x00\x01\x00example.org\x00",
    Request(Command.BIND, "192.0.2.1", 21): b"\x04\x02\x00\x15\xc0\x00\x02\x01\x00",
    Request(Command.CONNECT, "0.0.0.0", 21): b"\x04\x01\x00\x15\x00\x00\x00\x00\x00",
}


@pytest.mark.parametrize("request_", REQUESTS, ids=str)
@pytest.mark.parametrize("step", [1, 3, 100])
def test_requests_in_any_segmentation(request_: Request, step: int) -> None:
    data = REQUESTS[request_] + b"data"
    connection = ServerConnection()
    for begin in range(0, len(data), step):
        connection.receive_data(data[begin : begin + step])
    assert connection.request == request_
    connection.succeed("198.51.100.7", 4321)
    assert connection.data_to_send() == b"\x00\x5a\x10\xe1\xc6\x33\x64\x07"
    assert connection.trailing_data() == b"data"


def test_an_ipv6_address_has_no_room_in_a_reply() -> None:
    connection = ServerConnection()
    connection.receive_data(next(iter(REQUESTS.values())))
    connection.succeed("2001:db8::1", 1)
    assert connection.data_to_send() == b"\x00\x5a\x00\x01" + bytes(4)


def test_a_failure_is_a_whole_reply() -> None:
    connection = ServerConnection()
    connection.receive_data(next(iter(REQUESTS.values())))
    connection.fail(SocksError(Reply.CONNECTION_REFUSED, "refused"))
    assert connection.data_to_send() == b"\x00\x5b" + bytes(6)
    assert connection.state is State.CLOSED


@pytest.mark.parametrize(
    "data",
    [
        b"\x04\x03\x00\x50\xc0\x00\x02\x01\x00",
        b"\x04\x01\x00\x50\x00\x00\x00\x01\x00\x00",
        b"\x04\x01\x00\x50\x00\x00\x00\x01\x00\xff\xfe\x00",
        b"\x04\x01\x00\x50\xc0\x00\x02\x01" + b"u" * 300,
        b"\x04\x01\x00\x50\x00\x00\x00\x01\x00" + b"n" * 300,
    ],
    ids=["command", "empty name", "not UTF-8", "long user id", "long name"],
)
def test_bad_requests_are_rejected(data: bytes) -> None:
    connection = ServerConnection()
    connection.receive_data(data)
    assert connection.data_to_send() == b"\x00\x5b" + bytes(6)
    assert connection.state is State.CLOSED


def test_where_a_password_is_needed_there_is_no_way_in() -> None:
    connection = ServerConnection(Terms(needs_password=True))
    connection.receive_data(next(iter(REQUESTS.values())))
    assert connection.data_to_send() == b"\x00\x5d" + bytes(6)
    assert connection.request is None
