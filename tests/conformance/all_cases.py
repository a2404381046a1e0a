"""The whole list, in the order of the table."""

from conformance import cases_closing, cases_handshake, cases_http, cases_other, cases_udp
from conformance.catalog import CASES, Case

_MODULES = (cases_handshake, cases_closing, cases_other, cases_http, cases_udp)


def all_cases() -> list[Case]:
    """Greetings first, UDP last."""
    order = [module.__name__ for module in _MODULES]
    return sorted(CASES, key=lambda case: order.index(case.play.__module__))
