"""Checkpoints of the original code: both directions exact, through every kind of file, and what does not fit is named."""

import contextlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.helpers import FAMILY, make_tasks, messages, read_arrays, to_document
from trm_arc.common.errors import InputError
from trm_arc.config import ModelConfig, TrainingConfig
from trm_arc.model.checkpoint import load_checkpoint
from trm_arc.model.official import TABLE, read_settings
from trm_arc.model.official_mapping import official_training
from trm_arc.model.reasoner import Reasoner
from trm_arc.upstream import load_official, to_official

says = messages(__name__)

# As the original's config/arch/trm.yaml has it, at a small size.
SETTINGS = """
name: recursive_reasoning.trm@TinyRecursiveReasoningModel_ACTV1
loss:
  name: losses@ACTLossHead
  loss_type: stablemax_cross_entropy
halt_exploration_prob: 0.1
halt_max_steps: 3
H_cycles: 2
L_cycles: 2
H_layers: 0
L_layers: 2
hidden_size: 16
num_heads: 2  # min(2, hidden_size // 64)
expansion: 4
puzzle_emb_ndim: ${.hidden_size}
pos_encodings: rope
forward_dtype: float32
mlp_t: False
puzzle_emb_len: 16
no_ACT_continue: True
"""
SMALL = ModelConfig(width=16, heads=2, cycles=2, latent_steps=2)


def official(config: ModelConfig = SMALL, rows: int = 5, prefix: str = "") -> dict[str, torch.Tensor]:
    """A checkpoint of the original's, with random weights."""
    table = torch.randn(rows, config.width, generator=torch.Generator().manual_seed(1))
    tensors = to_official(Reasoner(config, torch.Generator().manual_seed(0)), table)
    return {prefix + name: t for name, t in tensors.items()}


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "trm.yaml"
    path.write_text(SETTINGS)
    return path


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("prefix", ["_orig_mod.model.inner.", "model.inner.", ""])
def test_both_directions_are_exact(shared: Path, name: str, prefix: str) -> None:
    arrays = read_arrays(shared / "reference" / f"{name}.npz")
    tensors = {key.removeprefix("param/"): torch.from_numpy(a) for key, a in arrays.items() if key.startswith("param/")}
    reasoner = load_official({prefix + key: t for key, t in tensors.items()}, json.loads(str(arrays["config"])))
    for back in (to_official(reasoner), to_official(reasoner, tensors[TABLE])):
        assert set(back) == set(tensors)
        assert all(torch.equal(back[key], tensors[key]) for key in tensors)


CONFIGS = {
    "trm": {},
    "trm-mlp": {"mixer": "mlp", "positions": "none", "board_rows": 5, "board_columns": 5},
    "single-z": {"states": 0},
    "multi-z": {"states": 6, "latent_steps": 6},
    "hrm": {"networks": 2, "gradient_calls": 2, "prefix": 1},
    "direct": {"states": 0, "latent_steps": 0, "cycles": 1, "prefix": 1},
}


@pytest.mark.parametrize("name", CONFIGS)
def test_ours_survive_the_way_there_and_back(name: str, tmp_path: Path) -> None:
    config = ModelConfig(**{"width": 16, "heads": 2, "cycles": 2, "latent_steps": 2, **CONFIGS[name]})
    reasoner = Reasoner(config, torch.Generator().manual_seed(0))
    theirs = {
        "hidden_size": 16,
        "num_heads": 2,
        "expansion": 4,
        "puzzle_emb_ndim": 16,
        "puzzle_emb_len": config.prefix,
        "pos_encodings": "none" if config.mixer == "mlp" else "rope",
        "mlp_t": config.mixer == "mlp",
        "H_cycles": config.cycles,
        "L_cycles": config.latent_steps,
    }
    torch.save(to_official(reasoner), tmp_path / "step_1")
    back = load_official(tmp_path / "step_1", theirs)
    assert back.config == config
    for key, value in reasoner.state_dict().items():
        assert torch.equal(value, back.state_dict()[key]), key


def test_files_of_every_kind(settings: Path, tmp_path: Path) -> None:
    tensors = official(prefix="_orig_mod.model.inner.")
    torch.save(tensors, tmp_path / "step_10")
    torch.save({"state_dict": tensors}, tmp_path / "wrapped.pt")
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "all_config.yaml").write_text("arch:\n" + SETTINGS.replace("\n", "\n  ") + "\nlr: 1e-4\n")
    (tmp_path / "trm.json").write_text(json.dumps({**read_settings(settings).values}))
    expected = load_official(tensors, settings).state_dict()
    for file in ("step_10", "wrapped.pt", "model.safetensors"):
        for config in ("trm.yaml", "all_config.yaml", "trm.json"):
            found = load_official(str(tmp_path / file), str(tmp_path / config)).state_dict()
            assert all(torch.equal(found[key], t) for key, t in expected.items())


