"""Answers: refinement, many views, votes, two attempts."""
