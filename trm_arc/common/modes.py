"""Names of precisions and compile modes, as flags and files have them; known without torch, which takes seconds to import."""

PRECISIONS = ("float32", "bfloat16", "float16", "float64")
STEP, BLOCK, NONE, AUTO = "step", "block", "none", "auto"  # what torch.compile compiles
WORTHWHILE = 1200.0  # seconds; in a shorter run the windows would take too large a share of the time to compile


def is_too_short(flag: str, seconds: float) -> bool:
    """Whether nothing is compiled because a run has so few seconds, and nobody asked for it."""
    return flag == AUTO and seconds < WORTHWHILE