def test_a_file_is_read_as_what_it_is_whatever_its_name(settings: Path, tmp_path: Path) -> None:
    torch.save(official(), tmp_path / "model.safetensors")
    save_file(official(), tmp_path / "step_1.ckpt")
    expected = load_official(official(), settings).state_dict()
    for file in ("model.safetensors", "step_1.ckpt"):
        found = load_official(tmp_path / file, settings).state_dict()
        assert all(torch.equal(found[key], t) for key, t in expected.items())
    for name, data, message in [
        ("page.pt", b"<html>", says("is-a-web-page")),
        ("pointer.safetensors", b"version https://git-lfs.github.com/spec/v1\n", says("git-lfs-pointer")),
        ("words.pt", b"hello", says("not-a-checkpoint-of-torch")),
    ]:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=message) as caught:
            load_official(tmp_path / name, settings)
        assert caught.value.file == tmp_path / name
    os.mkfifo(tmp_path / "pipe.pt")
    for name, message in (("pipe.pt", "is a named pipe"), (".", says("is-a-folder"))):
        with pytest.raises(InputError, match=message):
            load_official(tmp_path / name, settings)


def test_of_several_models_none_is_guessed(settings: Path) -> None:
    one, other = official(), {name: t + 1 for name, t in official().items()}
    prefixed = {f"model.inner.{name}": t for name, t in other.items()}
    for source in ({"model": one, "ema": other}, prefixed | one, one | prefixed):
        with pytest.raises(InputError, match=says("several-models")):
            load_official(source, settings)
    with pytest.raises(InputError, match=says("with-and-without")) as caught:
        load_official(prefixed | {"H_init": one["H_init"]}, settings)
    assert "H_init" in str(caught.value)
    assert load_official({"model": one, "optimizer": {"state": other["H_init"]}}, settings).config.width == 16


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2], ids=str)
def test_numbers_of_8_bits_are_read_exactly(dtype: torch.dtype, settings: Path) -> None:
    small = {name: t.to(dtype) for name, t in official().items()}
    back = to_official(load_official(small, settings))
    assert all(torch.equal(back[name], t.float()) for name, t in small.items())


def test_half_precision_states_are_read_exactly(settings: Path) -> None:
    tensors = official()
    tensors["H_init"] = tensors["H_init"].bfloat16()  # the original keeps its initial states in the forward precision
    assert torch.equal(load_official(tensors, settings).y_start[0], tensors["H_init"].float())


