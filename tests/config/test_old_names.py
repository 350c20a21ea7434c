"""Settings and flags under the names that they had before."""

from pathlib import Path

import pytest

from trm_arc.cli import Parser, add_settings, chosen_settings
from trm_arc.common.errors import InputError
from trm_arc.config import Config, load_preset, old_names

OLD = Path(__file__).parents[1] / "model" / "old_checkpoints"


@pytest.fixture
def renamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if two settings, a word of each kind of flag, and another flag had been renamed."""
    monkeypatch.setattr(old_names, "SETTINGS", {"breadth": "width", "shift_grids": "translate", "gap": "halting"})
    monkeypatch.setattr(old_names, "VALUES", {"halting": {"q": "q-learning"}})
    monkeypatch.setattr(old_names, "FLAGS", {"save-each": "save-every"})
    monkeypatch.setattr(old_names, "FLAG_VALUES", {"size": {"huge": "large"}})


def make_parser() -> Parser:
    parser = Parser(prog="program")
    parser.add_argument("--save-every", type=int)
    parser.add_argument("--size", choices=("small", "large"))
    add_settings(parser, Config())
    return parser


@pytest.mark.usefixtures("renamed")
def test_old_flags_do_what_the_new_ones_do_and_say_them(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--breadth", "8", "--no-shift-grids", "--gap=q", "--save-each=3", "--size", "huge"]
    values = make_parser().parse(arguments)
    assert chosen_settings(values) == {"width": 8, "translate": False, "halting": "q-learning"}
    assert (values.save_every, values.size) == (3, "large")
    assert capsys.readouterr().err.splitlines() == [
        "--breadth is now --width",
        "--no-shift-grids is now --no-translate",
        "--gap is now --halting",
        "--halting q is now --halting q-learning",
        "--save-each is now --save-every",
        "--size huge is now --size large",
    ]


@pytest.mark.usefixtures("renamed")
def test_new_flags_say_nothing_and_wrong_ones_are_still_refused(capsys: pytest.CaptureFixture[str]) -> None:
    values = make_parser().parse(["--width", "8", "--halting", "q-learning", "--size", "large", "--data", "q"])
    assert values.width == 8
    assert capsys.readouterr().err == ""
    for arguments, words in ((["--bredth", "8"], "--bredth: no such flag"), (["--halting", "r"], "invalid choice")):
        with pytest.raises(InputError, match=words):
            make_parser().parse(arguments)
    other = Parser(prog="other")
    other.add_argument("--depth")
    with pytest.raises(InputError, match="--breadth: no such flag"):  # this one never had it
        other.parse(["--breadth", "8"])


@pytest.mark.usefixtures("renamed")
def test_old_settings_in_files(tmp_path: Path) -> None:
    path = tmp_path / "old.toml"
    path.write_text('[model]\nbreadth = 64\n[loss]\ngap = "q"\n')
    expected = Config().override({"width": 64, "halting": "q-learning"})
    assert load_preset(path) == expected
    assert Config.from_dict({"model": {"breadth": 64}, "training": {"gap": "q", "steps": 0}}, "here") == expected
    path.write_text("[model]\nbreadth = 64\nwidth = 64\n")
    with pytest.raises(InputError, match="breadth is now called width, and both are given") as caught:
        load_preset(path)
    assert caught.value.file == path


def test_names_of_today_are_no_old_ones() -> None:
    today = set(Config().values())
    assert set(old_names.SETTINGS.values()) | set(old_names.VALUES) <= today
    assert not today & set(old_names.SETTINGS)
    assert not set(old_names.FLAGS) & set(old_names.FLAGS.values())


def test_the_number_of_thoughts_is_latent_steps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "old.toml").write_text("[model]\nthoughts = 6\n")
    assert load_preset(tmp_path / "old.toml") == Config().override({"latent_steps": 6})
    assert make_parser().parse(["--thoughts", "6"]).latent_steps == 6
    assert capsys.readouterr().err == "--thoughts is now --latent-steps\n"
