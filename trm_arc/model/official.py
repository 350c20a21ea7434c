"""Official checkpoints, those of the original public code, are read here: state dicts of tensors, and architecture settings.

Only tensors are read (torch's `weights_only`), never code.  See `official_mapping` for what becomes of them.
"""

import math
import re
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from pickle import UnpicklingError  # to name what torch raises when a file holds more than tensors
from typing import Any, NamedTuple

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from trm_arc.common.errors import InputError, shorten
from trm_arc.common.file_kinds import describe_kind
from trm_arc.common.files import read_json, require_regular
from trm_arc.common.text import first_words, format_value

TABLE = "puzzle_emb.weights"  # the task embeddings' name
_FIRST = "embed_tokens.embedding_weight"  # every model of theirs has it
_TORCH = (b"PK", b"\x80")  # how what `torch.save` writes begins: an archive, or a pickle in older versions
# Tensors of the original that each run recomputes: a table that a batch fills, and the tables of the rotation.
_NOT_KEPT = re.compile(r"puzzle_emb\.local_.*|rotary_emb\..*")
_WRAPPERS = ("state_dict", "model_state_dict", "model")
# Settings that do not change the function: names of runs, and those of the original and its public forks that matter in
# training alone: noise, dropout, losses, when to halt, which parts learn.
_PASSED_OVER = {
    "batch_size", "short_name", "puzzle_emb_dropout", "grid_token_dropout", "grid_noise_prob", "grid_noise_fraction", "dropout",
    "consistency_loss_weight", "tbptt_steps", "grad_cycle_prob", "n_backwards_L", "q_logit_detach_model",
    "lora_alpha", "lora_dropout", "lora_train_base", "lora_train_bias",
    "act_enabled", "act_inference", "eval_on_q", "halt_max_steps_eval", "halt_eval_steps", "explore_as_eval",
    "halt_on_correct", "halt_on_correct_and_predicted", "halt_train_threshold", "halt_eval_threshold",
}  # fmt: skip
_ONLY = {"lora_rank": 0, "n_latents": 1}  # settings of forks that do not change the function at this value alone
_USED = {
    "name", "loss", "seq_len", "vocab_size", "num_puzzle_identifiers", "H_layers", "L_layers", "H_cycles", "L_cycles", "causal",
    "hidden_size", "expansion", "num_heads", "pos_encodings", "rms_norm_eps", "rope_theta", "puzzle_emb_ndim", "puzzle_emb_len",
    "mlp_t", "forward_dtype", "halt_max_steps", "halt_exploration_prob", "no_ACT_continue",
}  # fmt: skip
# Beside a checkpoint: its settings as the original saves them, and as Weights & Biases does; the names of its task embeddings.
SETTINGS_FILES, IDENTIFIERS_FILE = ("all_config.yaml", "config.yaml"), "identifiers.json"
_SUFFIXES = {"", ".pt", ".pth", ".bin", ".ckpt", ".safetensors"}
_SAVE_STATE_DICT = "save its state_dict alone: torch.save(model.state_dict(), FILE)"
_REQUIRED: Any = object()  # the default of a setting that has none
# What torch and safetensors raise on files that are cut, or whose bytes have flipped.
_DAMAGE = (SafetensorError, RuntimeError, EOFError, OSError, ValueError, LookupError, AssertionError, AttributeError, TypeError)


def read_official(source: Mapping[str, Tensor] | Path | str) -> dict[str, Tensor]:
    """The tensors of a checkpoint of the original code, by their names without a prefix.

    Args:
        source: a state dict, or a file of torch.save or safetensors.

    Raises:
        InputError: it cannot be read, holds more than tensors, or is for another model.
    """
    if not isinstance(source, Mapping | Path | str):
        raise InputError(f"a state dict or a file is expected, got {type(source).__name__}")
    found: object = source if isinstance(source, Mapping) else _read_file(Path(source))
    where = describe_source(source)
    for wrapper in _WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            others = [str(name) for name, value in found.items() if name != wrapper and _holds_model(value)]
            if others:
                problem = f"several models ({shorten([wrapper, *others])}); save the one that you mean alone"
                raise InputError(problem, file=where)
            found = found[wrapper]
    if not isinstance(found, Mapping) or not all(isinstance(t, Tensor) for t in found.values()):
        raise InputError("not a state dict: names and their tensors are expected, and nothing else", file=where)
    empty = [str(name) for name, t in found.items() if t.layout != torch.strided or t.is_meta]
    if empty:
        raise InputError(f"tensors without plain values: {shorten(empty)}", file=where)
    firsts = [str(name) for name in found if str(name).endswith(_FIRST)]
    if len(firsts) > 1:
        raise InputError(f"several models ({shorten(firsts)}); save the one that you mean alone", file=where)
    if not firsts:
        names = shorten(sorted(map(str, found))) or "nothing"
        raise InputError(f"not a checkpoint of TRM or HRM: {_FIRST} is missing; it holds {names}", file=where)
    prefix = firsts[0].removesuffix(_FIRST)
    tensors = {str(name).removeprefix(prefix): t for name, t in found.items()}
    if len(tensors) < len(found):
        twice = [str(name) for name in found if f"{prefix}{name}" in found]
        raise InputError(f"tensors with and without the prefix {prefix}: {shorten(twice)}; keep one of each", file=where)
    return {name: _widen(t) for name, t in tensors.items() if not _NOT_KEPT.fullmatch(name)}


