"""When periodic work is due: all of it at the same moments, for each wake-up of a machine costs power."""

import asyncio


def until_multiple(interval: float) -> float:
    """Seconds until the event loop's clock shows the next multiple of an interval, in seconds."""
    return interval - asyncio.get_running_loop().time() % interval
