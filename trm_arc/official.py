"""What the original public code leaves behind, read: state dicts of tensors alone, and its architecture settings."""

import re
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError  # to name what torch raises when a file holds more than tensors
from typing import Any, NamedTuple

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from trm_arc.config import ModelConfig, TrainingConfig
from trm_arc.errors import InputError, shorten
from trm_arc.files import read_json
from trm_arc.model import NORM_EPSILON, ROTARY_BASE

TABLE = "puzzle_emb.weights"  # the task embeddings' name
# Tensors of the original that a run makes anew each time: a table that a batch fills, and the tables of the rotation.
_NOT_KEPT = re.compile(r"puzzle_emb\.local_.*|rotary_emb\..*")
_WRAPPERS = ("state_dict", "model_state_dict", "model")
# What its settings may hold that says nothing of the function, or nothing that the tensors do not say.
_PASSED_OVER = {"name", "batch_size", "seq_len", "vocab_size", "num_puzzle_identifiers", "H_layers", "L_layers", "causal"}
_USED = {
    "H_cycles", "L_cycles", "hidden_size", "expansion", "num_heads", "pos_encodings", "rms_norm_eps", "rope_theta",
    "puzzle_emb_ndim", "puzzle_emb_len", "mlp_t", "forward_dtype", "halt_max_steps", "halt_exploration_prob",
    "no_ACT_continue", "loss",
}  # fmt: skip
_LOSSES = {"stablemax_cross_entropy": "stablemax", "softmax_cross_entropy": "softmax"}
ARC_TOKENS = 900


def read_official(source: Mapping[str, Tensor] | Path | str) -> dict[str, Tensor]:
    """The tensors of a checkpoint of the original code, by their names without a prefix.

    Args:
        source: a state dict, or a file of torch.save or safetensors.

    Raises:
        InputError: it cannot be read, holds more than tensors, or is of another model.
    """
    found: object = source if isinstance(source, Mapping) else _read_file(Path(source))
    for wrapper in _WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
    where = tell_source(source)
    if not isinstance(found, Mapping) or not all(isinstance(t, Tensor) for t in found.values()):
        raise InputError(f"{where}: not a state dict: names and their tensors are expected, and nothing else")
    first = next((str(name) for name in found if str(name).endswith("embed_tokens.embedding_weight")), None)
    if first is None:
        names = shorten(sorted(map(str, found))) or "nothing"
        raise InputError(f"{where}: no checkpoint of TRM or HRM: embed_tokens.embedding_weight is missing; it holds {names}")
    prefix = first.removesuffix("embed_tokens.embedding_weight")
    tensors = {str(name).removeprefix(prefix): t for name, t in found.items()}
    return {name: t for name, t in tensors.items() if not _NOT_KEPT.fullmatch(name)}


def _read_file(path: Path) -> object:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        reason = str(error).partition("\n")[0][:120]
        raise InputError(f"{path}: holds more than tensors, or is damaged; nothing of it was run ({reason})") from None
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: truncated, damaged or no checkpoint ({str(error).partition(chr(10))[0][:120]})") from None


def tell_source(source: Mapping[str, Tensor] | Path | str) -> str:
    """What to call a state dict or file in an error."""
    return "state dict" if isinstance(source, Mapping) else str(source)


class Settings(NamedTuple):
    """Architecture settings of the original code, and where they stand, for errors."""

    values: dict[str, Any]
    where: str


def read_settings(config: Mapping[str, Any] | Path | str) -> Settings:
    """The original's architecture settings, references within them resolved.

    Args:
        config: the settings, or a YAML or JSON file; in a run's whole settings, those under `arch` are taken.

    Raises:
        InputError: a file that cannot be read, or a setting that is not known.
    """
    where = "config" if isinstance(config, Mapping) else str(config)
    found = config if isinstance(config, Mapping) else _read_settings_file(Path(config))
    if isinstance(found, Mapping) and isinstance(found.get("arch"), Mapping):
        found = found["arch"]
    if not isinstance(found, Mapping):
        raise InputError(f"{where}: names and values are expected, as in the original's config/arch/trm.yaml")
    settings = {str(name): value for name, value in found.items()}
    for name, value in settings.items():
        reference = re.fullmatch(r"\$\{\.?(?:arch\.)?(\w+)\}", value) if isinstance(value, str) else None
        if reference:
            if reference[1] not in settings:
                raise InputError(f"{where}: {name} refers to {reference[1]}, which is not there")
            settings[name] = settings[reference[1]]
    unknown = sorted(settings.keys() - _USED - _PASSED_OVER)
    if unknown:
        raise InputError(f"{where}: settings that are not known: {shorten(unknown)}; take those of the original's architecture")
    return Settings(settings, where)


def _read_settings_file(path: Path) -> object:
    if path.suffix == ".json":
        return read_json(path)
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML ({str(error).replace(chr(10), ' ')[:120]})") from None


