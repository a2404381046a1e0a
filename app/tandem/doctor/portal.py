"""Detects a captive portal: a web page that blocks a network's internet access until the user logs in.

Such networks answer every web request themselves. The check asks the server's own address, over the link in
question, so it tells no third party anything. An answer that redirects elsewhere, or says that a login is needed
(RFC 6585 section 6), comes from a portal.
"""

import asyncio
import socket
from collections.abc import Container, Iterable
from urllib.parse import urlsplit

from tandem_transport.driver import LocalAddress, family_of

_TIMEOUT = 3.0
"""Seconds to wait for the page."""

_LARGEST_HEAD = 8192
_LONGEST = 200
_NETWORK_AUTHENTICATION_REQUIRED = 511


async def guess(local: LocalAddress, host: str, names: Iterable[str], port: int = 80) -> str:
    """The status line of a portal, or where it redirects to; "" where there seems to be none.

    Args:
        local: The link's address.
        host: The server's literal address.
        names: The names of the server in the invite.
        port: The server's web port.
    """
    try:
        async with asyncio.timeout(_TIMEOUT):
            head = await _ask(local, host, port)
    except (OSError, TimeoutError):
        return ""
    return classify(head, {host, *names})


def classify(head: str, names: Container[str]) -> str:
    """What the head of an HTTP answer shows of a portal, "" for nothing; `names` are those of the server."""
    first, *lines = head.splitlines() or [""]
    _, _, status = first.partition(" ")
    if status.startswith(str(_NETWORK_AUTHENTICATION_REQUIRED)):
        return _printable(status)
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    target = fields.get("location", "") if status.startswith("30") else ""
    try:
        leads_to = urlsplit(target).hostname
    except ValueError:  # not a URL
        return ""
    return _printable(target) if leads_to is not None and leads_to not in names else ""


def _printable(text: str) -> str:
    """Text from the network, made safe for a terminal."""
    return "".join(letter for letter in text.strip() if letter.isprintable())[:_LONGEST]


async def _ask(local: LocalAddress, host: str, port: int) -> str:
    """The head of the answer to a web request. Raises OSError."""
    loop = asyncio.get_running_loop()
    with socket.socket(family_of(host), socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        local.bind(sock)
        await loop.sock_connect(sock, (host, port))
        place = f"[{host}]" if ":" in host else host
        await loop.sock_sendall(sock, f"GET / HTTP/1.0\r\nHost: {place}\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head and len(head) < _LARGEST_HEAD and (data := await loop.sock_recv(sock, 4096)):
            head += data
    return head.partition(b"\r\n\r\n")[0].decode("latin-1")
