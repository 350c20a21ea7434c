"""Make a folder to upload to the Hugging Face Hub: python -m trm_arc.publish --checkpoint runs/arc1 --out DIR"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from trm_arc.cli import RUNS, Parser, add_answer_steps, add_model_flag
from trm_arc.common.durations import format_size
from trm_arc.common.errors import InputError
from trm_arc.common.files import read_json, write_atomic
from trm_arc.common.folders import new_folder, require_replaceable
from trm_arc.common.program import run
from trm_arc.common.text import printable
from trm_arc.config import SETTINGS_FILE, write_preset
from trm_arc.model.checkpoint import FORMAT, save_checkpoint
from trm_arc.model.checkpoint_files import FILES, newest_checkpoint, run_of
from trm_arc.model.export import load_newest
from trm_arc.model.sharing import round_for_answers
from trm_arc.report.model_card import make_card

_CARD = "README.md"
_OWN = (*FILES, SETTINGS_FILE, _CARD)  # what such a folder holds


def make_parser() -> Parser:
    """The command line."""
    parser = Parser(
        prog="python -m trm_arc.publish",
        description="Make a folder to upload to the Hugging Face Hub: the network in bfloat16, without what only training needs, "
        "its settings, and a card that says what it cost and scored. `--checkpoint hf://OWNER/NAME` then finds it.",
    )
    add_model_flag(parser)
    flag = parser.group("output")
    flag("--out", type=Path, required=True, metavar="DIR", help="the folder to make")
    flag("--overwrite", action="store_true", help="replace an earlier one in --out")
    flag = parser.group("model card")
    flag("--name", metavar="TEXT", help="what the model is called in its card (default: the name of --out)")
    flag("--licence", "--license", default="", metavar="ID", help="the licence for the card, such as apache-2.0")
    flag("--machine", default="", metavar="TEXT", help="what it was trained on, for the card, such as 'one RTX 4090'")
    add_answer_steps(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Read, round, write."""
    values = make_parser().parse(arguments)
    path, out = values.checkpoint or newest_checkpoint(RUNS), values.out
    kind, unlisted = "a folder that this command made", "which this command did not write"
    require_replaceable(out, kind, lambda: _list_own(out), unlisted, overwrite=values.overwrite)
    checkpoint = load_newest(path)
    # A time limit may have chosen how long the run was to be.
    changes = {"steps": checkpoint.metadata.length or checkpoint.config.training.steps}
    if values.steps is not None:
        changes["answer_steps"] = values.steps
    checkpoint = replace(checkpoint, config=checkpoint.config.override(changes))
    shared = round_for_answers(checkpoint)
    name = values.name or out.absolute().name
    try:
        with new_folder(out) as folder:
            saved = save_checkpoint(folder, shared, 1)
            for file in FILES:
                (saved / file).rename(folder / file)
            saved.rmdir()
            size = (folder / FILES[1]).stat().st_size
            write_preset(folder / SETTINGS_FILE, shared.config, f"the settings of {name}")
            about = {"licence": values.licence, "machine": values.machine, "size": size}
            write_atomic(folder / _CARD, make_card(checkpoint, run_of(Path(checkpoint.where)), name, **about).encode())
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", file=out) from None
    print(printable(f"{path}, step {checkpoint.step}: wrote {out}, {format_size(size)}"))
    if not values.licence:
        print("the card states no licence, without which nobody may use the model: --licence, or edit it")
    print(printable(f"look at {out / _CARD}, then `hf upload OWNER/{name} {out}`"))
    return 0


def _list_own(out: Path) -> tuple[str, ...]:
    """What a folder that this command made holds.

    Raises:
        InputError: it is none.
    """
    header = read_json(out / FILES[0])
    if out.is_symlink() or not isinstance(header, dict) or header.get("format") != FORMAT:
        raise InputError("is none", file=out)
    return _OWN


if __name__ == "__main__":
    run(main)
