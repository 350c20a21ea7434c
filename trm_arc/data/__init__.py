"""From files to batches: tasks and puzzles, sources, leaks, examples."""
