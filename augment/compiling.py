"""Kernels, which are compiled when they are first called: numba itself takes a second to import."""

from collections.abc import Callable
from functools import cached_property, update_wrapper
from types import FunctionType
from typing import Any


class Kernel:
    """A function of numbers and arrays that numba compiles; what it calls by a global name may be kernels, too.

    Attributes:
        py_func: the function itself.
    """

    def __init__(self, py_func: Callable, **options: object) -> None:
        """Take a function and options of `numba.njit`."""
        update_wrapper(self, py_func)
        self.py_func, self._options = py_func, options

    def __call__(self, *arguments: Any) -> Any:
        """Call what is compiled."""
        return self.compiled(*arguments)

    @cached_property
    def compiled(self) -> Callable:
        """What numba makes of it, with every kernel that it calls in its compiled form."""
        from augment.code_cache import compile_kernel  # which imports numba

        function, known = self.py_func, self.py_func.__globals__
        called = {name: known[name].compiled for name in function.__code__.co_names if isinstance(known.get(name), Kernel)}
        copy = FunctionType(function.__code__, known | called, function.__name__, function.__defaults__, function.__closure__)
        return compile_kernel(update_wrapper(copy, function), **self._options)


jit = Kernel  # the decorator
