"""The entry point of `python -m tandem`."""

from tandem.cli.main import main

main()
