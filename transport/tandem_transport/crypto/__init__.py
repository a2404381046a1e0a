"""Keys and what they protect: the Noise handshake, packet protection and key phases, connection ids.

No packet is sent or counted here.
"""
