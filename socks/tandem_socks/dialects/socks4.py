"""SOCKS 4 and 4a: CONNECT and BIND with IPv4 addresses, in 4a also with names.

request: 4, command, port (2 bytes), address (4 bytes), user id, 0
4a:      the address is 0.0.0.x with x not 0, and a name and 0 follow
reply:   0, code, port (2 bytes), address (4 bytes)
"""

import ipaddress

from tandem_socks.dialects.messages import host_name
from tandem_socks.dialects.negotiation import Negotiation, State
from tandem_socks.errors import Reply, SocksError
from tandem_socks.request import Command, Request

VERSION = 4

_GRANTED, _REJECTED, _OTHER_USER = 0x5A, 0x5B, 0x5D
_MAX_TEXT = 255
"""Limit of bytes of a user id, or of a name."""


class Socks4Negotiation(Negotiation):
    """The negotiation of SOCKS 4: a single request."""

    def advance(self) -> bool:
        head = bytes(self.received[:8])
        if len(head) < 8:
            return False
        user_end = self._text_end(8, "user id")
        if user_end is None:
            return False
        end, host = user_end + 1, str(ipaddress.IPv4Address(head[4:8]))
        if head[4:7] == bytes(3) and head[7] != 0:
            name_end = self._text_end(end, "host name")
            if name_end is None:
                return False
            host, end = host_name(bytes(self.received[end:name_end])), name_end + 1
        self._take(head[1], host, int.from_bytes(head[2:4], "big"))
        del self.received[:end]
        return True

    def on_decided(self, *, is_accepted: bool) -> None:
        raise NotImplementedError("SOCKS 4 has no passwords")

    def answer_success(self, host: str, port: int) -> None:
        try:
            address = ipaddress.IPv4Address(host)
        except ValueError:  # an IPv6 address does not fit
            address = ipaddress.IPv4Address(0)
        self.to_send += bytes([0, _GRANTED]) + port.to_bytes(2, "big") + address.packed

    def answer_error(self, error: SocksError) -> None:
        code = _OTHER_USER if self.terms.needs_password else _REJECTED
        self.to_send += bytes([0, code]) + bytes(6)

    def _take(self, command: int, host: str, port: int) -> None:
        if self.terms.needs_password:
            raise SocksError(Reply.CONNECTION_NOT_ALLOWED_BY_RULESET, "SOCKS 4 knows no passwords, here one is needed")
        if command not in (Command.CONNECT, Command.BIND):
            raise SocksError(Reply.COMMAND_NOT_SUPPORTED, f"SOCKS 4 command {command}")
        self.request = Request(Command(command), host, port)
        self.state = State.PENDING

    def _text_end(self, begin: int, what: str) -> int | None:
        """Position of the zero byte that ends a text; None before it arrives. Raises SocksError for a long text."""
        end = self.received.find(0, begin)
        if (end if end >= 0 else len(self.received)) - begin > _MAX_TEXT:
            raise SocksError(Reply.GENERAL_FAILURE, f"a {what} of over {_MAX_TEXT} bytes")
        return end if end >= 0 else None
