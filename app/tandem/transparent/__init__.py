"""Devices that know nothing of a proxy: their connections, datagrams and name queries, caught on their way (Linux).

What comes is handed to a far side, like the requests of the SOCKS port. The firewall's rules are in `lan/`.
"""
