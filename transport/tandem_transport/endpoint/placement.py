"""Which of several workers an endpoint is, and which of them a client belongs to.

The kernel steers packets by their connection id, so each worker issues ids of which the first byte leads back to it.
All that a server must know of one client (the newest timestamp, its sessions, its limits) is known to one worker: the
client's public key says which. Another worker that receives its initiation hands it over.
"""

from dataclasses import dataclass
from hashlib import blake2s
from typing import Final

MAX_SLOTS: Final = 128
"""Most slots of a server: one byte of a connection id names them."""


@dataclass(frozen=True, slots=True)
class Placement:
    """The place of one worker among those of a server."""

    slot: int = 0
    """The first byte of this worker's connection ids has this remainder when divided by `slots`."""
    slots: int = 1
    first: int = 0
    """The first slot of the workers that begin sessions; older ones, which end, have other slots."""
    workers: int = 1
    """Number of workers that begin sessions."""

    def owner(self, client_public: bytes) -> int:
        """The slot of the worker that a client belongs to."""
        digest = blake2s(client_public, digest_size=8).digest()
        return self.first + int.from_bytes(digest, "big") % self.workers

    def own(self, random_bytes: bytes) -> bytes:
        """Random bytes for a connection id of this worker: the first byte is changed so that it leads here."""
        usable = 256 - 256 % self.slots
        first = random_bytes[0] % usable
        return bytes([first - first % self.slots + self.slot]) + random_bytes[1:]


def slot_of(connection_id: bytes, slots: int) -> int:
    """The slot whose worker has issued an id; the kernel computes the same."""
    return connection_id[0] % slots
