"""Mazes: rules, shortest paths, generator."""
