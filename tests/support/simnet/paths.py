"""Paths that belong to no session, for tests of what looks at paths."""

from collections.abc import Callable

from tandem_transport.congestion.controller import CongestionController
from tandem_transport.congestion.lc2 import Lc2
from tandem_transport.path.path import Path
from tandem_transport.path.terms import PathTerms


def lone_path(path_id: int, make_congestion: Callable[[], CongestionController] = Lc2) -> Path:
    """A path of a client, whose peer acknowledges at once."""
    terms = PathTerms(
        is_client=True,
        randomness=bytes,
        host_of=lambda address: address,
        make_congestion=make_congestion,
        epoch=0.0,
        max_ack_delay=0.0,
    )
    return Path(path_id, terms)
