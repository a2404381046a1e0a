"""What the parent tells a worker when it starts it: its slot, and the numbers of the sockets that it inherits."""

import json
import os
import socket
from dataclasses import asdict, dataclass

VARIABLE = "_TANDEM_SEAT"
"""The environment variable with the seat; its name does not begin like those of the configuration."""


@dataclass(frozen=True, slots=True)
class Seat:
    """The place of one worker."""

    slot: int
    slots: int
    first: int
    workers: int
    talk: int
    """Descriptor of the channel to the parent."""
    sockets: int
    """Descriptor of the socket over which the parent sends UDP sockets."""
    door: int
    """Descriptor of the door at which others leave what belongs to this worker."""
    doors: dict[str, int]
    """Descriptors of the doors of the others, by slot; JSON has texts as keys."""

    def encode(self) -> str:
        """The value of VARIABLE."""
        return json.dumps(asdict(self))

    @property
    def descriptors(self) -> list[int]:
        """All descriptors that the worker inherits."""
        return [self.talk, self.sockets, self.door, *self.doors.values()]


def taken_seat() -> Seat | None:
    """The seat of this process, None where it is no worker. The processes that it starts have none."""
    text = os.environ.pop(VARIABLE, None)
    return None if text is None else Seat(**json.loads(text))


def inherited(descriptor: int) -> socket.socket:
    """The socket with an inherited descriptor; what this process starts does not inherit it."""
    sock = socket.socket(fileno=descriptor)
    sock.set_inheritable(False)
    return sock
