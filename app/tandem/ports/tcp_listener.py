"""A TCP listener whose connections are served in tasks."""

import socket
from collections.abc import Callable, Coroutine
from typing import Any

from tandem.base.tasks import TaskSet
from tandem_socks import Listener, TcpConnection


def serving_listener(
    tasks: TaskSet,
    serve: Callable[[TcpConnection], Coroutine[Any, Any, None]],
    *,
    admits: Callable[[str], bool],
    reuse_port: bool = False,
    prepare: Callable[[socket.socket], None] | None = None,
) -> Listener:
    """A listener that begins a task for each connection, and has its place free again when the task is over.

    The other arguments are those of `Listener`.
    """

    def accept(tcp: TcpConnection) -> None:
        tasks.begin(serve(tcp)).add_done_callback(lambda _: listener.release())

    listener = Listener(accept, admits=admits, reuse_port=reuse_port, prepare=prepare)
    return listener
