"""Errors in words of Python: where a command would name a flag, the keyword that a program has given."""

import inspect
import re
from collections.abc import Callable, Collection
from functools import wraps
from typing import ParamSpec, TypeVar

from trm_arc.common.errors import InputError

P = ParamSpec("P")
R = TypeVar("R")
_OTHERS = {"answer_steps": "steps", "compile": "compile_mode", "checkpoint": "checkpoints"}  # flags that have another name here


def name_keywords(settings: Collection[str] = ()) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """For a public function: its errors name keywords, such as `batch_size`, in place of flags, such as `--batch-size`.

    Args:
        settings: keywords that the function takes beside its parameters.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        known = {*inspect.signature(function).parameters, *settings}

        def rename(found: re.Match[str]) -> str:
            name = found[1].replace("-", "_")
            return next((one for one in (name, _OTHERS.get(name)) if one in known), found[0])

        @wraps(function)
        def call(*arguments: P.args, **keywords: P.kwargs) -> R:
            try:
                return function(*arguments, **keywords)
            except InputError as error:
                flag, problem, text = (
                    part and re.sub(r"--([a-z][a-z-]*[a-z])", rename, part) for part in (error.flag, error.problem, str(error))
                )
                error.flag, error.problem, error.args = flag, problem, (text,)
                raise

        return call

    return decorate
