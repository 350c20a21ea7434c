"""The Python API: what `trm_arc` offers to notebooks and programs, on the same functions as the commands."""
