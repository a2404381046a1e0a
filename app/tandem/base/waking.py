"""When periodic work is due: all of it at the same moments, for each wake-up of a machine costs power."""

import asyncio


def until_multiple(interval: float) -> float:
    """Seconds until the event loop's clock shows the next multiple of an interval, in seconds, or nearly so.

    A timer may fire a little early; then the multiple after the next one is meant.
    """
    left = interval - asyncio.get_running_loop().time() % interval
    return left if left > 0.01 * interval else left + interval
