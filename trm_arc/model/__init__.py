"""The recursive model, what it costs, and its checkpoints."""