class Evil:
    """Would make a folder if it were unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (self.path,)


def test_nothing_but_tensors_is_read(settings: Path, tmp_path: Path) -> None:
    torch.save({"embed_tokens.embedding_weight": Evil(str(tmp_path / "made"))}, tmp_path / "evil.pt")
    with pytest.raises(InputError, match=says("holds-more-than-tensors")) as caught:
        load_official(tmp_path / "evil.pt", settings)
    assert caught.value.file == tmp_path / "evil.pt"
    assert not (tmp_path / "made").exists()
    torch.save({"embed_tokens.embedding_weight": torch.zeros(2), "step": 3}, tmp_path / "number.pt")
    with pytest.raises(InputError, match=says("not-a-state-dict")) as caught:
        load_official(tmp_path / "number.pt", settings)
    assert caught.value.file == tmp_path / "number.pt"


def without(*names: str) -> dict[str, torch.Tensor]:
    return {name: t for name, t in official().items() if name not in names}


def test_tensors_that_do_not_fit_are_named(settings: Path, tmp_path: Path) -> None:
    torch.save(official(), tmp_path / "whole.pt")
    whole = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.pt").write_bytes(b"")
    for source, message in [
        (without("lm_head.weight", "q_head.bias"), says("missing-lm-head-weight")),
        (official() | {"extra": torch.zeros(1)}, "unexpected: extra"),
        (official() | {"lm_head.weight": torch.zeros(3, 3)}, says("of-another-shape-lm")),
        (without("L_level.layers.1.mlp.down_proj.weight"), r"missing: L_level\.layers\.1\.mlp\.down_proj\.weight"),
        (without("embed_tokens.embedding_weight"), says("no-checkpoint-of-trm")),
        (tmp_path / "nothing.pt", says("no-such-file")),
        (tmp_path / "cut.pt", "truncated, damaged"),
        (tmp_path / "empty.pt", "the file is empty"),
    ]:
        with pytest.raises(InputError, match=message):
            load_official(source, settings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hiden_size": 16}, says("settings-that-are-not")),
        ({"hidden_size": None}, says("hidden-size-must-be")),
        ({"num_heads": "two"}, says("num-heads-must-be")),
        ({"num_heads": 3}, says("width-must-be-a")),
        ({"puzzle_emb_ndim": 0}, says("puzzle-emb-ndim-0")),
        ({"puzzle_emb_ndim": "${.hidden}"}, says("puzzle-emb-ndim-refers")),
        ({"pos_encodings": "learned"}, says("pos-encodings-learned-is")),
        ({"rope_theta": 500.0}, says("rope-theta-500-0")),
        ({"seq_len": 80}, says("80-tokens-are-no")),
        ({"causal": True}, says("causal-attention-is-not")),
        ({"vocab_size": 99}, says("vocab-size-is-99")),
        ({"L_layers": 7}, "missing: L_level.layers.2"),
        ({"L_cycles": "2"}, says("l-cycles-must-be")),
        ({"expansion": None}, says("expansion-must-be-a")),
        ({"expansion": 10**400}, says("expansion-must-be-a-number")),
        ({"expansion": 1e30}, says("expansion-must-be-above")),
        ({"rope_theta": None}, says("rope-theta-must-be")),
        ({"rms_norm_eps": [1]}, says("rms-norm-eps-must")),
        ({"mlp_t": "False"}, says("mlp-t-must-be")),
        ({"pos_encodings": ["rope"]}, says("pos-encodings-rope-is")),
        ({"H_cycles": 10**9}, says("h-cycles-must-be")),
    ],
)
def test_settings_that_do_not_fit_are_named(changes: dict, message: str, settings: Path) -> None:
    with pytest.raises(InputError, match=message):
        load_official(official(), read_settings(settings).values | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"halt_max_steps": "abc"}, says("halt-max-steps-must")),
        ({"halt_max_steps": 3.7}, says("halt-max-steps-must-be")),
        ({"halt_exploration_prob": "x"}, says("halt-exploration-prob-must")),
        ({"no_ACT_continue": "False"}, says("no-act-continue-must")),
        ({"loss": {"loss_type": ["a"]}}, says("loss-type-a-is")),
        ({"loss": "losses@ACTLossHead"}, says("loss-must-hold")),
        ({"forward_dtype": "banana"}, says("forward-dtype-banana-is")),
    ],
)
def test_odd_settings_of_training_are_refused(
    changes: dict, message: str, upstream_files: tuple[Path, list], command: Callable
) -> None:
    folder, flags = upstream_files
    (folder / "trm.yaml").write_text(json.dumps(read_settings(folder / "trm.yaml").values | changes))
    code, _, error = command("upstream", *flags, "--task-embeddings", "mean")
    assert code == 2
    assert re.search(message, error), error


def test_settings_of_training_are_taken_over() -> None:
    base = TrainingConfig()
    default = official_training(read_settings({"puzzle_emb_len": 16, "halt_max_steps": 9, "halt_exploration_prob": "1e-2"}), base)
    assert default == {"loss": "stablemax", "halting": "exact", "halt_steps": 9, "halt_exploration": 0.01, "ema": 0.0}
    hrm = official_training(read_settings({"loss": {"loss_type": "softmax_cross_entropy"}}), base)
    assert (hrm["halting"], hrm["loss"], hrm["halt_steps"]) == ("q-learning", "softmax", 16)
    switched = official_training(read_settings({"puzzle_emb_len": 16, "no_ACT_continue": False}), base)
    assert switched["halting"] == "q-learning"
    assert official_training(read_settings({"halt_max_steps": 1}), base)["halting"] == "exact"


def test_the_named_module_says_what_is_missing(settings: Path) -> None:
    """A truncated checkpoint is no checkpoint of a smaller member of the family."""
    hrm = official(ModelConfig(width=16, heads=2, cycles=2, latent_steps=2, networks=2, gradient_calls=2))
    values = read_settings(settings).values
    for tensors, changes, message in [
        (without("H_init"), {}, "missing: H_init"),
        ({n: t for n, t in official().items() if ".layers.1." not in n}, {}, r"missing: L_level\.layers\.1\."),
        ({n: t for n, t in hrm.items() if n[:7] != "H_level"}, {"name": "hrm.hrm@HRM", "H_layers": 2}, "missing: H_level"),
        (hrm, {"name": "hrm.hrm_act_v1@HRM", "H_layers": 1}, says("networks-of-1-and")),
        (official(), {"name": "recursive_reasoning.trm_hier6@M", "L_cycles": 6}, says("missing-l1-init-l2")),
    ]:
        with pytest.raises(InputError, match=message):
            load_official(tensors, values | changes)
    assert load_official(hrm, values | {"name": "hrm.hrm_act_v1@HRM", "H_layers": 2}).config.variant == "hrm"


def test_values_that_are_no_finite_numbers_are_refused(settings: Path) -> None:
    head = official()["lm_head.weight"]
    for odd, message in [
        (head.to(torch.int64), says("not-all-values-are")),
        (head.to(torch.complex64), says("not-all-values-are")),
        (torch.full_like(head, float("nan")), says("not-all-values-are")),
        (head.to_sparse(), says("tensors-without-plain-values")),
        (torch.tensor(3.0), says("of-another-shape-lm-head")),
    ]:
        with pytest.raises(InputError, match=message):
            load_official(official() | {"lm_head.weight": odd}, settings)
    with pytest.raises(InputError, match=says("embed-tokens-embedding-weight")):
        load_official(official() | {"embed_tokens.embedding_weight": torch.tensor(1.0)}, settings)
    for shape in ((7,), (7, 8), (0, 16), (2, 7, 16)):
        with pytest.raises(InputError, match=says("puzzle-emb-weights-must")):
            load_official(official() | {TABLE: torch.zeros(shape)}, settings)
    for source, config in (([1], {}), (official(), None), (official(), [1])):
        with pytest.raises(InputError, match="expected, got"):
            load_official(source, config)


def test_files_with_flipped_bytes_end_in_a_sentence(settings: Path, tmp_path: Path) -> None:
    torch.save(official(), tmp_path / "whole.pt")
    whole, generator = bytearray((tmp_path / "whole.pt").read_bytes()), np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(whole)
        for place in generator.integers(0, min(len(whole), 6000), 3):
            damaged[place] ^= int(generator.integers(1, 256))
        (tmp_path / "damaged.pt").write_bytes(damaged)
        with contextlib.suppress(InputError):
            load_official(tmp_path / "damaged.pt", settings)


def test_yaml_of_others_is_read_in_little_time(settings: Path, tmp_path: Path) -> None:
    (tmp_path / "merged.yaml").write_text("arch:\n  <<: {H_cycles: 5, hidden_size: 16}\n  " + SETTINGS.replace("\n", "\n  "))
    assert load_official(official(), tmp_path / "merged.yaml").config.cycles == 2
    lists = "".join(f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9 if n else '123456789')}]\n" for n in range(12))  # 9**12 digits
    arch = SETTINGS.replace("hidden_size: 16", "hidden_size: *a11").replace("\n", "\n  ")
    (tmp_path / "bomb.yaml").write_text(f"x:\n{lists}arch:\n  {arch}")
    with pytest.raises(InputError, match=says("hidden-size-got-lists")) as caught:
        load_official(official(), tmp_path / "bomb.yaml")
    assert len(str(caught.value)) < 300


def test_settings_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("a: [1")
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "twice.yaml").write_text("L_cycles: 2\nL_cycles: 3\n")
    (tmp_path / "deep.yaml").write_text("a: " + "[" * 5000)
    (tmp_path / "huge.yaml").write_text("a: " + "9" * 5000)
    (tmp_path / "date.yaml").write_text("a: 2024-99-99")
    (tmp_path / "code.yaml").write_text("!!python/object/apply:os.mkdir ['made']")
    messages = {"none": "cannot be read", "broken": "not valid YAML", "list": "names and values", "twice": "given twice: L_cyc"}
    messages |= dict.fromkeys(("deep", "huge", "date", "code"), "not valid YAML")
    for name, message in ((f"{name}.yaml", message) for name, message in messages.items()):
        with pytest.raises(InputError, match=message) as caught:
            load_official(official(), tmp_path / name)
        assert caught.value.file == tmp_path / name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"convolution": 3}, says("it-has-no-convolution")),
        ({"positions": "rotary-2d", "gate": "norm-swiglu"}, says("it-has-no-gate")),
        ({"qk_norm": True, "output_norm": True}, says("it-has-no-qk-norm")),
        ({"states": 0, "latent_steps": 0}, says("it-has-no-loop")),
        ({"states": 2}, says("it-has-no-2")),
        ({"states": 6, "latent_steps": 7}, says("it-has-no-6")),
        ({"networks": 2, "states": 0}, says("it-has-no-two")),
        (
            {"states": 0, "latent_steps": 0, "cycles": 1, "mixer": "mlp", "positions": "none"},
            says("it-has-no-direct"),
        ),
    ],
)
def test_what_the_original_cannot_run_is_not_written_for_it(changes: dict, message: str) -> None:
    config = ModelConfig(**{"width": 16, "heads": 2, "cycles": 2, "latent_steps": 2, **changes})
    with pytest.raises(InputError, match=message):
        to_official(Reasoner(config, torch.Generator()))


# --- settings as others save them

CASES = "cases/05-original-configs"


@pytest.mark.parametrize("name", ["trelis.yaml", "wandb_config.yaml"])
def test_settings_of_others_are_read(name: str, shared: Path) -> None:
    config = ModelConfig(width=64, heads=2, cycles=3, latent_steps=4, prefix=1)
    reasoner = load_official(official(config), shared / CASES / name)
    assert reasoner.config == config


def wrapped(values: dict) -> dict:
    return {name: {"desc": None, "value": value} for name, value in values.items()}


def test_the_form_of_weights_and_biases_is_read(settings: Path) -> None:
    plain = read_settings(settings).values
    whole = {"wandb_version": 1, "_wandb": {"value": {}}, "lr": {"desc": None, "value": 1e-4}}
    for form in (
        wrapped(plain),
        whole | wrapped({"arch": plain}),
        whole | {"arch": wrapped(plain)},
        whole | {"arch": {"value": wrapped(plain)}},
        {"value": plain},
        {"desc": None, "value": {"arch": plain}},
        {"_wandb": {"value": {}}} | wrapped(plain),
    ):
        assert read_settings(form).values == plain


def test_settings_of_training_alone_are_passed_over(settings: Path) -> None:
    values = read_settings(settings).values
    training = {"grid_noise_prob": 0.05, "grid_noise_fraction": 0.02, "lora_dropout": 0.5, "lora_rank": 0, "short_name": "TRM"}
    assert load_official(official(), values | training).config == SMALL
    with pytest.raises(InputError, match=says("lora-rank-8-is")):
        load_official(official(), values | {"lora_rank": 8})


TRM, HRM = "recursive_reasoning.{}@TinyRecursiveReasoningModel_ACTV1", "hrm.hrm_act_v1@HierarchicalReasoningModel_ACTV1"


@pytest.mark.parametrize(
    ("name", "changes", "prefix"),
    [
        (TRM.format("trm"), {}, 16),
        (TRM.format("trm_singlez"), {"states": 0}, 16),
        (TRM.format("trm_hier6"), {"states": 6, "latent_steps": 6}, 16),
        (HRM, {"networks": 2, "gradient_calls": 2, "prefix": 1}, 1),
        ("recursive_reasoning.transformers_baseline@Model_ACTV2", {"states": 0, "latent_steps": 0, "cycles": 1, "prefix": 1}, 1),
        (None, {}, 16),  # the tensors determine the class
        (None, {"networks": 2, "gradient_calls": 2, "prefix": 1}, 1),
    ],
)
def test_what_is_missing_takes_the_default_of_the_class(name: str | None, changes: dict, prefix: int, settings: Path) -> None:
    config = ModelConfig(**{"width": 16, "heads": 2, "cycles": 2, "latent_steps": 2, **changes})
    values = read_settings(settings).values | {"name": name, "H_cycles": config.cycles, "H_layers": config.layers}
    values["L_cycles"] = config.latent_steps
    for left_out in ("puzzle_emb_len", "no_ACT_continue", "mlp_t", "forward_dtype", *(["name"] if name is None else [])):
        del values[left_out]
    assert config.prefix == prefix
    assert load_official(official(config), values).config == config
    if name is not None:
        expected = "exact" if prefix == 16 else "q-learning"
        assert official_training(read_settings(values), TrainingConfig())["halting"] == expected


@pytest.mark.parametrize("missing", ["hidden_size", "num_heads", "expansion", "pos_encodings", "H_cycles", "L_cycles"])
def test_a_missing_setting_without_a_default_is_named(missing: str, settings: Path) -> None:
    values = read_settings(settings).values
    del values[missing]
    if missing == "hidden_size":
        values["puzzle_emb_ndim"] = 16
    with pytest.raises(InputError, match=f"{missing} is missing"):
        load_official(official(), values)


def test_the_defaults_of_another_class_are_not_guessed(settings: Path) -> None:
    values = read_settings(settings).values | {"name": "trm@TRMModel"}
    assert load_official(official(), values).config == SMALL
    del values["puzzle_emb_len"]
    with pytest.raises(InputError, match=says("the-default-of-trmmodel")):
        load_official(official(), values)


# --- files that are no state dicts


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")
def test_a_whole_module_says_to_save_its_state_dict(settings: Path, tmp_path: Path) -> None:
    module = torch.nn.Linear(2, 2)
    torch.save(module, tmp_path / "whole.pt")
    torch.save(module, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    torch.save({"state_dict": official(), "rate": np.float64(1)}, tmp_path / "scalar.pt")
    (tmp_path / "escape.pt").write_bytes(b"\x80\x02c\x1b[31mevil\n\x1b[2Jname\n)R.")
    torch.jit.save(torch.jit.trace(module, torch.zeros(1, 2)), tmp_path / "script.pt")
    with pytest.raises(InputError, match=says("a-torchscript-archive")):
        load_official(tmp_path / "script.pt", settings)
    for name, kind in (("whole", "torch.nn.modules.linear.Linear"), ("old", "Linear"), ("scalar", "scalar"), ("escape", "")):
        with pytest.raises(InputError, match=says("save-its-state-dict")) as caught:
            load_official(tmp_path / f"{name}.pt", settings)
        assert kind in caught.value.problem
        assert caught.value.problem.isprintable()
        assert "weights_only" not in caught.value.problem


# --- the command


def identifiers_of(tasks: list[str], separator: str = "|||") -> list[str]:
    """Names of task embeddings as the originals write them: a blank, then each task with one transform before the plain one."""
    transform = separator.join(("", "t3", "0213456789"))
    return ["<blank>"] + [name for task in tasks for name in (task + transform, task)]


@pytest.fixture
def upstream_files(tmp_path: Path, settings: Path) -> tuple[Path, list]:
    """A data file of two tasks and the flags that convert a checkpoint which knows both and a third one."""
    tasks = make_tasks(2, 3, "eval")
    (tmp_path / "eval.json").write_bytes(json.dumps(to_document(tasks, outputs=True)).encode())
    names = identifiers_of(["eval00", "other", "eval01"])
    (tmp_path / "identifiers.json").write_text(json.dumps(names))
    torch.save(official(rows=len(names), prefix="model.inner."), tmp_path / "step_9")
    flags = [tmp_path / "step_9", "--config", settings, "--evaluation-data", tmp_path / "eval.json", "--out", tmp_path / "run"]
    return tmp_path, flags


def test_a_downloaded_folder_needs_no_flags(
    upstream_files: tuple[Path, list], command: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its one checkpoint, its settings and its identifiers are taken; without one of them it says which is missing."""
    folder, _ = upstream_files
    monkeypatch.chdir(folder)
    download = folder / "download"
    download.mkdir()
    for name in ("README.md", "trm.py", ".gitattributes"):
        (download / name).write_text("text")
    call = ("upstream", download, "--evaluation-data", folder / "eval.json")
    code, _, _ = command(*call)
    assert (code, command.refused.file, command.refused.problem) == (2, download, says("no-checkpoint-here"))
    (folder / "step_9").rename(download / "step_9")
    code, _, _ = command(*call)
    assert (code, command.refused.flag) == (2, "--config")
    (download / "all_config.yaml").write_text("arch:\n" + SETTINGS.replace("\n", "\n  ") + "\nlr: 1e-4\n")
    code, _, error = command(*call)
    assert (code, "--identifiers" in error) == (2, True)
    (folder / "identifiers.json").rename(download / "identifiers.json")
    code, text, error = command(*call)
    assert code == 0, error
    assert str(download / "step_9") in text
    assert len(load_checkpoint(Path("runs/original")).tasks) == 2
    assert command("upstream", download / "step_9", *call[2:], "--out", folder / "run", "--task-embeddings", "mean")[0] == 0
    torch.save(official(), download / "step_10")
    code, _, error = command(*call, "--overwrite")
    assert (code, command.refused.file, "step_10, step_9" in error) == (2, download, True)


