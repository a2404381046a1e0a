"""An invite: everything a client needs, in one string.

tandem://1/ + base64url of: format (1 byte), server public key (32), client private key (32),
number of endpoints (1), each as length and text, name as length and text, checksum (4)
"""

import base64
import binascii
from dataclasses import dataclass, field
from hashlib import blake2s

from tandem.base.addresses import parse_host_port
from tandem.base.errors import UsageError

PREFIX = "tandem://1/"
SCHEME = "tandem://"
_FORMAT = 1
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
        body = cls._body(text.removeprefix(PREFIX))
        try:
            return cls._read(body)
        except (IndexError, UnicodeDecodeError) as error:
            raise UsageError("invite: its content is malformed", "ask for a new one") from error

    @staticmethod
    def _body(text: str) -> bytes:
        try:
            data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as error:
            raise UsageError("invite: a character in it does not belong there", _HINT) from error
        body, checksum = data[:-_CHECKSUM_SIZE], data[-_CHECKSUM_SIZE:]
        if _checksum(body) != checksum or len(body) < 67:
            raise UsageError(f"invite: the checksum does not match ({len(text)} characters)", _HINT)
        return body

    @classmethod
    def _read(cls, body: bytes) -> "Invite":
        position, texts = 66, list[str]()
        for _ in range(body[65] + 1):
            size = body[position]
            texts.append(body[position + 1 : position + 1 + size].decode())
            position += 1 + size
        for endpoint in texts[:-1]:
            parse_host_port(endpoint, what="invite: endpoint")
        return cls(body[1:33], body[33:65], tuple(texts[:-1]), texts[-1])


def _text(text: str) -> bytes:
    data = text.encode()
    if len(data) > 255:
        raise UsageError(f"{text[:40]}... is too long", "at most 255 bytes")
    return bytes([len(data)]) + data


def _checksum(body: bytes) -> bytes:
    return blake2s(body, digest_size=_CHECKSUM_SIZE).digest()
