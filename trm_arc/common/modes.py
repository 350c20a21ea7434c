"""Names of precisions and compile modes, as flags and files have them; known without torch, which takes seconds to import."""

PRECISIONS = ("float32", "bfloat16", "float16", "float64")
STEP, BLOCK, NONE = "step", "block", "none"  # what torch.compile compiles