def test_the_command_needs_the_number_of_steps(upstream_files: tuple[Path, list], command: Callable) -> None:
    folder, flags = upstream_files
    (folder / "trm.yaml").write_text(SETTINGS.replace("halt_max_steps: 3\n", ""))
    code, _, error = command("upstream", *flags, "--task-embeddings", "mean")
    assert (code, says("halt-max-steps-is-missing") in error) == (2, True)


@pytest.mark.parametrize("separator", ["|||", "_"])
def test_named_task_embeddings_are_kept_and_evaluated(
    separator: str, upstream_files: tuple[Path, list], command: Callable
) -> None:
    """As TRM names them, and as HRM does."""
    folder, flags = upstream_files
    (folder / "identifiers.json").write_text(json.dumps(identifiers_of(["eval00", "other", "eval01"], separator)))
    code, text, error = command("upstream", *flags, "--identifiers", folder / "identifiers.json")
    assert code == 0, error
    assert says("reasoner-trm-width-16") in text
    assert says("4-task-embeddings-of") in text
    checkpoint = load_checkpoint(folder / "run")
    table = official(rows=7)[TABLE]
    # of each task the identity first, then the others; the third task's rows are left out
    assert torch.equal(checkpoint.tensors["embedding.table"], table[[2, 1, 6, 5]])
    np.testing.assert_array_equal(checkpoint.plan().starts, [0, 2, 4])
    np.testing.assert_array_equal(checkpoint.plan().table[1], [3, 0, 2, 1, *range(3, 10)])
    assert checkpoint.config.training.halt_steps == 3
    assert checkpoint.config.training.halting == "exact"
    assert checkpoint.config.training.ema == 0
    code, text, error = command("evaluate", "--checkpoint", folder / "run", "--views", 2, "--no-report")
    assert code == 0, error
    assert says("new-to-this-checkpoint") not in text
    assert "wrote" in text
    if separator == "_":
        return
    document = to_document(make_tasks(2, 3, "eval"))
    (folder / "challenges.json").write_text(json.dumps(document))
    submission = ["--challenges", folder / "challenges.json", "--checkpoint", folder / "run", "--out", folder / "submission.json"]
    assert command("submission", "predict", *submission, "--views", 1)[0] == 0


