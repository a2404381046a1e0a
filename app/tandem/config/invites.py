"""An invite: everything a client needs, in one string.

tandem://1/ + base64url of: format (1 byte), server public key (32), client private key (32),
number of endpoints (1), each as length and text, name as length and text, checksum (4)

An invite to a fleet of servers:
tandem://2/ + base64url of: format (1), client private key (32), name, number of servers (1), for each its public key
(32), number of endpoints (1) and endpoints; checksum (4)
"""

import base64
import binascii
import contextlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2s

from tandem.base.addresses import parse_endpoint
from tandem.base.errors import UsageError

PREFIX = "tandem://1/"
FLEET_PREFIX = "tandem://2/"
MAX_SERVERS = 64
"""Servers in one invite."""

SCHEME = "tandem://"
_FORMAT, _FLEET_FORMAT = 1, 2
_KEY_SIZE = 32
_CHECKSUM_SIZE = 4
_HINT = "copy the whole line that `tandem invite` printed"


@dataclass(frozen=True, slots=True)
class Invite:
    """A client's credentials and where its server is."""

    server_public: bytes
    client_private: bytes = field(repr=False)
    endpoints: tuple[str, ...]
    """The addresses of the server, as host:port."""
    name: str

    def encode(self) -> str:
        """The invite as a string, which is a secret."""
        body = bytes([_FORMAT]) + self.server_public + self.client_private + bytes([len(self.endpoints)])
        body += b"".join(_text(endpoint) for endpoint in self.endpoints) + _text(self.name)
        return PREFIX + base64.urlsafe_b64encode(body + _checksum(body)).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> "Invite":
        """Parses an invite. Raises UsageError with a text that reveals nothing of the secret."""
        text = text.strip()
        if not text.startswith(SCHEME):
            raise UsageError(f"invite: it does not begin with {PREFIX}", _HINT)
        if not text.startswith(PREFIX):
            raise UsageError("invite: made by a newer Tandem", "upgrade this client")
        with _malformed_is_told():
            reader = _Reader(_body(text.removeprefix(PREFIX))[1:])
            server, client = reader.take(_KEY_SIZE), reader.take(_KEY_SIZE)
            return cls(server, client, reader.endpoints(), reader.text())


def decode_invites(text: str) -> list[Invite]:
    """Parses an invite to one server or to a fleet: one for each server. Raises UsageError like `Invite.decode`."""
    text = text.strip()
    if not text.startswith(FLEET_PREFIX):
        return [Invite.decode(text)]
    with _malformed_is_told():
        reader = _Reader(_body(text.removeprefix(FLEET_PREFIX))[1:])
        client, name, count = reader.take(_KEY_SIZE), reader.text(), reader.take(1)[0]
        if not 1 <= count <= MAX_SERVERS:
            raise IndexError
        return [Invite(reader.take(_KEY_SIZE), client, reader.endpoints(), name) for _ in range(count)]


def encode_fleet(invites: Sequence[Invite]) -> str:
    """One string for invites of one client to several servers. Raises UsageError for more than MAX_SERVERS."""
    if not 1 <= len(invites) <= MAX_SERVERS:
        raise UsageError(f"an invite to {len(invites)} servers", f"accepted are 1 to {MAX_SERVERS}")
    first = invites[0]
    body = bytes([_FLEET_FORMAT]) + first.client_private + _text(first.name) + bytes([len(invites)])
    for invite in invites:
        body += invite.server_public + bytes([len(invite.endpoints)])
        body += b"".join(_text(endpoint) for endpoint in invite.endpoints)
    return FLEET_PREFIX + base64.urlsafe_b64encode(body + _checksum(body)).decode().rstrip("=")


class _Reader:
    """Reads the fields of an invite. Raises IndexError where one is cut short."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def take(self, size: int) -> bytes:
        taken, self._data = self._data[:size], self._data[size:]
        if len(taken) < size:
            raise IndexError
        return taken

    def text(self) -> str:
        return self.take(self.take(1)[0]).decode()

    def endpoints(self) -> tuple[str, ...]:
        found = tuple(self.text() for _ in range(self.take(1)[0]))
        for endpoint in found:
            parse_endpoint(endpoint, what="invite: endpoint")
        return found


@contextlib.contextmanager
def _malformed_is_told() -> Generator[None]:
    try:
        yield
    except (IndexError, UnicodeDecodeError) as error:
        raise UsageError("invite: its content is malformed", "ask for a new one") from error


def _body(text: str) -> bytes:
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise UsageError("invite: a character in it does not belong there", _HINT) from error
    body, checksum = data[:-_CHECKSUM_SIZE], data[-_CHECKSUM_SIZE:]
    if _checksum(body) != checksum or len(body) < 67:
        raise UsageError(f"invite: the checksum does not match ({len(text)} characters)", _HINT)
    return body


def _text(text: str) -> bytes:
    data = text.encode()
    if len(data) > 255:
        raise UsageError(f"{text[:40]}... is too long", "at most 255 bytes")
    return bytes([len(data)]) + data


def _checksum(body: bytes) -> bytes:
    return blake2s(body, digest_size=_CHECKSUM_SIZE).digest()
