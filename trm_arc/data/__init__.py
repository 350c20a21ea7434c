"""From files to batches: tasks and puzzles, sources, leakage, examples."""
