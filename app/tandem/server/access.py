"""From a request to addresses: rules, then names, then the deny list. Everything that a server dials passes here."""

import logging
from dataclasses import dataclass

from tandem.base.addresses import literal_address
from tandem.config.patterns import Pattern, canonical_name
from tandem.dialing.address_guard import AddressGuard, is_within_denied
from tandem.dialing.resolver import Resolver
from tandem.exchange.failures import Failure, Hop, rule_failure
from tandem.exchange.request import Kind, Request
from tandem.server.rules import Action, Candidates, Rule, Rules
from tandem_socks import Reply

log = logging.getLogger("tandem.server")


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request leads. The server dials the addresses that it checked, and does not resolve the name again."""

    addresses: tuple[str, ...]
    """Literal addresses, at least one, the preferred one first."""
    port: int


class Access:
    """Decides what a client may reach."""

    def __init__(self, rules: Rules, resolver: Resolver, guard: AddressGuard, *, may_dial: bool = True) -> None:
        """`may_dial` False: clients may use forwards only."""
        self.rules = rules
        self._resolver = resolver
        self._guard = guard
        self._may_dial = may_dial

    async def route(self, client: str, request: Request) -> Route:
        """The addresses and port to dial for a request. Raises Failure with the reply and the reason."""
        request = _canonical(request)
        candidates = self.rules.candidates(client, request)
        if request.kind is Kind.FORWARD:
            return await self._route_forward(client, request, candidates.by_name)
        rule = candidates.by_name
        if rule is None or rule.action is Action.ALLOW:
            if not self._may_dial and not candidates.by_address:
                raise rule_failure("this server has forwards only")
            return await self._check(client, request, candidates, await self._resolver.resolve(request.host, client))
        if not candidates.by_address:
            return await self._apply(client, rule, request)
        try:
            addresses = await self._resolver.resolve(request.host, client)
        except Failure:  # rules about networks cannot match a host without an address
            return await self._apply(client, rule, request)
        return await self._check(client, request, candidates, addresses)

    async def _apply(self, client: str, rule: Rule, request: Request) -> Route:
        """Applies a rule that denies or forwards, whatever the addresses are. Raises Failure where it denies."""
        if rule.action is Action.DENY:
            raise rule_failure(f"rule `{rule}`")
        return await self._forward(client, rule, request)

    async def _route_forward(self, client: str, request: Request, rule: Rule | None) -> Route:
        if rule is None:
            known = ", ".join(self.rules.forward_names(client)) or "none"
            text = f"no forward {request.host!r}; the server has: {known}"
            raise Failure(Reply.HOST_UNREACHABLE, Hop.RULE, text)
        if rule.action is Action.ALLOW:
            raise rule_failure(f"rule `{rule}` allows it, but says no target")
        return await self._apply(client, rule, request)

    async def _forward(self, client: str, rule: Rule, request: Request) -> Route:
        """The route to a rule's target. The deny list does not apply: the server's owner has named the target."""
        if request.kind not in (Kind.DIAL, Kind.FORWARD):
            raise rule_failure(f"rule `{rule}` is for connections, not for UDP or BIND")
        addresses = await self._resolver.resolve_target(rule.target_host, client)
        return Route(addresses, request.port if rule.target_port is None else rule.target_port)

    async def _check(self, client: str, request: Request, candidates: Candidates, addresses: tuple[str, ...]) -> Route:
        allowed: list[str] = []
        refusal = rule_failure("this server has forwards only")
        for address in addresses:
            rule = candidates.match_address(address, request.port)
            if rule is not None and rule.action is Action.FORWARD:
                return await self._forward(client, rule, request)
            problem = self._problem(request.host, address, rule)
            if problem:
                refusal = rule_failure(problem)
            else:
                allowed.append(address)
        if not allowed:
            raise refusal
        return Route(tuple(allowed), request.port)

    def _problem(self, host: str, address: str, rule: Rule | None) -> str:
        """Why an address may not be reached; "" where it may."""
        if not self._may_dial:
            return "this server has forwards only"
        if rule is not None and rule.action is Action.DENY:
            return f"rule `{rule}`"
        is_named = rule is not None and names_private(rule.pattern)
        if is_named or self._guard.is_allowed(address):
            return ""
        # The client must not learn the address of an internal name.
        log.debug("%s: the address %s is not allowed", host, address)
        what = f"{address} is" if literal_address(host) else f"{host} has"
        return f"{what} a private address, or one in the server's own network; the server's owner can allow it"


def _canonical(request: Request) -> Request:
    """The same request with the one form of its host. Raises Failure for what is no host."""
    try:
        return Request(request.kind, canonical_name(request.host), request.port)
    except ValueError as error:
        raise Failure(Reply.HOST_UNREACHABLE, Hop.NAME, str(error)) from error


def names_private(pattern: Pattern) -> bool:
    """Whether a rule that allows this pattern covers private addresses: one host, one address, or a private network."""
    if pattern.network is None:
        return "*" not in pattern.host
    return pattern.network.num_addresses == 1 or is_within_denied(pattern.network)
