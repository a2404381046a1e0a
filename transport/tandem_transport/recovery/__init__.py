"""What an end knows of packets on their way: chunks, sent packets, acknowledgements, losses, round trips.

How fast to send is not decided here.
"""