def _widen(tensor: Tensor) -> Tensor:
    """A tensor as it is; numbers of 8 bits, with which torch does not calculate, as the same in 32."""
    return tensor.float() if tensor.is_floating_point() and tensor.element_size() == 1 else tensor


def _holds_model(value: object) -> bool:
    """Whether a value is a state dict of a model, beside which there may be those of optimizers."""
    return isinstance(value, Mapping) and any(str(name).endswith(_FIRST) for name in value)


def _read_file(path: Path) -> object:
    if not require_regular(path).is_file():
        raise InputError("is a folder; name the file in it" if path.is_dir() else "no such file", file=path)
    with path.open("rb") as file:
        start = file.read(1 << 16)
    if not start:
        raise InputError("the file is empty; copy or download it again", file=path)
    is_safetensors = start[8:9] == b"{"  # after the length of the header
    if not is_safetensors and not start.startswith(_TORCH):
        kind = describe_kind(start)
        raise InputError(f"is {kind}" if kind else "not a checkpoint of torch.save or safetensors, or damaged", file=path)
    try:
        if is_safetensors:
            return load_file(path)
        # The warning is that the file is a TorchScript archive, which is said below.  By a path, torch goes by its suffix.
        with warnings.catch_warnings(action="ignore"), path.open("rb") as file:
            return torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        kind = re.search(r"GLOBAL ([\w.]+) was not", str(error))
        found = f" (found: {kind[1]})" if kind else ""
        problem = f"holds more than tensors, or is damaged; nothing in it was executed; {_SAVE_STATE_DICT}{found}"
        raise InputError(problem, file=path) from None
    except _DAMAGE as error:
        if "TorchScript" in str(error):
            raise InputError(f"a TorchScript archive, which holds code; {_SAVE_STATE_DICT}", file=path) from None
        raise InputError(f"truncated, damaged or not a checkpoint ({first_words(error)})", file=path) from None


def _starts_like_torch(path: Path) -> bool:
    """Whether a file begins as what `torch.save` writes."""
    with path.open("rb") as file:
        return file.read(2).startswith(_TORCH)


def find_checkpoint(path: Path) -> Path:
    """The checkpoint of the original code at `path`: a file, or the only one in a folder.

    Raises:
        InputError: the folder has none, or several.
    """
    if not path.is_dir():
        if not path.is_file():
            raise InputError("no such file or folder", file=path)
        return path
    if (path / "checkpoint.json").exists():
        raise InputError("is a checkpoint of this kit already; use it as it is", file=path)
    files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    found = [f for f in files if f.suffix in _SUFFIXES and (f.suffix == ".safetensors" or _starts_like_torch(f))]
    if len(found) != 1:
        names = shorten([file.name for file in found or files]) or "nothing"
        problem = f"{len(found)} checkpoints here, name one" if found else "no checkpoint here (of torch.save or safetensors)"
        raise InputError(f"{problem}: it holds {names}", file=path)
    return found[0]


def find_settings(checkpoint: Path) -> Path:
    """The file with the settings beside a checkpoint.

    Raises:
        InputError: there is none.
    """
    for name in SETTINGS_FILES:
        if (checkpoint.parent / name).is_file():
            return checkpoint.parent / name
    raise InputError(f"no {' or '.join(SETTINGS_FILES)} beside {checkpoint}; name the file of its settings", flag="--config")


def describe_source(source: Mapping[str, Tensor] | Path | str) -> str:
    """What to call a state dict or file in an error."""
    return "state dict" if isinstance(source, Mapping) else str(source)


