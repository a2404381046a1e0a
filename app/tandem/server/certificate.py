"""The certificate of the TLS port: self-made, and trusted by nobody. Clients know the server by its own key instead."""

import ssl
from pathlib import Path

from tandem.base.errors import TandemError
from tandem.base.private_files import create_private


def server_context(directory: Path) -> ssl.SSLContext:
    """A context with the certificate in the state directory, which is made on first use. Raises TandemError."""
    path = directory / "tls.pem"
    try:
        if not path.exists():
            from tandem.server.self_signed import certificate  # 2 MB, for the first start

            create_private(path, certificate())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
    except OSError as error:  # ssl.SSLError is one
        hint = "remove the file, and another one is made; clients need no other invite"
        raise TandemError(f"{path}: {error.strerror or error}", hint) from error
    context.set_alpn_protocols(["http/1.1"])
    return context
