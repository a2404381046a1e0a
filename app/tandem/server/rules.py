"""The server's ordered list of rules: which client may reach what, and which target a destination becomes."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase

from tandem.base.addresses import parse_host_port
from tandem.config.patterns import Pattern, parse_pattern
from tandem.config.server_sections import ForwardConfig, RuleConfig
from tandem.exchange.request import SUFFIX, Kind, Request


class Action(Enum):
    """What a rule does."""

    ALLOW = "allow"
    DENY = "deny"
    FORWARD = "forward"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the server's list."""

    action: Action
    pattern: Pattern
    client: str = "*"
    """Names of the clients that the rule applies to; `*` stands for any text."""
    target_host: str = ""
    target_port: int | None = None
    """Port of the target; None for the port of the request."""

    def concerns(self, client: str) -> bool:
        """Whether the rule applies to this client."""
        return fnmatchcase(client, self.client)

    def __str__(self) -> str:
        return f"{self.action.value} {self.pattern.text}"


@dataclass(frozen=True, slots=True)
class Candidates:
    """The rules that may decide a request, found before its host is resolved."""

    by_address: tuple[Rule, ...]
    """Rules about networks that come before `by_name` in the list."""
    by_name: Rule | None
    """The first rule that matches the name; None where none does."""

    def match_address(self, address: str, port: int) -> Rule | None:
        """The rule for one address of the host; None where no rule matches and the default applies."""
        first = (rule for rule in self.by_address if rule.pattern.matches_address(address, port))
        return next(first, self.by_name)


class Rules:
    """All rules of a server; the first match wins. `[[rule]]` come before `[[forward]]`."""

    def __init__(self, rules: Iterable[RuleConfig], forwards: Iterable[ForwardConfig]) -> None:
        self._rules = [_rule(item) for item in rules]
        self._rules += [_forward("*", item.match, item.target) for item in forwards]

    def candidates(self, client: str, request: Request) -> Candidates:
        """The rules that may decide a request."""
        by_address: list[Rule] = []
        for rule in self._rules:
            if not rule.concerns(client):
                continue
            if _is_named(rule.pattern, request):
                return Candidates(tuple(by_address), rule)
            if rule.pattern.network is not None and request.port in rule.pattern.ports:
                by_address.append(rule)
        return Candidates(tuple(by_address), None)

    def forward_names(self, client: str) -> list[str]:
        """The host names by which a client reaches forwards."""
        names = [rule for rule in self._rules if rule.action is Action.FORWARD and rule.pattern.forward]
        return [rule.pattern.forward + SUFFIX for rule in names if rule.concerns(client)]


def _is_named(pattern: Pattern, request: Request) -> bool:
    """Whether a pattern is about a request by the name that the request has."""
    if request.kind is Kind.FORWARD:
        return pattern.matches_forward(request.host)
    return pattern.matches_name(request.host, request.port)


def _rule(item: RuleConfig) -> Rule:
    if item.action == "forward":
        return _forward(item.client, item.match, item.target or "")
    return Rule(Action(item.action), parse_pattern(item.match), item.client)


def _forward(client: str, match: str, target: str) -> Rule:
    host, _, port = target.rpartition(":")
    if port == "*":
        return Rule(Action.FORWARD, parse_pattern(match), client, host.removeprefix("[").removesuffix("]"))
    return Rule(Action.FORWARD, parse_pattern(match), client, *parse_host_port(target, what="forward target"))
