"""What both ends say to each other on a stream: requests, answers, failures, datagrams in pieces, names of links.

The code that asks and the code that serves are elsewhere.
"""
