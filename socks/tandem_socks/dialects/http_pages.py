"""The pages that the port itself serves over HTTP: texts for people, and the PAC file for browsers.

A page never repeats parts of the request, and other origins may not read it.
"""

from tandem_socks.dialects.http_head import MalformedRequest
from tandem_socks.errors import Reply, SocksError
from tandem_socks.request import format_place

_REASONS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    407: "Proxy Authentication Required",
    421: "Misdirected Request",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}

WELCOME = (
    "This is the proxy port of Tandem, not a web site.\n\n"
    "Set your browser's SOCKS v5 host to {host} and its port to {port}, and let it resolve names through\n"
    "the proxy. As an HTTP proxy, or by the automatic configuration http://{place}/proxy.pac, it works too.\n"
)

TLS = (
    "Tandem's proxy port was spoken to in TLS. The proxy itself takes no TLS: set it up as a SOCKS v5 or\n"
    "HTTP proxy; sites with https work through it as they are.\n"
)

CROSS_SITE = "A web page may not use this proxy by itself.\n"
PASSWORD = "This proxy needs a name and a password.\n"

_PAC = """function FindProxyForURL(url, host) {{
  var here = "DIRECT", there = "SOCKS5 {place}; SOCKS {place}; PROXY {place}";
  host = host.toLowerCase().replace(/^\\[|\\]$|\\.$/g, "");
  var authority = /^([a-z]+):\\/\\/(?:[^\\/@]*@)?(?:\\[[^\\]]*\\]|[^\\/:?#]*)(?::(\\d+))?/i.exec(url) || ["", "http"];
  var usual = {{https: 443, wss: 443, ftp: 21}};
  var port = authority[2] ? Number(authority[2]) : usual[authority[1].toLowerCase()] || 80;
{rules}
  return there;
}}
"""


def page(
    status: int,
    text: str,
    *extra: str,
    media_type: str = "text/plain; charset=utf-8",
    has_body: bool = True,
) -> bytes:
    """A whole answer, the last one on its connection; `extra` are further fields. `has_body` is False for HEAD."""
    body = text.encode()
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}",
        f"Content-Type: {media_type}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Cross-Origin-Resource-Policy: same-origin",
        "X-Content-Type-Options: nosniff",
        *extra,
        "Connection: close",
    )
    return "\r\n".join([*head, "", ""]).encode("latin-1") + (body if has_body else b"")


def pac(host: str, port: int, rules: str, *, has_body: bool = True) -> bytes:
    """The PAC file: sends requests through this listener, but for those about which `rules` say otherwise.

    `rules`: statements of JavaScript that return `here` or `there`, for `host` in lower case and `port`.
    """
    indented = "\n".join("  " + line for line in rules.splitlines())
    text = _PAC.format(place=format_place(host, port), rules=indented)
    return page(200, text, media_type="application/x-ns-proxy-autoconfig", has_body=has_body)


def welcome(status: int, host: str, port: int) -> bytes:
    """The page for a browser that takes the port for a web site."""
    return page(status, WELCOME.format(host=host, port=port, place=format_place(host, port)))


def failure(error: SocksError) -> bytes:
    """The page for a request that failed, with the text of its error."""
    if error.is_timeout:
        return page(504, f"{error}\n")
    if isinstance(error, MalformedRequest):
        return page(error.status, f"{error}\n")
    match error.reply:
        case Reply.CONNECTION_NOT_ALLOWED_BY_RULESET:
            return page(403, f"{error}\n")
        case Reply.COMMAND_NOT_SUPPORTED:
            return page(501, f"{error}\n")
        case None:
            return page(400, f"{error}\n")
        case Reply.GENERAL_FAILURE:
            return page(503, f"{error}\n")
        case _:
            return page(502, f"{error}\n")
