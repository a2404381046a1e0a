"""Amounts of data and rates as people write them."""

import re
import time

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kKMGT]?i?)B")
_RATE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kKMG]?)(bit|B)/s")
_DECIMAL = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY = {"ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}

_MOST = 4e18

SIZES = "a number and B, kB, MB, GB or TB (or KiB, MiB, GiB, TiB), such as 2 GB"
RATES = "a number and bit/s, kbit/s, Mbit/s or MB/s, such as 5 Mbit/s"


def parse_size(text: str) -> int:
    """Parses an amount of data to bytes. Raises ValueError that says what is accepted."""
    match = _SIZE.fullmatch(text.strip())
    factors = _DECIMAL | _BINARY
    prefix = match[2].replace("K", "k") if match else ""
    if match is None or prefix not in factors:
        raise ValueError(f"{text!r} is not an amount of data; accepted is {SIZES}")
    return _bounded(float(match[1]) * factors[prefix], text)


def parse_rate(text: str) -> int:
    """Parses a rate to bytes per second. Raises ValueError that says what is accepted."""
    match = _RATE.fullmatch(text.strip())
    if match is None or not float(match[1]):
        raise ValueError(f"{text!r} is not a rate; accepted is {RATES}")
    bytes_each = 1 if match[3] == "B" else 1 / 8
    return max(1, _bounded(float(match[1]) * _DECIMAL[match[2].replace("K", "k")] * bytes_each, text))


def _bounded(count: float, text: str) -> int:
    if count > _MOST:
        raise ValueError(f"{text[:40]!r} is too much; the most is 4000000 TB")
    return round(count)


def format_size(count: float) -> str:
    """A number of bytes as three digits and a unit, such as 1.25 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def format_rate(rate: float) -> str:
    """A rate in bytes per second as bits per second, with three digits and a unit, such as 20 Mbit/s."""
    bits = rate * 8
    for unit in ("bit/s", "kbit/s", "Mbit/s"):
        if bits < 1000:
            return f"{bits:.3g} {unit}"
        bits /= 1000
    return f"{bits:.3g} Gbit/s"


def format_time(seconds: float) -> str:
    """A time in seconds since the epoch as people write it, in UTC, to the minute; "never" where no clock has it."""
    try:
        return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
    except (OverflowError, OSError, ValueError):
        return "never"
