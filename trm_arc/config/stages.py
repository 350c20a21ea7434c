"""Curricula: settings that differ in the first stages of a training run, written as `VALUE:SHARE, VALUE:SHARE`."""

import re
from itertools import pairwise

from trm_arc.common.errors import InputError

DEPTHS = re.compile(r"(\d+)/(\d+):(\d*\.?\d+)"), "T/n:SHARE, such as 1/2:0.3"
LIMITS = re.compile(r"(\d+):(\d*\.?\d+)"), "N:SHARE, such as 1:0.5"


def parse_stages(text: str, form: tuple[re.Pattern[str], str], setting: str) -> list[tuple]:
    """The stages of a curriculum: the share of the steps at which each ends, and its numbers.

    Args:
        form: of a stage, its share last, and an example.

    Raises:
        InputError: a stage of another form, or shares that do not rise between 0 and 1.
    """
    pattern, example = form
    stages = []
    for stage in filter(None, (part.strip() for part in text.split(","))):
        match = pattern.fullmatch(stage)
        if not match:
            raise InputError(f"{stage!r} is not a stage: write {example}", flag=setting)
        *numbers, share = match.groups()
        stages.append((float(share), *map(int, numbers)))
    if any(a >= b for a, b in pairwise([0.0, *(share for share, *_ in stages), 1.0])):
        raise InputError(f"shares must rise between 0 and 1, got {text!r}", flag=setting)
    return stages
