"""How fast a path may send: the congestion controller's interface, its implementation Lc2, and its measurements.

This package knows neither streams nor addresses.
"""
