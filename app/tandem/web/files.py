"""The files of the page, which are read once, and the headers that keep other pages away from it."""

import functools
from collections.abc import Mapping
from importlib import resources

from tandem.web.messages import Answer

_TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

NAMES = {"/": "index.html"} | {
    f"/{name}": name
    for name in ("page.css", "icon.svg", "page.js", "session.js", "client.js", "server.js", "charts.js", "elements.js")
}
"""The files by the path that a browser asks for."""

_CSP = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in _CSP.items()),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""What each answer says to a browser: nothing from elsewhere runs here, and nothing here is part of another page."""


def page_file(path: str) -> Answer | None:
    """The file that a path names, None where there is none."""
    name = NAMES.get(path)
    if name is None:
        return None
    return Answer(body=_content(name), content_type=_TYPES[name[name.rindex(".") :]])


@functools.cache
def _content(name: str) -> bytes:
    return resources.files("tandem.web").joinpath("static", name).read_bytes()