def test_the_answers_are_those_of_the_original_s_embeddings(upstream_files: tuple[Path, list], command: Callable) -> None:
    """A view under a transform uses the row that the original trained for that transform."""
    from trm_arc.data.sources import load_tasks
    from trm_arc.inference.answer import find_view_embeddings

    folder, flags = upstream_files
    assert command("upstream", *flags, "--identifiers", folder / "identifiers.json")[0] == 0
    rows = find_view_embeddings(load_checkpoint(folder / "run"), load_tasks(folder / "eval.json"))
    assert rows.unseen == []
    assert torch.equal(rows.vectors, official(rows=7)[TABLE][[2, 1, 6, 5]])
    stranger = find_view_embeddings(load_checkpoint(folder / "run"), make_tasks(1, 9, "stranger"))
    torch.testing.assert_close(stranger.vectors[0], official(rows=7)[TABLE][1:].mean(dim=0))  # of all rows, not of those kept


def test_a_table_of_another_size_is_refused_or_averaged(upstream_files: tuple[Path, list], command: Callable) -> None:
    folder, flags = upstream_files
    (folder / "short.json").write_text(json.dumps(identifiers_of(["eval00"])))
    (folder / "stated.yaml").write_text(SETTINGS + "num_puzzle_identifiers: 99\n")
    stated = [folder / "stated.yaml" if flag == flags[2] else flag for flag in flags]
    for arguments, message in [
        (flags, says("the-names-of-the")),
        ([*flags, "--identifiers", folder / "short.json"], says("3-names-for-7")),
        ([*stated, "--identifiers", folder / "identifiers.json"], says("7-task-embeddings-but")),
    ]:
        code, _, error = command("upstream", *arguments)
        assert code == 2
        assert message in error
        assert "--task-embeddings mean" in error
        assert not (folder / "run" / "checkpoint-00000000").exists()
    code, text, error = command("upstream", *stated, "--task-embeddings", "mean")
    assert code == 0, error
    assert says("mean-of-6-task") in text
    table = load_checkpoint(folder / "run").tensors["embedding.table"]
    assert torch.equal(table[0], load_checkpoint(folder / "run").tensors["mean"])
    torch.testing.assert_close(table, official(rows=7)[TABLE][1:].mean(dim=0, keepdim=True))  # row 0 is the original's padding
    code, text, error = command("evaluate", "--checkpoint", folder / "run", "--views", 2, "--no-report", "--one-step")
    assert code == 0, error
    assert text.count(says("2-of-2-tasks")) == 1  # with --one-step, too


