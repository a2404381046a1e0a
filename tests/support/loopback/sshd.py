"""An OpenSSH server that lets root in with a key of the test's own."""

import subprocess
from pathlib import Path

from loopback.ports import free_port, wait_for_listener


class Sshd:
    """Runs until it is closed."""

    def __init__(self, program: str, directory: Path) -> None:
        self.port = free_port()
        self._key = directory / "key"
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._key)]
        subprocess.run(keygen, check=True, timeout=60)
        (directory / "authorized").write_text((directory / "key.pub").read_text())
        options = {
            "ListenAddress": f"127.0.0.1:{self.port}",
            "HostKey": str(self._key),
            "AuthorizedKeysFile": str(directory / "authorized"),
            "StrictModes": "no",
            "UsePAM": "no",
            "PidFile": "none",
        }
        given = [item for name, value in options.items() for item in ("-o", f"{name}={value}")]
        self._process = subprocess.Popen([program, "-D", "-f", "none", *given], stderr=subprocess.DEVNULL)
        wait_for_listener(self.port)

    def run(self, proxy_command: str, command: str, data: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
        """Runs a command over ssh, through a proxy."""
        ssh = ["ssh", "-i", str(self._key), "-p", str(self.port), "-F", "none"]
        options = ["BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"]
        options.append(f"ProxyCommand={proxy_command}")
        given = [item for option in options for item in ("-o", option)]
        place = "root@127.0.0.1"
        return subprocess.run([*ssh, *given, place, command], input=data, capture_output=True, timeout=200, check=False)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=20)
