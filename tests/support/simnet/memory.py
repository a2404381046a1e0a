"""How much memory a value holds, counted object by object."""

import gc
import sys
from random import Random
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

_SHARED = (type, ModuleType, FunctionType, BuiltinFunctionType, Random)
"""Code, and what the test owns."""


def size_of(value: Any) -> int:
    """Bytes of everything that can be reached from it."""
    seen: set[int] = set()
    todo = [value]
    total = 0
    while todo:
        one = todo.pop()
        if id(one) in seen or isinstance(one, _SHARED):
            continue
        seen.add(id(one))
        total += sys.getsizeof(one)
        todo += gc.get_referents(one)
    return total