def test_odd_identifiers_and_files_are_refused(upstream_files: tuple[Path, list], command: Callable) -> None:
    folder, flags = upstream_files
    names = identifiers_of(["eval00", "other", "eval01"])
    code, _, error = command("upstream", *flags, "--task-embeddings", "mean", "--identifiers", folder / "none.json")
    assert code == 2
    assert says("task-embeddings-mean-needs") in error
    assert command.refused.flag == "--identifiers"
    for value, message in [
        ({"a": 1}, says("a-list-of-names")),
        ([*names[:-1], "eval01|||t9|||0123456789"], says("name-6-t9-and")),
        ([*names[:-1], "eval01|||t1|||0123456788"], says("are-no-symmetry-and")),
        (["<blank>", *"abcdef"], says("names-none-of-the")),
        ([*names[:-1], names[1]], says("name-6-is-there-twice")),
    ]:
        (folder / "odd.json").write_text(json.dumps(value))
        code, _, error = command("upstream", *flags, "--identifiers", folder / "odd.json")
        assert code == 2
        assert message in error
    torch.save({name: t for name, t in official().items() if name != TABLE}, folder / "step_9")
    code, _, error = command("upstream", *flags, "--task-embeddings", "mean")
    assert code == 2
    assert says("puzzle-emb-weights-is") in error
    sudoku = ModelConfig(width=16, heads=2, cycles=2, latent_steps=2, vocabulary=11, board_rows=9, board_columns=9)
    torch.save(official(sudoku), folder / "step_9")
    code, _, error = command("upstream", *flags, "--task-embeddings", "mean")
    assert code == 2
    assert says("seq-len-is-missing") in error
    assert command.refused.file == folder / "trm.yaml"
    (folder / "trm.yaml").write_text(SETTINGS + "seq_len: 81\n")
    assert not (folder / "run").exists()


