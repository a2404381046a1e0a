"""Reaching out from this machine: names to addresses, TCP connections and UDP ports, and which addresses are private.

A server dials for its clients, and a client for what goes past the session. Who may reach what is decided elsewhere.
"""
