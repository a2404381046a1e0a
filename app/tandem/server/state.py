"""The server's state directory, and the private key in it."""

import base64
import os
from pathlib import Path

from tandem.base.errors import TandemError
from tandem.base.private_files import create_private
from tandem_transport import public_key

_KEY_SIZE = 32

_RESTORE = (
    "restore server.key from a backup of the state directory; without one, remove registry.db too, and invite "
    "everybody anew, for their invites name the lost key"
)


class StateDirectory:
    """Reads and writes the state directory; safe while a server runs."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def server_key(self, *, registered: int) -> bytes:
        """The server's private key, created on first use. Raises TandemError.

        `registered`: the number of clients who know the key; where there are some, a key that is gone is not replaced.
        """
        path = self.path / "server.key"
        try:
            if not path.exists():
                if registered:
                    text = f"{path} is missing, but {registered} clients are registered, who know its key"
                    raise TandemError(text, _RESTORE)
                create_private(path, base64.b64encode(os.urandom(_KEY_SIZE)) + b"\n")
            key = base64.b64decode(path.read_bytes())
        except OSError as error:
            hint = "the state directory must be this user's: sudo -u USER, or --state DIRECTORY"
            raise TandemError(f"{path}: {error.strerror}", hint) from error
        except ValueError as error:
            raise TandemError(f"{path}: not a key ({error})", _RESTORE) from error
        if len(key) != _KEY_SIZE:
            raise TandemError(f"{path}: not a key", _RESTORE)
        return key

    def server_public_key(self, *, registered: int) -> bytes:
        """The public key by which clients authenticate the server. Raises like `server_key`."""
        return public_key(self.server_key(registered=registered))
