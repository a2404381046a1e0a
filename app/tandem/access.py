"""From a request to addresses: rules, then names, then the deny list. The one way by which servers reach anything."""

from dataclasses import dataclass

from tandem.address_guard import AddressGuard
from tandem.failures import Failure, Hop, rule_failure
from tandem.request import Kind, Request
from tandem.resolver import Resolver
from tandem.rules import Action, Candidates, Rule, Rules
from tandem_socks import Reply


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request leads. What was checked is what is dialed: a name cannot change its mind."""

    addresses: tuple[str, ...]
    """Literal, at least one, best first."""
    port: int
    forward: Rule | None = None
    """The rule that has led elsewhere."""


class Access:
    """Decides what a client may reach."""

    def __init__(self, rules: Rules, resolver: Resolver, guard: AddressGuard, *, may_dial: bool = True) -> None:
        """`may_dial` False: forwards only."""
        self.rules = rules
        self._resolver = resolver
        self._guard = guard
        self._may_dial = may_dial

    async def route(self, client: str, request: Request) -> Route:
        """Raises Failure with the reply and the reason."""
        candidates = self.rules.candidates(client, request)
        if request.kind is Kind.FORWARD:
            return await self._route_forward(client, request, candidates.by_name)
        rule = candidates.by_name
        if rule is None or rule.action is Action.ALLOW:
            return await self._route_dial(request, candidates)
        if candidates.by_address and await self._has_address(request.host):
            return await self._route_dial(request, candidates)
        return await self._settle(rule, request)

    async def _has_address(self, host: str) -> bool:
        """Where it has none, rules about networks say nothing of it."""
        try:
            return bool(await self._resolver.resolve(host))
        except Failure:
            return False

    async def _settle(self, rule: Rule, request: Request) -> Route:
        """A rule that denies or forwards, whatever the addresses are."""
        if rule.action is Action.DENY:
            raise rule_failure(f"rule `{rule}`")
        return await self._lead(rule, request)

    async def _route_forward(self, client: str, request: Request, rule: Rule | None) -> Route:
        if rule is None:
            known = ", ".join(self.rules.forward_names(client)) or "none"
            text = f"no forward {request.host!r}; the server has: {known}"
            raise Failure(Reply.HOST_UNREACHABLE, Hop.RULE, text)
        if rule.action is Action.ALLOW:
            raise rule_failure(f"rule `{rule}` allows it, but says no target")
        return await self._settle(rule, request)

    async def _lead(self, rule: Rule, request: Request) -> Route:
        """A target that the owner has named is past the deny list."""
        if request.kind not in (Kind.DIAL, Kind.FORWARD):
            raise rule_failure(f"rule `{rule}` is for connections, not for UDP or BIND")
        addresses = await self._resolver.resolve(rule.target_host)
        return Route(addresses, request.port if rule.target_port is None else rule.target_port, rule)

    async def _route_dial(self, request: Request, candidates: Candidates) -> Route:
        if not self._may_dial and not candidates.by_address:
            raise rule_failure("this server has forwards only")
        addresses = await self._resolver.resolve(request.host)
        allowed: list[str] = []
        refusal = rule_failure("this server has forwards only")
        for address in addresses:
            rule = candidates.judge(address, request.port)
            if rule is not None and rule.action is Action.FORWARD:
                return await self._lead(rule, request)
            problem = self._problem(address, rule)
            if problem:
                refusal = rule_failure(problem)
            else:
                allowed.append(address)
        if not allowed:
            raise refusal
        return Route(tuple(allowed), request.port)

    def _problem(self, address: str, rule: Rule | None) -> str:
        """Why an address may not be reached; "" where it may."""
        if not self._may_dial:
            return "this server has forwards only"
        if rule is not None and rule.action is Action.DENY:
            return f"rule `{rule}`"
        is_named = rule is not None and rule.pattern.is_exact
        if is_named or self._guard.is_allowed(address):
            return ""
        return f"{address} is a private address; the server's owner can allow it"
