"""`tandem doctor`: checks everything between this machine and the server, link by link, and says what to do.

Each link is tested with separate pings and sessions, so a running client is not disturbed. The modules: `link` asks
the server's addresses over one link, by means of `pings`; `session` examines one that answers, and `nat` and `portal`
interpret what it finds; `machine` and `routes` find reasons on this machine; `running` compares with a running client.
"""

import asyncio
from collections.abc import Iterator, Sequence

from tandem.admin.status import ClientStatus
from tandem.client.links import planned_links
from tandem.config.config import Config, LinkConfig
from tandem.config.invites import Invite
from tandem.doctor.findings import Finding
from tandem.doctor.link import Examination
from tandem.doctor.machine import links_without_route, local_port
from tandem.doctor.nat import shared_fate
from tandem.doctor.routes import Route, read_routes
from tandem.doctor.running import ask_client, compare, known_devices, links_of

_MAX_SESSIONS = 2
"""Limit of simultaneous sessions: a server accepts four of one client, and the running client may have one."""


async def examine(config: Config, invite: Invite) -> list[Finding]:
    """Runs all checks; returns the findings in the order in which they are shown."""
    routes, running = read_routes(), await ask_client(config)
    links = chosen_links(config.link, running)
    found = [await local_port(config, running.socks if running is not None else "")]
    if not links:
        return [*found, *_without_links(config, routes, running)]
    examined = await _examine_links(links, invite, routes)
    for examination in examined:
        found += examination.findings
    found += links_without_route(config, routes, _taken(links, examined), known_devices(running))
    found += compare(running, await ask_client(config), {one.name: one.heard for one in examined})
    return [*found, *shared_fate((one.name, one.public_host) for one in examined if one.public_host is not None)]


def chosen_links(configured: Sequence[LinkConfig], running: ClientStatus | None) -> list[LinkConfig]:
    """The links to examine: the configured ones; without any, the running client's named ones and all that lead out."""
    present = [] if configured else links_of(running)
    return [*present, *planned_links(configured, present)]


async def _examine_links(links: Sequence[LinkConfig], invite: Invite, routes: list[Route]) -> list[Examination]:
    examined = [Examination(i, link, invite, routes) for i, link in enumerate(links)]
    sessions = asyncio.Semaphore(_MAX_SESSIONS)
    await asyncio.gather(*(examination.run(sessions) for examination in examined))
    is_server_up = any(examination.is_reached for examination in examined)
    for examination in examined:  # one after the other: the kernel has one drop count for all links
        await examination.explain(is_server_up=is_server_up)
    return examined


def _without_links(config: Config, routes: list[Route], running: ClientStatus | None) -> Iterator[Finding]:
    text = "no interface has a default route"
    advice = "Plug one in, or name a link: --link NAME=BIND, with an interface or a local address."
    yield Finding(subject="this machine", check="links", verdict="problem", text=text, advice=advice)
    yield from links_without_route(config, routes, (), known_devices(running))


def _taken(links: Sequence[LinkConfig], examined: Sequence[Examination]) -> set[str]:
    """The interfaces of the examined links."""
    return {link.bind for link in links} | {one.device for one in examined if one.device is not None}
