"""Settings and flags under the names that they had before."""

from pathlib import Path

import pytest

from tests.helpers import messages
from trm_arc.cli import Parser, add_settings, chosen_settings
from trm_arc.common.errors import InputError
from trm_arc.config import Config, load_preset, old_names

says = messages(__name__)

OLD = Path(__file__).parents[1] / "model" / "old_checkpoints"


def make_parser() -> Parser:
    parser = Parser(prog="python -m trm_arc.report")
    parser.add_argument("--trace", type=int)
    add_settings(parser, Config())
    return parser


def test_old_flags_do_what_the_new_ones_do_and_say_them(capsys: pytest.CaptureFixture[str]) -> None:
    values = make_parser().parse(["--thoughts", "8", "--no-transform-slots", "--window=lanes", "--forming=3"])
    assert chosen_settings(values) == {"latent_steps": 8, "transform_tokens": False, "canvas": "buckets"}
    assert values.trace == 3
    assert capsys.readouterr().err.splitlines() == [
        "--thoughts is now --latent-steps",
        "--no-transform-slots is now --no-transform-tokens",
        "--window is now --canvas",
        "--canvas lanes is now --canvas buckets",
        "--forming is now --trace",
    ]
    other = Parser(prog="other")  # whose canvas is no setting
    other.add_argument("--canvas", choices=("fit", "buckets"))
    assert other.parse(["--canvas", "lanes"]).canvas == "buckets"
    assert capsys.readouterr().err == "--canvas lanes is now --canvas buckets\n"


def test_new_flags_say_nothing_and_wrong_ones_are_still_refused(capsys: pytest.CaptureFixture[str]) -> None:
    values = make_parser().parse(["--latent-steps", "8", "--canvas", "buckets", "--trace", "3", "--data", "lanes"])
    assert values.latent_steps == 8
    assert capsys.readouterr().err == ""
    refused = (
        (["--latnet-steps", "8"], "--latnet-steps", says("no-such-flag-did")),
        (["--canvas", "r"], "--canvas", "invalid choice"),
    )
    for arguments, flag, words in refused:
        with pytest.raises(InputError, match=words) as caught:
            make_parser().parse(arguments)
        assert caught.value.flag == flag
    other = Parser(prog="other")
    other.add_argument("--though")
    with pytest.raises(InputError, match=says("no-such-flag-did-you")) as caught:  # this one never had it
        other.parse(["--thoughts", "8"])
    assert caught.value.flag == "--thoughts"


def test_old_settings_in_files(tmp_path: Path) -> None:
    path = tmp_path / "old.toml"
    path.write_text('[model]\nthoughts = 8\n[data]\nwindow = "lanes"\n')
    expected = Config().override({"latent_steps": 8, "canvas": "buckets"})
    assert load_preset(path) == expected
    assert Config.from_dict({"model": {"thoughts": 8}, "training": {"window": "lanes", "steps": 0}}, "here") == expected
    path.write_text("[model]\nthoughts = 8\nlatent_steps = 8\n")
    with pytest.raises(InputError, match=says("thoughts-is-now-called")) as caught:
        load_preset(path)
    assert caught.value.file == path


def test_names_of_today_are_no_old_ones() -> None:
    today = set(Config().values())
    assert set(old_names.SETTINGS.values()) | set(old_names.VALUES) <= today
    assert not today & set(old_names.SETTINGS)
    assert not set(old_names.FLAGS) & {new for new, _ in old_names.FLAGS.values()}


def test_the_number_of_thoughts_is_latent_steps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "old.toml").write_text("[model]\nthoughts = 6\n")
    assert load_preset(tmp_path / "old.toml") == Config().override({"latent_steps": 6})
    assert make_parser().parse(["--thoughts", "6"]).latent_steps == 6
    assert capsys.readouterr().err == says("thoughts-is-now-latent")
