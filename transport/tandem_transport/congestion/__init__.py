"""How fast a path may send: the controller's seam, Lc2, and what it measures.

It knows neither streams nor addresses.
"""
