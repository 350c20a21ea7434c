"""All commands of the kit: their names, what they do, and the programs that do it.

`trm-arc NAME` runs the same program as `python -m MODULE`.
"""

from typing import NamedTuple

from trm_arc.common.errors import did_you_mean
from trm_arc.common.launch import SUBMIT


class Command(NamedTuple):
    """A command.

    Attributes:
        module: the program, as `python -m` takes it.
        what: it does, in a line.
        subcommand: of the program, empty if it has none.
    """

    module: str
    what: str
    subcommand: str = ""


GROUPS: dict[str, dict[str, Command]] = {
    "train and answer": {
        "train": Command("trm_arc.train", "train a model on ARC tasks, Sudoku or mazes"),
        "adapt": Command("trm_arc.adapt", "adapt a trained model to unseen tasks"),
        "evaluate": Command("trm_arc.evaluate", "answer tasks or puzzles, vote and score"),
        "solve": Command("trm_arc.solve", "answer an ARC task, a Sudoku or a maze"),
        "sweep": Command("trm_arc.sweep", "accuracy against compute, on Sudoku and mazes"),
    },
    "look at answers": {
        "show": Command("trm_arc.show", "print tasks or puzzles, and a run's answers to them"),
        "report": Command("trm_arc.report", "write a page of answers, votes and curves"),
    },
    "submissions": {
        "submit": Command("submission", "answer a challenges file: a checked submission.json", "predict"),
        "check": Command("submission", "list every fault of a submission", "check"),
        "score": Command("submission", "score a submission, or compare several", "score"),
        "merge": Command("submission", "merge several submissions into one", "merge"),
        "bundle": Command("submission", "make the folder to upload to Kaggle", "bundle"),
        "verify": Command("submission", "check whether a bundle is damaged", "verify"),
        "kaggle": Command("submission", "answer, or rehearse, in a Kaggle notebook", "kaggle"),
        "pretrain": Command("submission", "train across the sessions of a Kaggle notebook", "pretrain"),
    },
    "data and models": {
        "generate": Command("trm_arc.generate", "generate Sudoku or mazes"),
        "publish": Command("trm_arc.publish", "make a folder to upload to the Hugging Face Hub"),
        "upstream": Command("trm_arc.upstream", "convert a checkpoint of the original code"),
    },
    "this machine": {
        "doctor": Command("trm_arc.doctor", "what this machine has, and what is missing"),
        "completion": Command("trm_arc.completion", "print the completion script of a shell"),
    },
}
COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}


def suggest_command(name: str) -> str:
    """The end of a sentence on an unknown command: the nearest one, or nothing if none is near."""
    return did_you_mean(SUBMIT[1] if name == SUBMIT[0] else name.lower(), COMMANDS)


def format_help(program: str) -> str:
    """The help of a program that has all commands, as it is typed."""
    lines = [f"usage: {program} COMMAND [options]", "", "Train the Tiny Recursive Model on ARC tasks, answer, vote, submit.", ""]
    for title, commands in GROUPS.items():
        lines += [f"{title}:", *(f"  {name:11} {command.what}" for name, command in commands.items()), ""]
    return "\n".join([*lines, f"`{program} COMMAND --help` shows the flags of a command."])
