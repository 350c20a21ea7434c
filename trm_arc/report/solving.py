"""The answer to one puzzle in the terminal, as it is refined and at its end."""

import numpy as np

from augment import tokens_to_board
from trm_arc.common.output import print_styled
from trm_arc.data.puzzle_set import PuzzleSet
from trm_arc.inference.refinement import RefinementStep
from trm_arc.inference.votes import Candidate
from trm_arc.report.puzzle_terminal import render_board
from trm_arc.report.terminal import flow

LINE = 100  # cells of a board that is printed in one line, too, to be copied


class SolutionDrawer:
    """Draws a model's answer to a single puzzle, in colour or with marks."""

    def __init__(self, puzzles: PuzzleSet, *, colour: bool) -> None:
        self.domain, self.colour = puzzles.domain, colour
        self.question, self.truth = puzzles.questions[0], puzzles.answers[0]

    def render_step(self, now: RefinementStep) -> None:
        """Print the answer after a step, of the surest rollout; cycles within a step are not drawn."""
        if not now.last:
            return
        surest = int(now.halting.argmax())
        board = tokens_to_board(now.answers[surest].cpu().numpy())
        right = int((board == self.truth).sum())
        sure = float(now.halting[surest].float().sigmoid())
        print(f"step {now.step}: {right} of {board.size} cells right, {sure:.0%} sure")
        print_styled("\n".join(self._draw(board)) + "\n", flush=True)

    def _draw(self, board: np.ndarray) -> list[str]:
        return render_board(self.domain, self.question, board, self.truth, self.colour)

    def render_answer(self, candidate: Candidate, views: int) -> str:
        """The question, the answer beside it, and whether the rules allow it; `views` have voted."""
        board, domain = candidate.grid, self.domain
        question = render_board(domain, self.question, self.question, None, self.colour)
        titled = [("question", question), ("answer", self._draw(board))]
        if (board == self.truth).all():
            verdict = "right: the solution"
        elif domain.are_solutions(self.question[None], board[None])[0]:
            verdict = "right: a shortest path, but not the one of the data set's rule"
        else:
            verdict = f"wrong: {domain.answer_fault(self.question, board)}; {int((board != self.truth).sum())} cells differ"
        votes = f", {candidate.votes} of {views} views" if views > 1 else ""
        summary = f"{verdict} ({candidate.halting:.0%} sure{votes})"
        line = f"{domain.format_text(board)}\n" if board.size < LINE else ""
        return f"{flow(titled)}\n{line}{summary}"
