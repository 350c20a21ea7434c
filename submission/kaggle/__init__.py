"""The kit in a Kaggle notebook: what is attached, the scored run and its rehearsal, training in sessions, a page of answers."""

from submission.kaggle.inputs import Inputs
from submission.kaggle.page import show_answers, show_run

__all__ = ["Inputs", "show_answers", "show_run"]
