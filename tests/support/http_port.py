"""The proxy port without sockets, as tests of HTTP talk to it."""

from tandem_socks import ServerConnection, State, Terms

TERMS = Terms(host="127.0.0.1", port=1080)


def feed(data: bytes, terms: Terms = TERMS, *, step: int = 0) -> ServerConnection:
    connection = ServerConnection(terms)
    for begin in range(0, len(data), step or len(data)):
        connection.receive_data(data[begin : begin + (step or len(data))])
    return connection


def head(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def answer(connection: ServerConnection) -> tuple[int, str]:
    """Status and the whole text; nothing may follow."""
    assert connection.state is State.CLOSED
    text = connection.data_to_send().decode()
    fields, _, body = text.partition("\r\n\r\n")
    assert f"Content-Length: {len(body.encode())}" in fields
    assert "Connection: close" in fields
    assert "Cross-Origin-Resource-Policy: same-origin" in fields
    assert "X-Content-Type-Options: nosniff" in fields
    assert "access-control" not in text.lower()
    return int(text.split(" ")[1]), text
