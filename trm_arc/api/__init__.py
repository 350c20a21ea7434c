"""The Python API: what `trm_arc` offers to notebooks and programs, on the same functions as the commands."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # in a notebook without ipywidgets, whichever library imports this first warns of it
    import tqdm.auto as tqdm_auto  # noqa: F401
