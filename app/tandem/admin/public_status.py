"""What everybody who reaches the admin endpoint may see on its page: how the links are, not who talks to whom."""

from tandem.admin.status import ClientStatus, LinkStatus, Status


def public_status(status: Status) -> Status:
    """A copy of a status without destinations, addresses and names of clients."""
    if isinstance(status, ClientStatus):
        session = status.session.model_copy(update={"server": None, "reason": ""})
        links = [_public_link(link) for link in status.links]
        kept = {"session": session, "links": links, "streams": [], "exits": [], "published": [], "socks": ""}
        return status.model_copy(update=kept)
    return status.model_copy(update={"sessions": [], "listen": [], "published": [], "registry_problem": ""})


def _public_link(link: LinkStatus) -> LinkStatus:
    return link.model_copy(update={"local": None, "remote": None, "reason": ""})
