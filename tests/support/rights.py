"""What this process may do."""

import os
import sys


def is_root() -> bool:
    """Whether it may do everything; never on Windows."""
    if sys.platform == "win32":
        return False
    return os.geteuid() == 0
