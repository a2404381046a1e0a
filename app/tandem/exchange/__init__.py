"""What both ends say to each other on a stream: requests, answers, failures, datagrams in pieces, names of links.

Who asks and who serves lives elsewhere.
"""
