"""Connection ids that the server can recognise without storing them (PROTOCOL.md section 2.1)."""

import hmac
from hashlib import blake2s

from tandem_transport.parameters import CONNECTION_ID_SIZE, RESET_TOKEN_SIZE


def session_tag(connection_id: bytes) -> int:
    """The name of a session in a transport parameter: the first 62 bits of its connection id."""
    return int.from_bytes(connection_id[:8], "big") >> 2


class ConnectionIdIssuer:
    """Makes and checks connection ids with keys derived from the server's static private key.

    A restarted server with the same key still distinguishes its earlier ids from random bytes, and can
    prove with a stateless reset that it no longer has the session (RFC 9000 section 10.3).
    """

    __slots__ = ("_id_key", "_reset_key")

    def __init__(self, static_private_key: bytes) -> None:
        self._id_key = blake2s(b"connection id", key=static_private_key).digest()
        self._reset_key = blake2s(b"stateless reset", key=static_private_key).digest()

    def issue(self, random_bytes: bytes) -> bytes:
        """A new connection id made from 8 random bytes."""
        return random_bytes + self._mac(random_bytes)

    def is_ours(self, connection_id: bytes) -> bool:
        """Whether this server, or an earlier one with the same key, has issued the id."""
        half = CONNECTION_ID_SIZE // 2
        return hmac.compare_digest(self._mac(connection_id[:half]), connection_id[half:])

    def reset_token(self, connection_id: bytes) -> bytes:
        """The stateless reset token of an id; only the client of that session learns it, in the handshake."""
        return blake2s(connection_id, key=self._reset_key, digest_size=RESET_TOKEN_SIZE).digest()

    def _mac(self, data: bytes) -> bytes:
        return blake2s(data, key=self._id_key, digest_size=CONNECTION_ID_SIZE // 2).digest()
