"""Figures as the console writes them: short, and - where there is no sample yet."""


def ms(value: float | None) -> str:
    """A time in milliseconds, without the unit; - for no sample yet."""
    return "-" if value is None else f"{value:.0f}"


def percent(share: float | None) -> str:
    """A share from 0 to 1 in percent; - for no sample yet."""
    return "-" if share is None else f"{share:.0%}"


def rate(bits: float) -> str:
    """A rate in bits per second, with three digits and a prefix."""
    for unit in ("", " k", " M"):
        if bits < 1000:
            return f"{bits:.3g}{unit}"
        bits /= 1000
    return f"{bits:.3g} G"


def duration(seconds: float) -> str:
    """A time span in its two largest units, such as 1 h 5 min."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
