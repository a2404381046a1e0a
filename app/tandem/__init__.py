"""Tandem, the command: two bad internet connections that behave like one good one."""

__version__ = "0.1.0"
