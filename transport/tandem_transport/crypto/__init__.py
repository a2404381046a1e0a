"""Keys and their uses: the Noise handshake, packet protection and key phases, connection ids.

This package does not send or count packets.
"""
