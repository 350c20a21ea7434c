"""Sudoku: rules, solver, canonical form, generator."""
