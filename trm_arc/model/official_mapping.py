"""Our settings and tensors for an official checkpoint, and back: exact, the same numbers under other names."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from trm_arc.common.errors import InputError, shorten
from trm_arc.config import ModelConfig, TrainingConfig
from trm_arc.model.integrity import is_finite
from trm_arc.model.official import TABLE, OfficialSettings, describe_source, read_official, read_settings
from trm_arc.model.reasoner import NORM_EPSILON, Reasoner
from trm_arc.model.rotary import ROTARY_BASE

_LOSSES = {"stablemax_cross_entropy": "stablemax", "softmax_cross_entropy": "softmax"}
# The original's modules, as `name` has them, by their state tensors and networks.
_MODULES = {
    "trm": ({"H_init", "L_init"}, "L"),
    "trm_singlez": ({"L_init"}, "L"),
    "trm_hier6": ({"H_init", *(f"L{number}_init" for number in range(1, 7))}, "L"),
    "hrm": ({"H_init", "L_init"}, "HL"),
    "hrm_act_v1": ({"H_init", "L_init"}, "HL"),
    "transformers_baseline": ({"H_init"}, "H"),
}
_CLASSES = {"TinyRecursiveReasoningModel_ACTV1", "HierarchicalReasoningModel_ACTV1", "Model_ACTV2"}  # whose defaults are known
_PREFIX = 16  # prefix tokens before the board, by default, of the classes with one network L; the others have one
_BOARDS = {12: 900, 6: 900}  # tokens of the board by vocabulary, where the settings do not say: ARC and Maze
_BLOCK_NAMES = {
    "qkv": "self_attn.qkv_proj",
    "out": "self_attn.o_proj",
    "mix_gate_up": "mlp_t.gate_up_proj",
    "mix_down": "mlp_t.down_proj",
    "gate_up": "mlp.gate_up_proj",
    "down": "mlp.down_proj",
}


class _Part(NamedTuple):
    """The tensor of ours that holds one of the original: a name, and for states which of them."""

    ours: str
    index: tuple[int, ...]
    theirs: str


def load_official(source: Mapping[str, Tensor] | Path | str, config: Mapping[str, Any] | Path | str) -> Reasoner:
    """A reasoner with the weights of a checkpoint of the original code.

    Args:
        source: its state dict, or the file; names may have the prefix `_orig_mod.model.inner.`, `model.inner.` or none.
        config: the original's architecture settings, or a YAML or JSON file with them (a run's whole settings are fine).

    Returns:
        The reasoner, in float64 if the checkpoint is, else float32.  The task embeddings are beside it, as they came, in
        `task_embeddings`.

    Raises:
        InputError: a file that cannot be read or holds more than tensors, a setting that is not known or not supported, or
            tensors that are missing, unexpected or of another shape; they are named.
    """
    return build_reasoner(read_official(source), read_settings(config), describe_source(source))


def build_reasoner(tensors: Mapping[str, Tensor], settings: OfficialSettings, where: str) -> Reasoner:
    """A reasoner from what `read_official` and `read_settings` gave; see `load_official`."""
    model = official_config(settings, tensors)
    reasoner = Reasoner(model, torch.Generator())
    expected = {part.theirs: tuple(reasoner.state_dict()[part.ours][part.index].shape) for part in _parts(model)}
    given = {name: tuple(t.shape) for name, t in tensors.items() if name != TABLE}
    missing, surplus = sorted(expected.keys() - given.keys()), sorted(given.keys() - expected.keys())
    shapes = [f"{n} {given[n]} for {expected[n]}" for n in sorted(expected.keys() & given.keys()) if expected[n] != given[n]]
    found = {"missing": missing, "unexpected": surplus, "of another shape": shapes}
    if any(found.values()):
        faults = "; ".join(f"{what}: {shorten(names)}" for what, names in found.items() if names)
        raise InputError(f"the tensors do not fit the settings of a {model.variant}: {faults}", file=where)
    table = tensors.get(TABLE)
    if table is not None and (table.ndim != 2 or table.shape[1] != model.width or not len(table)):
        raise InputError(f"{TABLE} must have rows of {model.width} numbers, not the shape {tuple(table.shape)}", file=where)
    invalid = [n for n, t in tensors.items() if not t.is_floating_point() or not is_finite(t)]
    if invalid:
        raise InputError(f"not all values are finite real numbers: {shorten(invalid)}", file=where)
    reasoner.to(torch.float64 if any(t.dtype == torch.float64 for t in tensors.values()) else torch.float32)
    with torch.no_grad():
        for part in _parts(model):
            reasoner.state_dict()[part.ours][part.index].copy_(tensors[part.theirs])
    reasoner.task_embeddings, reasoner.embedding_rows = table, 0 if table is None else len(table)
    return reasoner


def to_official(reasoner: Reasoner, task_embeddings: Tensor | None = None) -> dict[str, Tensor]:
    """The tensors of a reasoner under the original's names, without a prefix.

    Args:
        reasoner: of a variant that the original has.
        task_embeddings: their table (rows, D), whose row 0 the original keeps for padding; if None, that which `load_official`
            read, if any.

    Raises:
        InputError: the reasoner uses an option that the original does not have.
    """
    default, config = ModelConfig(), reasoner.config
    ours = ("gate", "convolution", "latents", "random_start", "damping", "noise", "transform_tokens")
    foreign = [f"{name} {getattr(config, name)}" for name in ours if getattr(config, name) != getattr(default, name)]
    foreign += [name for name in ("qk_norm", "output_norm") if getattr(config, name)]
    foreign += ["positions rotary-2d"] * (config.positions == "rotary-2d")
    foreign += _unsupported_variants(config)
    if foreign:
        raise InputError(f"the original's code cannot run this model: it has no {', '.join(foreign)}")
    task_embeddings = reasoner.task_embeddings if task_embeddings is None else task_embeddings
    if task_embeddings is not None and (task_embeddings.ndim != 2 or task_embeddings.shape[1] != config.width):
        raise InputError(
            f"rows of {config.width} numbers are expected, got {tuple(task_embeddings.shape)}", flag="task_embeddings"
        )
    tensors = {part.theirs: reasoner.state_dict()[part.ours][part.index].clone() for part in _parts(config)}
    return tensors if task_embeddings is None else tensors | {TABLE: task_embeddings.clone()}


def _unsupported_variants(config: ModelConfig) -> list[str]:
    """Variants that the original has no code for."""
    if config.latent_steps == 0:
        plain = config.cycles == 1 and config.mixer == "attention"
        return [] if plain else ["loop without latent steps" if config.cycles > 1 else "direct prediction by an MLP"]
    if config.networks == 2:
        return [] if config.states == 1 and config.mixer == "attention" else ["two networks outside HRM"]
    if config.states > 1 and (config.states, config.latent_steps) != (6, 6):
        return [f"{config.states} states with {config.latent_steps} latent steps, only 6 with 6"]
    return []


def _parts(config: ModelConfig) -> list[_Part]:
    parts = [
        _Part("embed_tokens", (), "embed_tokens.embedding_weight"),
        _Part("head", (), "lm_head.weight"),
        _Part("halt_weight", (), "q_head.weight"),
        _Part("halt_bias", (), "q_head.bias"),
        # single-z calls its only state L, the others call the answer H
        _Part("y_start", (0,), "L_init" if config.variant == "single-z" else "H_init"),
    ]
    z_names = ["L_init"] if config.states == 1 else [f"L{state + 1}_init" for state in range(config.states)]
    parts += [_Part("z_start", (state, 0), name) for state, name in enumerate(z_names)]
    mixing = ("qkv", "out") if config.mixer == "attention" else ("mix_gate_up", "mix_down")
    for network in range(config.networks):
        level = "H" if network == 1 or config.variant == "direct" else "L"
        for layer in range(config.layers):
            for part in (*mixing, "gate_up", "down"):
                theirs = f"{level}_level.layers.{layer}.{_BLOCK_NAMES[part]}.weight"
                parts.append(_Part(f"networks.{network}.{layer}.{part}", (), theirs))
    return parts


def official_config(settings: OfficialSettings, tensors: Mapping[str, Tensor]) -> ModelConfig:
    """Our settings for a checkpoint of the original code.

    The setting `name` says which variant it is; without it, the tensors do.

    Raises:
        InputError: a setting is missing, contradicts the tensors, or asks for what is not supported.
    """
    where = settings.where
    starts, levels = _module(settings, tensors)
    direct = levels == "H"
    width = settings.integer("hidden_size")
    mixer = "mlp" if settings.flag("mlp_t", False) else "attention"
    positions = settings.choice("pos_encodings", ("rope", "none"))
    for name, only in (("rms_norm_eps", NORM_EPSILON), ("rope_theta", ROTARY_BASE)):
        if settings.number(name, only) != only:
            raise InputError(f"{name} {settings.values[name]} is not supported, only {only}", file=where)
    if direct and settings.integer("H_cycles", 1) != 1:
        raise InputError(f"H_cycles {settings.values['H_cycles']} is not supported without a network L, only 1", file=where)
    if settings.flag("causal", False):
        raise InputError("causal attention is not supported", file=where)
    if settings.integer("puzzle_emb_ndim", 0) != width:
        stated = settings.values.get("puzzle_emb_ndim", 0)
        raise InputError(f"puzzle_emb_ndim {stated} is not supported, only hidden_size, {width}: one vector a task", file=where)
    prefix = _prefix(settings, levels)
    vocabulary = _vocabulary(settings, tensors)
    side = _side(settings, tensors, prefix, vocabulary)
    values: dict[str, Any] = {
        "width": width,
        "heads": settings.integer("num_heads"),
        "layers": _layers(settings, tensors, levels),
        "expansion": settings.number("expansion"),
        "mixer": mixer,
        "positions": "rotary-1d" if positions == "rope" and mixer == "attention" else "none",
        "prefix": prefix,
        "board_rows": side,
        "board_columns": side,
        "vocabulary": vocabulary,
        "states": 0 if direct else len(starts - {"H_init"}) - ("H_init" not in starts),
        "networks": len(levels),
        "cycles": settings.integer("H_cycles", 1) if direct else settings.integer("H_cycles"),
        "latent_steps": 0 if direct else settings.integer("L_cycles"),
        "gradient_calls": 2 if levels == "HL" else 0,
    }
    try:
        return ModelConfig(**values)
    except InputError as error:
        raise InputError(str(error), file=where) from None


def _module(settings: OfficialSettings, tensors: Mapping[str, Tensor]) -> tuple[set[str], str]:
    """Names of the initial states, and the networks: of the module that is named, or as the tensors have them."""
    module, _ = _named(settings)
    if module in _MODULES:
        return _MODULES[module]
    starts = {name for name in tensors if re.fullmatch(r"(H|L\d*)_init", name)}
    levels = "".join(level for level in "HL" if any(name.startswith(f"{level}_level.") for name in tensors))
    return starts or {"H_init", "L_init"}, levels or "L"


def _named(settings: OfficialSettings) -> tuple[str, str]:
    """The module and the class of `name`, as `recursive_reasoning.trm@TinyRecursiveReasoningModel_ACTV1` has them, or empty."""
    name = settings.values.get("name")
    named = re.search(r"(\w+)@(\w+)", name) if isinstance(name, str) else None
    return (named[1], named[2]) if named else ("", "")


def _prefix(settings: OfficialSettings, levels: str) -> int:
    """Slots before the board: as set, or by the default of the class, which `name` or else the tensors determine."""
    _, kind = _named(settings)
    if "puzzle_emb_len" not in settings.values and kind and kind not in _CLASSES:
        raise InputError(f"puzzle_emb_len is missing, and the default of {kind} is not known; add it", file=settings.where)
    return settings.integer("puzzle_emb_len", _PREFIX if levels == "L" else 0) or 1


def _layers(settings: OfficialSettings, tensors: Mapping[str, Tensor], levels: str) -> int:
    """Blocks of a network: as set, or as many as there are."""
    counts = {level: settings.integer(f"{level}_layers") for level in levels if f"{level}_layers" in settings.values}
    for level in levels:
        found = (re.match(rf"{level}_level\.layers\.(\d+)\.", name) for name in tensors)
        counts.setdefault(level, 1 + max((int(match[1]) for match in found if match), default=0))
    if len(set(counts.values())) > 1:
        raise InputError(f"networks of {counts['H']} and {counts['L']} blocks; both need the same number", file=settings.where)
    return max(counts.values())


def _vocabulary(settings: OfficialSettings, tensors: Mapping[str, Tensor]) -> int:
    embedding = tensors["embed_tokens.embedding_weight"]
    if embedding.ndim != 2:
        raise InputError(f"embed_tokens.embedding_weight must be a matrix, got {tuple(embedding.shape)}", file=settings.where)
    stated = settings.integer("vocab_size", len(embedding))
    if stated != len(embedding):
        raise InputError(f"vocab_size is {stated}, but the checkpoint has {len(embedding)} tokens", file=settings.where)
    return stated


def _side(settings: OfficialSettings, tensors: Mapping[str, Tensor], prefix: int, vocabulary: int) -> int:
    """The side of the board: of seq_len tokens, or as many as the MLP mixer has weights for, or by the vocabulary."""
    mixing = next((t for name, t in tensors.items() if name.endswith("mlp_t.gate_up_proj.weight") and t.ndim == 2), None)
    known = _BOARDS.get(vocabulary) if mixing is None else max(mixing.shape[1] - prefix, 0)
    if known is None and "seq_len" not in settings.values:
        raise InputError(
            f"seq_len is missing (81 for 9 x 9); {vocabulary} tokens do not determine the board", file=settings.where
        )
    length = settings.integer("seq_len", known)
    side = round(length**0.5)
    if side * side != length or not length:
        raise InputError(f"{length} tokens are not a square board, and only square boards are supported", file=settings.where)
    return side


def official_training(settings: OfficialSettings, base: TrainingConfig) -> dict[str, Any]:
    """The original's settings of loss and halting, as values of `TrainingConfig`; what they leave out is as in `base`.

    Raises:
        InputError: a value that is not known.
    """
    loss = settings.values.get("loss", {})
    if not isinstance(loss, Mapping):
        raise InputError("loss must hold names and values, such as loss_type: stablemax_cross_entropy", file=settings.where)
    inner = OfficialSettings(dict(loss), settings.where)
    kind = inner.choice("loss_type", _LOSSES, "stablemax_cross_entropy")
    # HRM's classes have no such switch, nor prefix tokens: they always learn the value of continuing.
    module, _ = _named(settings)
    switched = _MODULES[module][1] == "L" if module in _MODULES else "puzzle_emb_len" in settings.values
    continues = not settings.flag("no_ACT_continue", switched)
    halt_steps = settings.integer("halt_max_steps", base.halt_steps)
    return {
        "loss": _LOSSES[kind],
        "halting": "q-learning" if continues and halt_steps > 1 else "exact",
        "halt_steps": halt_steps,
        "halt_exploration": settings.number("halt_exploration_prob", base.halt_exploration),
        "ema": 0.0,  # the original saves the averaged weights alone
    }
