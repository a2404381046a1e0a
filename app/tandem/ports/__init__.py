"""Ports of this machine at which strangers arrive: UDP with the address that was reached, and its peers; TCP in tasks.

What arrives is handed on; where it goes is decided elsewhere.
"""
