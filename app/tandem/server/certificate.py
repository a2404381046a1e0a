"""The certificate of the TLS port: self-made, and trusted by nobody. Clients know the server by its own key instead."""

import datetime
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tandem.base.errors import TandemError
from tandem.base.private_files import create_private

_LIFETIME = datetime.timedelta(days=3650)
_NAME = "localhost"


def server_context(directory: Path) -> ssl.SSLContext:
    """A context with the certificate in the state directory, which is made on first use. Raises TandemError."""
    path = directory / "tls.pem"
    try:
        if not path.exists():
            create_private(path, certificate())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
    except OSError as error:  # ssl.SSLError is one
        hint = "remove the file, and another one is made; clients need no other invite"
        raise TandemError(f"{path}: {error.strerror or error}", hint) from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def certificate() -> bytes:
    """A new key and its certificate, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAME)])
    begins = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + _LIFETIME)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(_NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)
