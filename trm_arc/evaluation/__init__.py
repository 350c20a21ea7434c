"""Scores, results on disk, outcomes of every test, comparisons, traces."""
