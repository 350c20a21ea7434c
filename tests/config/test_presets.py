"""Presets and recipes as files: the package's own, a user's, and those that runs write."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import SETTINGS, SMALL, examples, make_tasks, messages, write_kaggle
from trm_arc.common.errors import InputError
from trm_arc.config import PRESET_HELP, PRESETS, RECIPE_HELP, RECIPES, SECTIONS, Config, load_preset, settings, write_preset
from trm_arc.config import presets as module
from trm_arc.model.checkpoint import load_checkpoint
from trm_arc.model.checkpoint_files import read_config

says = messages(__name__)

FOLDER = Path(module.__file__).parent


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_every_preset_of_the_package_is_listed_with_a_line_of_help() -> None:
    names = {path.stem for path in (FOLDER / "presets").glob("*.toml") if not path.stem.startswith("_")}
    assert names == set(PRESETS) == set(PRESET_HELP)
    assert list(PRESETS)[:3] == ["arc1", "arc2", "trm"]
    assert all(10 < len(text) <= 62 for text in (*PRESET_HELP.values(), *RECIPE_HELP.values()))
    for name, preset in PRESETS.items():
        assert load_preset(name) == load_preset(FOLDER / "presets" / f"{name}.toml") == preset
    for path in (FOLDER / "presets").glob("_*.toml"):  # what others extend is a preset, too
        assert isinstance(load_preset(path), Config)


def test_every_recipe_is_listed_and_goes_on_top_of_a_preset() -> None:
    assert {path.stem for path in (FOLDER / "recipes").glob("*.toml")} == set(RECIPES) == set(RECIPE_HELP)
    for recipe in RECIPES.values():
        changed = PRESETS["arc1"].override(recipe).values()
        assert {name: changed[name] for name in recipe} == recipe


def test_the_published_run_is_the_defaults_but_for_one_task() -> None:
    assert PRESETS["arc1"] == PRESETS["trm"] == Config().override({"leave_out": "40853293,caa06a1f"})


def test_a_preset_of_the_users_own_changes_what_it_extends(tmp_path: Path) -> None:
    own = write(tmp_path / "own.toml", 'extends = "arc1-fast"\nhelp = "wider"\n[model]\nwidth = 768\n[schedule]\nsteps = 5_000\n')
    assert load_preset(own) == PRESETS["arc1-fast"].override({"width": 768, "steps": 5000})
    (tmp_path / "below").mkdir()
    child = write(tmp_path / "below" / "child.toml", 'extends = "../own.toml"\n[loss]\nlabel_smoothing = 0\n')
    assert load_preset(str(child)) == load_preset(own).override({"label_smoothing": 0})
    assert load_preset(write(tmp_path / "empty.toml", "")) == Config()


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        ("[model]\nwdith = 8\n", "model", says("wdith-is-not-a")),
        ("[data]\nwidth = 8\n", "data", says("width-belongs-in-model")),
        ("[modell]\nwidth = 8\n", "", says("modell-is-not-known")),
        ("width = 8\n", "", says("width-is-not-known")),
        ("model = 8\n", "model", says("must-be-an-object")),
        ("help = 8\n", "help", says("must-be-a-text")),
        ('[model]\nwidth = "8"\n', "width", says("must-be-a-whole")),
        ("[model]\nwidth = true\n", "width", says("must-be-a-whole-number")),
        ("[model]\nwidth = 0\n", "width", says("must-be-at-least")),
        ("[optimizer]\nema = inf\n", "ema", says("must-be-a-finite")),
        ("[data]\nbucket_exponent = 3e38\n", "bucket_exponent", says("must-be-from-0")),
        ('[loss]\nloss = "hinge"\n', "loss", says("must-be-one-of")),
        ("[model]\nstates = 6\n", "states", "--states 4"),
        ("[schedule]\nseed = 1979-05-27\n", "seed", says("must-be-a-whole-number-2")),
        ('extends = "arc1-fats"\n', "extends", says("arc1-fats-is-not")),
        ('extends = "wrong.toml"\n', "extends", says("a-circle-wrong-extends")),
        ('extends = "../x/wrong.toml"\n', "extends", says("a-circle-wrong-extends")),
        ("[model\n", "", "not TOML"),
        ("x = " + "[" * 5000, "", "not TOML"),
    ],
)
def test_a_wrong_file_is_named_with_the_place(text: str, place: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    path = write(tmp_path / "x" / "wrong.toml", text)
    with pytest.raises(InputError) as caught:
        load_preset(path)
    assert caught.value.file.name == "wrong.toml"
    assert caught.value.place == place
    assert problem in caught.value.problem


def test_a_wrong_file_below_another_is_the_one_that_is_named(tmp_path: Path) -> None:
    write(tmp_path / "first.toml", 'extends = "second.toml"\n')
    second = write(tmp_path / "second.toml", "[model]\nwidth = 7\n")
    with pytest.raises(InputError, match=says("must-be-a-multiple")) as caught:
        load_preset(tmp_path / "first.toml")
    assert (caught.value.file, caught.value.place) == (second, "width")
    write(second, 'extends = "first.toml"\n')
    with pytest.raises(InputError, match=says("a-circle-first-extends")) as caught:
        load_preset(tmp_path / "first.toml")
    assert (caught.value.file, caught.value.place) == (tmp_path / "first.toml", "extends")
    second.write_bytes(b"\xff")
    for path in ("first.toml", "second.toml", "none.toml", "."):
        with pytest.raises(InputError):
            load_preset(tmp_path / path)


@pytest.mark.parametrize(
    ("name", "advice"), [("arc1-fst", says("did-you-mean-arc1")), ("zzz", says("there-are-arc1-arc2")), ("", "")]
)
def test_an_unknown_name_gets_the_nearest_one(name: str, advice: str) -> None:
    with pytest.raises(InputError) as caught:
        load_preset(name)
    assert caught.value.flag == "--preset"
    assert advice in caught.value.problem
    assert "_" not in caught.value.problem  # the parts of the package's own files


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_written_and_taken_back(name: str, tmp_path: Path) -> None:
    write_preset(tmp_path / "a.toml", PRESETS[name], "all settings")
    assert load_preset(tmp_path / "a.toml") == PRESETS[name]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@examples(60)
@given(TEXTS, TEXTS, st.floats(0, 0.999), st.integers(0, 2**63 - 1), st.booleans())
def test_any_settings_are_written_and_taken_back(
    tmp_path: Path, text: str, note: str, share: float, seed: int, switch: bool
) -> None:
    changes = {"data": text, "ema": share, "seed": seed, "translate": switch, "weight_decay": 1e300 * share}
    config = Config().override(changes)
    write_preset(tmp_path / "a.toml", config, note)
    assert load_preset(tmp_path / "a.toml") == config


def test_what_is_no_utf_8_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says("is-not-utf-8")) as caught:
        write_preset(tmp_path / "a.toml", Config().override({"data": "a\udcff"}), "")
    assert caught.value.file == tmp_path / "a.toml"
    assert not (tmp_path / "a.toml").exists()


def test_settings_are_in_sections_in_order() -> None:
    sections = [setting.section for setting in settings()]
    assert list(dict.fromkeys(sections)) == list(SECTIONS)
    assert sections == sorted(sections, key=list(SECTIONS).index)
    assert {setting.name for setting in settings()} == set(Config().values())


# --- through the commands


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_kaggle(tmp_path_factory.mktemp("data"), make_tasks(4, 2, "eval"), "eval")


@pytest.mark.programs
def test_a_run_writes_its_settings_and_another_takes_them(tasks: Path, tmp_path: Path, command: Callable) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    code, _, error = command("train", *SETTINGS, "--data", "", "--evaluation-data", tasks, "--out", first, "--seed", 5)
    assert code == 0, error
    written = (first / "settings.toml").read_bytes()
    config = read_config(first)
    assert load_preset(first / "settings.toml") == config
    computing = ["--log-every", 2, "--precision", "float32", "--device", "cpu"]
    code, _, error = command("train", "--preset", first / "settings.toml", *computing, "--out", second)
    assert code == 0, error
    assert (second / "settings.toml").read_bytes().splitlines()[1:] == written.splitlines()[1:]
    tensors = [(folder / "checkpoint-00000006" / "tensors.safetensors").read_bytes() for folder in (first, second)]
    assert tensors[0] == tensors[1]
    (second / "settings.toml").unlink()  # as in a run of an earlier version
    code, _, error = command("train", "--resume", "--out", second, *computing)
    assert code == 0, error
    assert load_preset(second / "settings.toml") == config
    code, _, error = command("train", *SETTINGS, "--data", "", "--evaluation-data", tasks, "--out", first, "--overwrite")
    assert code == 0, error
    assert load_preset(first / "settings.toml") == config.override({"seed": 0})
    code, _, error = command("evaluate", "--checkpoint", second, "--views", 1, "--device", "cpu", "--no-report")
    assert code == 0, error


def test_adapt_takes_a_preset_file(tasks: Path, tmp_path: Path, command: Callable) -> None:
    write_preset(tmp_path / "small.toml", SMALL, "")
    start = ["--preset", tmp_path / "small.toml", "--challenges", tasks, "--steps", 2, "--device", "cpu"]
    code, text, error = command("adapt", *start, "--out", tmp_path / "run")
    assert code == 0, error
    assert says("from-scratch-by-the") in text
    assert load_preset(tmp_path / "run" / "settings.toml") == load_checkpoint(tmp_path / "run").config


@pytest.mark.parametrize("name", ["train", "adapt"])
def test_the_commands_refuse_presets_that_are_not_there(name: str, tasks: Path, tmp_path: Path, command: Callable) -> None:
    flags = ["--out", tmp_path / "run"] + (["--challenges", tasks] if name == "adapt" else [])
    for preset, words in (("arc1-fst", says("did-you-mean-arc1")), (tmp_path / "none.toml", says("none-toml-cannot-be"))):
        code, _, error = command(name, "--preset", preset, *flags)
        assert (code, words in error, error.count("\n")) == (2, True, 1), error
    assert not (tmp_path / "run").exists()


def test_a_dry_run_writes_nothing(tasks: Path, tmp_path: Path, command: Callable) -> None:
    code, _, error = command("train", *SETTINGS, "--data", "", "--evaluation-data", tasks, "--out", tmp_path / "run", "--dry-run")
    assert code == 0, error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["train", "adapt"])
def test_help_groups_the_settings(name: str, command: Callable) -> None:
    _, text, _ = command(name, "--help-all")
    titles = [line.removesuffix(":") for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    start = titles.index("data")
    assert titles[start : start + len(SECTIONS)] == list(SECTIONS.values())


def test_a_wheel_has_the_presets() -> None:
    lines = (FOLDER.parents[1] / "setup.cfg").read_text(encoding="utf-8")
    assert "trm_arc.config =\n    presets/*.toml\n    recipes/*.toml\n" in lines


@pytest.mark.parametrize(("name", "value"), [("layers", 1001), ("augmentations", 2_903_041), ("layers", 0)])
def test_settings_that_would_only_end_with_the_memory_are_refused(name: str, value: int) -> None:
    with pytest.raises(InputError) as refused:
        Config().override({name: value})
    assert refused.value.flag == name
