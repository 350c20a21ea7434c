"""The report of an evaluation and of training: one HTML file, and pictures for a paper."""
