"""The errors that a user's mistake raises: a clear sentence, shown without a traceback, exit code 2."""


class InputError(ValueError):
    """What a user gave is wrong: the message says what, where and what to do."""


class OwnError(InputError):
    """What one of several processes has met alone, so that it has to say it itself."""


def shorten(names: list[str], limit: int = 5) -> str:
    """The first few names, and how many more there are."""
    listed = ", ".join(names[:limit])
    return listed if len(names) <= limit else f"{listed} and {len(names) - limit} more"