def test_checkpoints_of_sudoku_and_mazes_answer_them(upstream_files: tuple[Path, list], command: Callable) -> None:
    folder, _ = upstream_files
    model = ModelConfig(width=16, heads=2, cycles=2, latent_steps=2, vocabulary=11, board_rows=9, board_columns=9)
    theirs = official(model)
    theirs[TABLE] = theirs[TABLE][:1]
    torch.save(theirs, folder / "step_9")
    flags = [folder / "step_9", "--config", folder / "trm.yaml", "--out", folder / "run"]
    (folder / "trm.yaml").write_text(SETTINGS + "seq_len: 81\n")
    code, _, error = command("upstream", *flags, "--identifiers", folder / "identifiers.json")
    assert code == 2
    assert says("sudoku-9x9-has-one") in error
    code, printed, _ = command("upstream", *flags)
    assert code == 0
    assert says("the-task-embedding-of") in printed
    checkpoint = load_checkpoint(folder / "run")
    assert checkpoint.domain.name == "sudoku-9x9"
    assert checkpoint.config.training.evaluation_data == "sudoku-extreme"
    assert torch.equal(checkpoint.tensors["embedding.table"], theirs[TABLE].float())
    puzzles = folder / "sudoku.csv"
    puzzles.write_text(f"question\n{'53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79'}\n")
    code, printed, _ = command("evaluate", "--checkpoint", folder / "run", "--data", puzzles, "--device", "cpu", "--no-report")
    assert code == 0
    assert says("1-puzzles-of") in printed
    model = ModelConfig(width=16, heads=2, cycles=2, latent_steps=2, vocabulary=7, board_rows=9, board_columns=9)
    torch.save(official(model), folder / "step_9")
    code, _, error = command("upstream", *flags, "--overwrite")
    assert code == 2
    assert says("arc-needs-12-tokens") in error


def test_nothing_is_overwritten_unasked_and_leaks_can_be_told(upstream_files: tuple[Path, list], command: Callable) -> None:
    folder, flags = upstream_files
    flags = [*flags, "--task-embeddings", "mean"]
    assert command("upstream", *flags)[0] == 0
    code, _, error = command("upstream", *flags)
    assert code == 2
    assert says("holds-a-run") in error
    code, text, error = command("upstream", *flags, "--overwrite", "--data", folder / "eval.json")
    assert code == 0, error
    assert says("its-training-data-is") not in text
    code, _, error = command("evaluate", "--checkpoint", folder / "run", "--views", 2, "--no-report")
    assert code == 2, "it was told to have been trained on these very answers"
    assert "trained on" in error
