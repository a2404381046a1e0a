"""Tandem, the command: two bad internet connections that behave like one good one."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str
else:
    # Looked up when it is asked for: that takes longer than all else that `tandem connect` does before it connects.
    def __getattr__(name: str) -> str:
        """Returns `__version__`, that of the installed package; pyproject.toml is where it is written."""
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("tandem-proxy")
        except PackageNotFoundError:  # a checkout on PYTHONPATH
            return "0+unknown"
