"""What is different on Windows, as far as it can be seen from here."""

import ctypes
import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tandem.base.errors import os_error_text
from tandem.exchange.failures import dial_failure
from tandem_transport.driver import interface_index


def test_both_ends_run_without_what_only_unix_has(tmp_path: Path) -> None:
    places = {"STATE_DIRECTORY": "", "XDG_STATE_HOME": "", "HOME": str(tmp_path)}
    environment = os.environ | places | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "like_windows"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr


class Helper:
    """The library of Windows that knows interfaces by the names that people see."""

    def ConvertInterfaceAliasToLuid(self, alias: str, luid: Any) -> int:
        luid._obj.value = 1 << 40
        return 0 if alias == "Wi-Fi" else 87

    def ConvertInterfaceLuidToIndex(self, luid: Any, index: Any) -> int:
        index._obj.value = luid._obj.value >> 38
        return 0


def library(name: str) -> Helper:
    assert name == "iphlpapi"
    return Helper()


def test_an_interface_of_windows_is_found_by_the_name_that_people_see(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "WinDLL", library, raising=False)
    monkeypatch.setattr(sys, "platform", "win32")
    assert interface_index("Wi-Fi") == 4
    with pytest.raises(OSError, match="there is no interface Ethernet now"):
        interface_index("Ethernet")


def test_errors_of_sockets_on_windows_have_words_and_the_usual_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "FormatError", {10060: "the time is over"}.__getitem__, raising=False)
    monkeypatch.setitem(errno.errorcode, 10060, "WSAETIMEDOUT")
    monkeypatch.setattr(sys, "platform", "win32")
    assert os_error_text(OSError(10060, "Connect call failed ('192.0.2.1', 80)")) == "the time is over"
    assert os_error_text(OSError(errno.ENOENT, "")) == os.strerror(errno.ENOENT)
    assert dial_failure(OSError(10060, "")).is_timeout
