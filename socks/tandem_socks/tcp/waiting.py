"""Waiting for one of two things."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


async def first_of_two(one: Awaitable[A], other: Awaitable[B]) -> "tuple[asyncio.Future[A], asyncio.Future[B]]":
    """Waits until one of them has a result, and cancels the other; returns both, done or cancelled."""
    first, second = asyncio.ensure_future(one), asyncio.ensure_future(other)
    try:
        await asyncio.wait((first, second), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for future in (first, second):
            future.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
    return first, second
