"""The transport parameters that the ends exchange in the handshake (PROTOCOL.md section 3.4)."""

from dataclasses import dataclass
from enum import IntEnum

from tandem_transport.errors import DecodeError
from tandem_transport.parameters import (
    FIRST_VERSION,
    INITIAL_STREAM_WINDOW,
    MAX_ACK_DELAY,
    MAX_STREAMS,
    SESSION_BUFFER,
    VERSION,
)
from tandem_transport.wire.varint import Reader, encode_varint


class CipherSuite(IntEnum):
    """AEAD that protects TRANSPORT packets; the client chooses the one that its CPU does faster."""

    AES_256_GCM = 1
    CHACHA20_POLY1305 = 2


class _Id(IntEnum):
    """Transport parameter ids (PROTOCOL.md section 3.4)."""

    MAX_ACK_DELAY_US = 1
    INITIAL_MAX_DATA = 2
    INITIAL_MAX_STREAM_DATA = 3
    MAX_STREAMS = 4
    CIPHER_SUITE = 5
    KNOWN_SESSION = 6
    VERSION = 7
    LOAD = 8


@dataclass(frozen=True, slots=True)
class TransportParameters:
    """The transport parameters of one end, as sent in the handshake (RFC 9000 section 7.4)."""

    max_ack_delay: float = MAX_ACK_DELAY
    """Seconds by which the sender of these parameters may delay an acknowledgement."""
    initial_max_data: int = SESSION_BUFFER
    """Bytes that the sender of these parameters accepts on all streams together before it sends MAX_DATA."""
    initial_max_stream_data: int = INITIAL_STREAM_WINDOW
    """Bytes that the sender of these parameters accepts on one stream before it sends MAX_STREAM_DATA."""
    max_streams: int = MAX_STREAMS
    """Streams that the other end may have open at once."""
    cipher_suite: CipherSuite = CipherSuite.AES_256_GCM
    """AEAD that protects this session's packets; the client's choice counts."""
    known_session: int | None = None
    """Tag of the session that a server already has with this client instance, 0 for none; None from a client."""
    load: int | None = None
    """Sessions of a server as a percentage of those that it may have; None from a client."""
    version: int = VERSION
    """The newest version of the protocol that the sender of these parameters knows; the lower of both is in force."""

    def encode(self) -> bytes:
        """Encodes the id, length and value of each parameter, as in RFC 9000 section 18."""
        values = {
            _Id.MAX_ACK_DELAY_US: round(self.max_ack_delay * 1e6),
            _Id.INITIAL_MAX_DATA: self.initial_max_data,
            _Id.INITIAL_MAX_STREAM_DATA: self.initial_max_stream_data,
            _Id.MAX_STREAMS: self.max_streams,
            _Id.CIPHER_SUITE: int(self.cipher_suite),
            _Id.VERSION: self.version,
        }
        if self.load is not None:
            values[_Id.LOAD] = self.load
        if self.known_session is not None:
            values[_Id.KNOWN_SESSION] = self.known_session
        parts: list[bytes] = []
        for identifier, value in values.items():
            encoded = encode_varint(value)
            parts += (encode_varint(identifier), encode_varint(len(encoded)), encoded)
        return b"".join(parts)

    @classmethod
    def decode(cls, data: bytes) -> "TransportParameters":
        """Decodes parameters; unknown ids are skipped, id 0 is padding. Raises DecodeError where one is malformed."""
        reader = Reader(data)
        values: dict[int, int] = {}
        while reader.remaining:
            identifier = reader.varint()
            if identifier == 0:
                continue
            value = Reader(reader.take(reader.varint()))
            if identifier in _Id.__members__.values():
                values[identifier] = value.varint()
        return cls._from_values(values)

    @classmethod
    def _from_values(cls, values: dict[int, int]) -> "TransportParameters":
        default = cls()
        max_ack_delay_us = values.get(_Id.MAX_ACK_DELAY_US, round(default.max_ack_delay * 1e6))
        if max_ack_delay_us > 1_000_000:
            raise DecodeError(f"max_ack_delay of {max_ack_delay_us} us is over a second")
        try:
            cipher_suite = CipherSuite(values.get(_Id.CIPHER_SUITE, default.cipher_suite))
        except ValueError as error:
            raise DecodeError("unknown cipher suite") from error
        return cls(
            max_ack_delay=max_ack_delay_us / 1e6,
            initial_max_data=values.get(_Id.INITIAL_MAX_DATA, default.initial_max_data),
            initial_max_stream_data=values.get(_Id.INITIAL_MAX_STREAM_DATA, default.initial_max_stream_data),
            max_streams=values.get(_Id.MAX_STREAMS, default.max_streams),
            cipher_suite=cipher_suite,
            known_session=values.get(_Id.KNOWN_SESSION),
            load=values.get(_Id.LOAD),
            version=values.get(_Id.VERSION, FIRST_VERSION),
        )