def official_config(config: Settings, tensors: Mapping[str, Tensor]) -> ModelConfig:
    """Our settings for a checkpoint of the original code; which member of the family it is, its tensors say.

    Args:
        config: from `read_settings`.
        tensors: from `read_official`.

    Raises:
        InputError: a setting is missing, or asks for what is not supported.
    """
    settings, where = config.values, config.where
    levels = {level: _layers(tensors, level) for level in "HL"}
    direct = levels["L"] == 0
    width = _whole(settings, "hidden_size", where)
    prefix = _prefix(settings, width, where)
    mlp = bool(settings.get("mlp_t", False))
    positions = settings.get("pos_encodings", "none")
    for name, only in (("rms_norm_eps", NORM_EPSILON), ("rope_theta", ROTARY_BASE)):
        if float(settings.get(name, only)) != only:
            raise InputError(f"{where}: {name} {settings[name]} is not supported, only {only}")
    if positions not in ("rope", "none"):
        raise InputError(f"{where}: pos_encodings {positions!r} is not supported, only rope and none")
    if levels["H"] and not direct and levels["H"] != levels["L"]:
        raise InputError(f"{where}: networks of {levels['H']} and {levels['L']} blocks; both must have the same number")
    states = sum(bool(re.fullmatch(r"L\d*_init", name)) for name in tensors) - ("H_init" not in tensors)
    networks = 2 if levels["H"] and not direct else 1
    board_rows, board_columns = _board(settings, tensors, prefix, where)
    try:
        return ModelConfig(
            width=width,
            heads=_whole(settings, "num_heads", where),
            layers=max(levels["H"], levels["L"], 1),
            expansion=float(settings.get("expansion", 4)),
            mixer="mlp" if mlp else "attention",
            positions="rotary-1d" if positions == "rope" and not mlp else "none",
            prefix=prefix,
            board_rows=board_rows,
            board_columns=board_columns,
            vocabulary=len(tensors["embed_tokens.embedding_weight"]),
            states=0 if direct else max(states, 0),
            networks=networks,
            cycles=int(settings.get("H_cycles", 1)) if direct else _whole(settings, "H_cycles", where),
            thoughts=0 if direct else _whole(settings, "L_cycles", where),
            gradient_calls=2 if networks == 2 else 0,
        )
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _layers(tensors: Mapping[str, Tensor], level: str) -> int:
    found = (re.match(rf"{level}_level\.layers\.(\d+)\.", name) for name in tensors)
    return 1 + max((int(match[1]) for match in found if match), default=-1)


def _whole(settings: Mapping[str, Any], name: str, where: str) -> int:
    value = settings.get(name)
    if type(value) is not int:
        raise InputError(f"{where}: {name} must be a whole number, got {value!r}")
    return value


def _prefix(settings: Mapping[str, Any], width: int, where: str) -> int:
    """Prefix slots: as set, or as many as a task embedding fills."""
    embedding = settings.get("puzzle_emb_ndim", 0)
    if embedding != width:
        raise InputError(f"{where}: puzzle_emb_ndim {embedding} is not supported, only hidden_size, {width}: one slot a task")
    return _whole(settings, "puzzle_emb_len", where) if settings.get("puzzle_emb_len") else 1


def _board(settings: Mapping[str, Any], tensors: Mapping[str, Tensor], prefix: int, where: str) -> tuple[int, int]:
    """Rows and columns: of seq_len tokens, or as many as the MLP mixer has weights for, or ARC's."""
    mixing = next((t for name, t in tensors.items() if name.endswith("mlp_t.gate_up_proj.weight")), None)
    known = ARC_TOKENS if mixing is None else mixing.shape[1] - prefix
    length = _whole(settings, "seq_len", where) if "seq_len" in settings else known
    side = round(max(length, 1) ** 0.5)
    if side * side != length:
        raise InputError(f"{where}: {length} tokens are no square board, and no other is supported")
    return side, side


def official_training(config: Settings, base: TrainingConfig) -> dict[str, Any]:
    """What the original's settings say of loss and halting, as values of `TrainingConfig`.

    Args:
        config: from `read_settings`.
        base: the values where they say nothing.

    Raises:
        InputError: a loss that is not known.
    """
    settings, where = config.values, config.where
    loss = settings.get("loss") or {}
    kind = loss.get("loss_type", "stablemax_cross_entropy") if isinstance(loss, Mapping) else loss
    if kind not in _LOSSES:
        raise InputError(f"{where}: loss_type {kind!r} is not supported, only {' and '.join(_LOSSES)}")
    # HRM's settings have no such switch: it always learns what going on is worth.
    continues = not settings.get("no_ACT_continue", "puzzle_emb_len" in settings)
    halt_steps = int(settings.get("halt_max_steps", base.halt_steps))
    return {
        "loss": _LOSSES[kind],
        "halting": "q-learning" if continues and halt_steps > 1 else "exact",
        "halt_steps": halt_steps,
        "halt_exploration": float(settings.get("halt_exploration_prob", base.halt_exploration)),
        "ema": 0.0,  # the original saves the averaged weights alone
    }