class OfficialSettings(NamedTuple):
    """Architecture settings of the original code, and where they come from, for errors."""

    values: dict[str, Any]
    where: str

    def _value(self, name: str, default: Any) -> Any:
        value = self.values.get(name, default)
        if value is _REQUIRED:
            raise InputError(f"{name} is missing, and the original has no default for it", file=self.where)
        return value

    def integer(self, name: str, default: int = _REQUIRED) -> int:
        """A whole number from 0 to a million."""
        value = self._value(name, default)
        if type(value) is not int or not 0 <= value <= 10**6:
            raise InputError(f"{name} must be a whole number from 0 to a million, got {format_value(value)}", file=self.where)
        return value

    def number(self, name: str, default: float = _REQUIRED) -> float:
        """A finite number; YAML reads 1e-5 as text, so text is parsed, too."""
        value = self._value(name, default)
        try:
            number = float(value) if type(value) in (int, float, str) else math.nan
        except (ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise InputError(f"{name} must be a number, got {format_value(value)}", file=self.where)
        return number

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self._value(name, default)
        if type(value) is not bool:
            raise InputError(f"{name} must be true or false, got {format_value(value)}", file=self.where)
        return value

    def choice(self, name: str, options: Collection[str], default: str = _REQUIRED) -> str:
        """One of some words."""
        value = self._value(name, default)
        if not isinstance(value, str) or value not in options:
            raise InputError(f"{name} {format_value(value)} is not supported, only {', '.join(options)}", file=self.where)
        return value


def read_settings(config: Mapping[str, Any] | Path | str) -> OfficialSettings:
    """The original's architecture settings, references within them resolved.

    Args:
        config: the settings, or a YAML or JSON file; in a run's whole settings, those under `arch` are taken.  They may
            have the form of Weights & Biases, each under a `value`.

    Raises:
        InputError: a file that cannot be read, or a setting that is not known.
    """
    if not isinstance(config, Mapping | Path | str):
        raise InputError(f"settings, or a file with them, are expected, got {type(config).__name__}")
    where = "config" if isinstance(config, Mapping) else str(config)
    found = config if isinstance(config, Mapping) else _read_settings_file(Path(config))
    found = _drop_values(found)
    if isinstance(found, Mapping) and isinstance(found.get("arch"), Mapping):
        found = _drop_values(found["arch"])
    if not isinstance(found, Mapping):
        raise InputError("names and values are expected, as in the original's config/arch/trm.yaml", file=where)
    settings = {str(name): value for name, value in found.items()}
    for name, value in settings.items():
        reference = re.fullmatch(r"\$\{\.?(?:arch\.)?(\w+)\}", value) if isinstance(value, str) else None
        if reference:
            if reference[1] not in settings:
                raise InputError(f"{name} refers to {reference[1]}, which is missing", file=where)
            settings[name] = settings[reference[1]]
    unknown = sorted(settings.keys() - _USED - _PASSED_OVER - _ONLY.keys())
    if unknown:
        advice = "if they matter in training alone, remove them; others may change what the model computes"
        raise InputError(f"unknown settings: {shorten(unknown)}; {advice}", file=where)
    for name, only in _ONLY.items():
        if settings.get(name, only) != only:
            raise InputError(f"{name} {format_value(settings[name])} is not supported, only {only}", file=where)
    return OfficialSettings(settings, where)


def _drop_values(found: object) -> object:
    """Settings without the form of Weights & Biases: every value as `{desc: ..., value: ...}`, and keys of its own."""

    def inside(value: object) -> object:
        wrapped = isinstance(value, Mapping) and "value" in value and value.keys() <= {"desc", "value"}
        return value["value"] if wrapped else value

    found = inside(found)
    if not isinstance(found, Mapping):
        return found
    return {name: inside(value) for name, value in found.items() if name not in ("_wandb", "wandb_version")}


_MERGE = "tag:yaml.org,2002:merge"  # the key <<, whose values may be given again


class _Loader(yaml.SafeLoader):
    """YAML's safe values, without a name given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:  # noqa: FBT002 - as in yaml
        """Refuse what PyYAML silently ignores."""
        names = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != _MERGE]
        twice = {str(name) for name in names if names.count(name) > 1}
        if twice:
            raise yaml.YAMLError(f"given twice: {', '.join(sorted(twice))}")
        return super().construct_mapping(node, deep)


def _read_settings_file(path: Path) -> object:
    if path.suffix == ".json":
        return read_json(path)
    try:
        return yaml.load(require_regular(path).read_text(encoding="utf-8"), Loader=_Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read ({error})", file=path) from None
    except RecursionError:
        raise InputError("not valid YAML (nested too deeply)", file=path) from None
    except (yaml.YAMLError, ValueError, AttributeError) as error:  # PyYAML lets errors of int() and of dates through
        raise InputError(f"not valid YAML ({first_words(error)})", file=path) from None
