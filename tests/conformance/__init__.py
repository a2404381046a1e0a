"""How Tandem's port behaves towards every kind of client: named cases, played over real sockets.

`pytest tests/conformance` runs each case in each setup; `make conformance` writes the table
docs/socks-conformance.md.
"""
