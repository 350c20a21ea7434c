"""Sudoku and mazes: rules, solvers, canonical forms, generators.  NumPy and numba only."""
