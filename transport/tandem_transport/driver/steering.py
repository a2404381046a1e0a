"""One port for several workers: sockets of one address among which the kernel chooses by the connection id.

SO_REUSEPORT with a classic BPF program (Linux 4.5, no privilege). The place of a socket in its group is the order of
binding; when one closes, the last takes its place, so the owner of a group keeps all of them open.
"""

import contextlib
import ctypes
import socket
from collections.abc import Collection, Iterable
from struct import Struct

from tandem_transport.driver.sockets import bound_socket
from tandem_transport.wire.packets import PacketType

_SO_ATTACH_REUSEPORT_CBPF = 51
"""Socket option from <asm-generic/socket.h>; the socket module has no name for it."""

_INSTRUCTION = Struct("=HBBI")
_PROGRAM = Struct("@HP")

# Operations of classic BPF, from <linux/bpf_common.h>.
_LOAD_BYTE, _SHIFT_RIGHT, _ADD, _MODULO, _JUMP_EQUAL, _RETURN = 0x30, 0x74, 0x04, 0x94, 0x15, 0x16

_FLAGS_AT, _ID_AT = 0, 1
"""Where the program finds the flags and the first byte of the connection id: it sees the payload of UDP."""


def open_group(host: str, port: int, size: int) -> list[socket.socket]:
    """Opens the sockets of one address, in the order of their places. Raises OSError.

    Somebody else's socket on that address is an error, as it would be without SO_REUSEPORT: the system alone would let
    a second server of the same user into the group.
    """
    bound_socket(host, port).close()
    sockets: list[socket.socket] = []
    try:
        for _ in range(size):
            sockets.append(bound_socket(host, port, reuses_port=True))
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def steer(group: list[socket.socket], *, first: int, workers: int, live: Collection[int]) -> None:
    """Leads each session's packets to the worker of its slot, and initiations to the workers from `first` on.

    All links of a client use the same handshake id, so the copies of one initiation meet. `live`: the slots that have a
    worker. Packets of a session whose worker is gone go where initiations go, and are answered with a reset there.
    Raises OSError.
    """
    dead = [slot for slot in range(len(group)) if slot not in live]
    program = b"".join(_INSTRUCTION.pack(*line) for line in _program(len(group), first, workers, dead))
    buffer = ctypes.create_string_buffer(program)
    option = _PROGRAM.pack(len(program) // _INSTRUCTION.size, ctypes.addressof(buffer))
    group[0].setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, option)


def empty(sockets: Iterable[socket.socket]) -> None:
    """Drops what has arrived: packets that the kernel has put anywhere before it was told where, or for nobody."""
    for sock in sockets:
        with contextlib.suppress(OSError):  # BlockingIOError, where nothing is left
            while sock.recv(1):
                pass


def can_steer() -> bool:
    """Whether this system can steer packets."""
    with contextlib.suppress(OSError, AttributeError):
        group = [bound_socket("127.0.0.1", 0, reuses_port=True)]
        try:
            steer(group, first=0, workers=1, live=[0])
        finally:
            group[0].close()
        return True
    return False


def _program(slots: int, first: int, workers: int, dead: list[int]) -> list[tuple[int, int, int, int]]:
    """The program: operation, steps to go if true, steps to go if false (at most 255), operand."""
    return [
        (_LOAD_BYTE, 0, 0, _FLAGS_AT),
        (_SHIFT_RIGHT, 0, 0, 4),
        (_JUMP_EQUAL, 0, 3 + len(dead), PacketType.TRANSPORT),
        (_LOAD_BYTE, 0, 0, _ID_AT),
        (_MODULO, 0, 0, slots),
        *((_JUMP_EQUAL, len(dead) - number, 0, slot) for number, slot in enumerate(dead)),
        (_RETURN, 0, 0, 0),
        (_LOAD_BYTE, 0, 0, _ID_AT),
        (_MODULO, 0, 0, workers),
        (_ADD, 0, 0, first),
        (_RETURN, 0, 0, 0),
    ]
