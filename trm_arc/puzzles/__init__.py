"""Sudoku and mazes by their rules, without a model: NumPy and numba only."""
