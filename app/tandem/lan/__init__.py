"""The router around a client: the firewall's rules that send other devices' traffic to it, and what is missing there.

Nothing here changes the system.
"""
