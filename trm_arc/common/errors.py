"""The errors that a user's mistake raises: a clear sentence, shown without a traceback, exit code 2."""


class InputError(ValueError):
    """What a user gave is wrong: the message says what, where and what to do."""


class OwnError(InputError):
    """What one of several processes has met alone, so that it has to say it itself."""


def require_least(name: str, value: int | None, least: int = 1) -> None:
    """Raise InputError unless the value of a flag is at least `least`.

    Args:
        name: of the value, as a variable or as the flag.
        value: that was given; None where the flag was left out.
        least: the smallest that means something.
    """
    if value is not None and value < least:
        flag = "--" + name.removeprefix("--").replace("_", "-")
        raise InputError(f"{flag}: at least {least} is needed, got {value}")


def shorten(names: list[str], limit: int = 5) -> str:
    """The first few names, and how many more there are."""
    listed = ", ".join(names[:limit])
    return listed if len(names) <= limit else f"{listed} and {len(names) - limit} more"
