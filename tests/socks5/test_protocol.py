"""The handshake without sockets: every segmentation, every reply, every kind of nonsense."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_socks import Command, Reply, Request, ServerConnection, SocksError, State, Terms, reply_of
from tandem_socks.dialects.messages import (
    encode_datagram,
    encode_reply,
    parse_credentials,
    parse_datagram,
    parse_greeting,
    parse_request,
)

GREETING = b"\x05\x01\x00"
REQUESTS = {
    Request(Command.CONNECT, "192.0.2.1", 80): b"\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50",
    Request(Command.CONNECT, "2001:db8::1", 443): b"\x05\x01\x00\x04\x20\x01\x0d\xb8" + bytes(11) + b"\x01\x01\xbb",
    Request(Command.CONNECT, "example.org", 22): b"\x05\x01\x00\x03\x0bexample.org\x00\x16",
    Request(Command.CONNECT, "a" * 255, 65535): b"\x05\x01\x00\x03\xff" + b"a" * 255 + b"\xff\xff",
}


def feed(data: bytes, *cuts: int) -> ServerConnection:
    connection = ServerConnection()
    edges = [0, *sorted(cuts), len(data)]
    for begin, end in itertools.pairwise(edges):
        connection.receive_data(data[begin:end])
    return connection


@pytest.mark.parametrize("request_", REQUESTS, ids=str)
def test_one_byte_at_a_time(request_: Request) -> None:
    data = GREETING + REQUESTS[request_]
    connection = feed(data, *range(1, len(data)))
    assert (connection.state, connection.request) == (State.PENDING, request_)
    assert connection.data_to_send() == b"\x05\x00"


@given(st.sampled_from(list(REQUESTS.items())), st.binary(max_size=50), st.data())
def test_any_segmentation_with_data_behind_it(item: tuple[Request, bytes], data: bytes, cuts: st.DataObject) -> None:
    request, encoded = item
    whole = GREETING + encoded + data
    connection = feed(whole, *cuts.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    assert connection.request == request
    connection.succeed("198.51.100.7", 4321)
    assert connection.data_to_send() == b"\x05\x00" + b"\x05\x00\x00\x01\xc6\x33\x64\x07\x10\xe1"
    assert connection.trailing_data() == data
    assert connection.state is State.RELAYING


def test_the_bound_address_may_be_ipv6_or_unknown() -> None:
    assert encode_reply(Reply.SUCCEEDED, "2001:db8::1", 1)[3:4] == b"\x04"
    assert encode_reply(Reply.GENERAL_FAILURE) == b"\x05\x01\x00\x01" + bytes(6)


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        (b"\x05\x77\x00\x01\xc0\x00\x02\x01\x00\x50", Reply.COMMAND_NOT_SUPPORTED),
        (b"\x05\x01\x00\x02", Reply.ADDRESS_TYPE_NOT_SUPPORTED),
        (b"\x05\x01\x00\x03\x00\x00\x50", Reply.HOST_UNREACHABLE),
        (b"\x05\x01\x00\x03\x03a\x00b\x00\x50", Reply.HOST_UNREACHABLE),
        (b"\x05\x01\x00\x03\x02\xff\xfe\x00\x50", Reply.HOST_UNREACHABLE),
        (b"\x04\x01\x00\x01", Reply.GENERAL_FAILURE),
    ],
    ids=["no command", "no address type", "empty name", "NUL", "not UTF-8", "version"],
)
def test_a_bad_request_gets_a_whole_reply(request_: bytes, reply: Reply) -> None:
    connection = feed(GREETING + request_)
    assert connection.state is State.CLOSED
    assert connection.data_to_send() == b"\x05\x00" + b"\x05" + bytes([reply]) + b"\x00\x01" + bytes(6)
    assert connection.error


def test_reserved_bits_do_not_matter() -> None:
    assert feed(GREETING + b"\x05\x01\x2a\x01\xc0\x00\x02\x01\x00\x50").state is State.PENDING


def test_a_client_without_an_acceptable_method_is_told_so() -> None:
    for methods in (b"", b"\x01", bytes(range(3, 255))):
        connection = feed(b"\x05" + bytes([len(methods)]) + methods)
        assert connection.state is State.CLOSED
        assert connection.data_to_send() == b"\x05\xff"


@pytest.mark.parametrize("data", [b"\x00", b"\x06\x01\x00", b"\x80GET"])
def test_what_no_protocol_begins_with_is_closed(data: bytes) -> None:
    connection = feed(data)
    assert connection.state is State.CLOSED
    assert connection.data_to_send() == b""


NEEDED = Terms(needs_password=True)
CREDENTIALS = b"\x01\x04anna\x06secret"


def with_password(methods: bytes = b"\x00\x02", terms: Terms = NEEDED) -> ServerConnection:
    connection = ServerConnection(terms)
    for byte in b"\x05" + bytes([len(methods)]) + methods + CREDENTIALS:
        connection.receive_data(bytes([byte]))
    return connection


def test_a_password_is_asked_for_and_checked_by_the_owner() -> None:
    connection = with_password()
    assert (connection.state, connection.credentials) == (State.AUTHENTICATING, ("anna", "secret"))
    connection.receive_data(REQUESTS[Request(Command.CONNECT, "192.0.2.1", 80)] + b"data")
    assert connection.data_to_send() == b"\x05\x02"
    connection.decide(is_accepted=True)
    assert connection.data_to_send() == b"\x01\x00"
    assert connection.request == Request(Command.CONNECT, "192.0.2.1", 80)
    assert connection.trailing_data() == b"data"


def test_a_wrong_password_is_told_so_and_nothing_is_read_again() -> None:
    connection = with_password()
    connection.receive_data(REQUESTS[Request(Command.CONNECT, "192.0.2.1", 80)])
    connection.decide(is_accepted=False)
    connection.receive_data(CREDENTIALS)
    assert connection.data_to_send() == b"\x05\x02\x01\x01"
    assert (connection.state, connection.request) == (State.CLOSED, None)


def test_without_a_password_there_is_no_way_in() -> None:
    for methods in (b"", b"\x00", b"\x00\x01"):
        connection = ServerConnection(NEEDED)
        connection.receive_data(b"\x05" + bytes([len(methods)]) + methods)
        assert connection.state is State.CLOSED
        assert connection.data_to_send() == b"\x05\xff"


def test_a_client_that_insists_on_a_password_may_say_one_where_none_is_needed() -> None:
    assert with_password(b"\x02", Terms()).credentials == ("anna", "secret")
    assert with_password(b"\x00\x02", Terms()).credentials is None


@pytest.mark.parametrize("credentials", [b"\x01\x00\x00", b"\x01\xff" + b"n" * 255 + b"\xff" + b"p" * 255])
def test_the_shortest_and_the_longest_password(credentials: bytes) -> None:
    connection = ServerConnection(NEEDED)
    connection.receive_data(b"\x05\x01\x02")
    for byte in credentials[:-1]:
        connection.receive_data(bytes([byte]))
        assert connection.state is State.READING
    connection.receive_data(credentials[-1:])
    assert connection.state is State.AUTHENTICATING


def test_another_version_of_the_password_negotiation_is_the_end() -> None:
    connection = ServerConnection(NEEDED)
    connection.receive_data(b"\x05\x01\x02\x05")
    assert connection.state is State.CLOSED


def test_failures_carry_their_reply() -> None:
    connection = feed(GREETING + REQUESTS[Request(Command.CONNECT, "192.0.2.1", 80)])
    connection.data_to_send()
    connection.fail(SocksError(Reply.CONNECTION_REFUSED, "refused"))
    assert connection.data_to_send()[1] == Reply.CONNECTION_REFUSED
    assert connection.state is State.CLOSED


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_arbitrary_bytes_never_raise(pieces: list[bytes]) -> None:
    connection = ServerConnection()
    for piece in pieces:
        connection.receive_data(piece)
    assert connection.state in State


@given(st.binary(max_size=300))
def test_parsers_raise_nothing_but_socks_errors(data: bytes) -> None:
    for parse in (parse_greeting, parse_request, parse_credentials):
        try:
            found = parse(data)
        except SocksError:
            continue
        assert found is None or found[1] <= len(data)


@given(st.ip_addresses().map(str), st.integers(0, 65535), st.binary(max_size=50))
def test_datagrams_are_read_as_they_were_written(host: str, port: int, data: bytes) -> None:
    assert parse_datagram(encode_datagram(host, port, data)) == (host, port, data)


@given(st.binary(max_size=300))
def test_nonsense_in_a_datagram_is_dropped(data: bytes) -> None:
    try:
        _, _, content = parse_datagram(data)
    except SocksError:
        return
    assert data.endswith(content)


def test_fragments_are_refused() -> None:
    whole = encode_datagram("192.0.2.1", 53, b"question")
    with pytest.raises(SocksError, match="fragment"):
        parse_datagram(whole[:2] + b"\x01" + whole[3:])


@pytest.mark.parametrize(
    ("error", "reply"),
    [
        (ConnectionRefusedError(111, "refused"), Reply.CONNECTION_REFUSED),
        (OSError(101, "unreachable"), Reply.NETWORK_UNREACHABLE),
        (OSError(113, "no route"), Reply.HOST_UNREACHABLE),
        (TimeoutError(), Reply.HOST_UNREACHABLE),
        (OSError(24, "too many files"), Reply.GENERAL_FAILURE),
    ],
)
def test_the_table_of_replies(error: OSError, reply: Reply) -> None:
    assert reply_of(error) is reply
