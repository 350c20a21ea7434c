"""Scores, results on disk, what became of every test, comparisons, traces."""
