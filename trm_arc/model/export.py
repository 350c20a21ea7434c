"""A resumable run in files below a size limit, for machines that return only small files: `train --export-size 15MiB`.

    export/
        export.json             the checkpoint's header, and which piece holds which part of which tensor
        piece-0001.safetensors  ...

Weights stay as they are; their average, the optimizers' states and the task embeddings are rounded to bfloat16.  Active
samples are left out: a run that continues from an export begins with new puzzles, so it is not equal bit for bit.
"""

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from trm_arc.common.errors import InputError
from trm_arc.common.files import read_json, to_json, write_atomic
from trm_arc.common.folders import find_foreign, new_folder, not_replaced
from trm_arc.common.records import load_record
from trm_arc.model.checkpoint import Checkpoint, check_header, load_checkpoint, make_header
from trm_arc.model.checkpoint_files import EXPORT, checkpoint_name, list_checkpoints
from trm_arc.model.integrity import check_finite, check_seal, drop_seal, seal

FOLDER, INDEX = EXPORT.parts
SMALLEST = 1 << 16  # bytes of a piece; smaller pieces would only be more
HEADER = 4096  # bytes of a piece that its names may take
_PIECE = re.compile(r"piece-\d+\.safetensors")
_ROUNDED = ("average.", "optimizer.", "embedding.", "mean")


@dataclass(frozen=True)
class _Kind:
    """Type and shape of a tensor."""

    dtype: str
    shape: list[int]

    def __post_init__(self) -> None:
        if not isinstance(getattr(torch, self.dtype, None), torch.dtype):
            raise ValueError(f"{self.dtype} is not a type of tensors")


@dataclass(frozen=True)
class _Index:
    """What export.json holds.

    Attributes:
        checkpoint: the header of `checkpoint.json`.
        tensors: by their names.
        pieces: the SHA-256 of each, by the names of their files.
    """

    checkpoint: dict[str, Any]
    tensors: dict[str, _Kind]
    pieces: dict[str, str]

    def __post_init__(self) -> None:
        if type(self.checkpoint.get("step")) is not int:
            raise ValueError("its checkpoint has no step")


def check_piece_size(size: int) -> None:
    """Raise InputError if pieces of `size` bytes are too small."""
    if size < SMALLEST:
        raise InputError(f"at least {SMALLEST} bytes are needed, got {size}", flag="--export-size")


def export_pieces(checkpoint: Checkpoint, folder: Path, size: int) -> list[Path]:
    """Write a checkpoint without its active samples in pieces below `folder/export`, whole or not at all.

    Args:
        size: of a piece at most, in bytes.

    Raises:
        InputError: the size is too small, values are not finite, or the pieces cannot be written.
    """
    check_piece_size(size)
    check_finite(checkpoint.tensors, folder / FOLDER, "nothing was exported; train again with lower learning rates")
    tensors = {name: _round(name, t) for name, t in checkpoint.tensors.items() if not name.startswith("carry.")}
    # another machine, for which it is, may have memory for other numbers of rows
    left = replace(checkpoint, tensors=tensors, metadata=replace(checkpoint.metadata, active_samples=(), rows_at_a_time=()))
    target = folder / FOLDER
    kinds = {name: _Kind(str(t.dtype).removeprefix("torch."), list(t.shape)) for name, t in tensors.items()}
    index = _Index(make_header(left), kinds, {})
    try:
        check_pieces(folder)
        with new_folder(target) as temporary:
            for number, piece in enumerate(_pack(tensors, size - HEADER), 1):
                data = save(piece)
                name = f"piece-{number:04d}.safetensors"
                write_atomic(temporary / name, data)
                index.pieces[name] = hashlib.sha256(data).hexdigest()
            write_atomic(temporary / INDEX, to_json(seal(asdict(index))))
    except (OSError, SafetensorError, InputError) as error:
        raise InputError(
            f"the pieces cannot be written ({error}); the checkpoints are untouched: free space", file=target
        ) from None
    return sorted(target.glob("piece-*"))


def list_pieces(folder: Path) -> list[Path]:
    """The files of an export in `folder/export`, by its index; none without a valid one.  They need not be there."""
    if not (folder / EXPORT).is_file():
        return []
    try:
        names = _read_index(folder).pieces
    except InputError:
        return []
    return [folder / FOLDER / name for name in names if _PIECE.fullmatch(name)] + [folder / EXPORT]


def check_pieces(folder: Path) -> None:
    """Raise InputError if `folder/export` cannot be replaced, because something is there that no export wrote."""
    target, listed = folder / FOLDER, {path.name for path in list_pieces(folder)}
    if not os.path.lexists(target):
        return
    foreign = "" if target.is_symlink() or not target.is_dir() else find_foreign(target, listed)
    if foreign is not None:
        raise not_replaced(target, f"holds {foreign}, which no export wrote" if foreign else "is no folder that an export wrote")


def load_pieces(folder: Path) -> Checkpoint:
    """Read a checkpoint from the pieces in `folder/export`.

    Raises:
        InputError: a piece is missing or damaged.
    """
    where, index = folder / FOLDER, _read_index(folder)
    bytes_of: dict[str, list[Tensor]] = {}
    for name in sorted(index.pieces):
        if Path(name).name != name or not (where / name).is_file():
            raise InputError(f"this piece is missing; copy all {len(index.pieces)} pieces", file=where / name)
        try:
            data = (where / name).read_bytes()
        except OSError as error:
            raise InputError(f"cannot be read ({error.strerror})", file=where / name) from None
        if hashlib.sha256(data).hexdigest() != index.pieces[name]:
            raise InputError("this piece is damaged or of another export; copy it again", file=where / name)
        try:
            piece = load(data)
        except SafetensorError as error:
            raise InputError(f"not a piece of an export ({error})", file=where / name) from None
        for key, part in piece.items():  # "TENSOR@NUMBER", in the order of the numbers
            bytes_of.setdefault(key.rpartition("@")[0], []).append(part)
    try:
        tensors = {name: _assemble(bytes_of.get(name, []), kind) for name, kind in index.tensors.items()}
    except RuntimeError as error:
        raise InputError(f"does not fit its pieces ({error}); copy all of the export again", file=where / INDEX) from None
    return check_header(index.checkpoint, tensors, str(where))


def _assemble(parts: list[Tensor], kind: _Kind) -> Tensor:
    """A tensor from its bytes."""
    dtype = getattr(torch, kind.dtype)
    flat = torch.cat(parts).view(dtype) if parts else torch.empty(0, dtype=dtype)
    return flat.reshape(kind.shape)


def load_newest(folder: Path) -> Checkpoint:
    """What a run continues from: its newest checkpoint, or its export where that is newer or alone.

    Raises:
        InputError: neither can be read.
    """
    if not (folder / EXPORT).is_file():
        return load_checkpoint(folder)
    return _list_sources(folder)[0]()


def load_whole(folder: Path) -> tuple[Checkpoint, list[str]]:
    """What `load_newest` reads; if that is damaged, the newest before it that is whole, and sentences that say so.

    Raises:
        InputError: none can be read; the error is that of the newest.
    """
    errors: list[InputError] = []
    for read in _list_sources(folder):
        try:
            checkpoint = read()
        except InputError as error:
            errors.append(error)
            continue
        return checkpoint, [f"damaged checkpoint skipped, using the older {checkpoint.where}: {error}" for error in errors]
    if not errors:
        return load_checkpoint(folder), []  # which says what is missing
    raise errors[0]


def _list_sources(folder: Path) -> list[Callable[[], Checkpoint]]:
    """What reads the export and the checkpoints of a run, newest first, by their names, before gigabytes are read."""
    sources: list[tuple[str, Callable[[], Checkpoint]]] = []
    if (folder / EXPORT).is_file():
        sources.append((_exported_name(folder), partial(load_pieces, folder)))
    sources += [(path.name, partial(load_checkpoint, path)) for path in list_checkpoints(folder)]
    sources.sort(key=lambda source: source[0])
    return [read for _, read in reversed(sources)]  # of equal names the checkpoint, which has more


def _exported_name(folder: Path) -> str:
    """What the export's checkpoint would be called; a name after all others if the index is damaged."""
    try:
        return checkpoint_name(_read_index(folder).checkpoint["step"])
    except InputError:
        return "damaged"


def _read_index(folder: Path) -> _Index:
    where = folder / EXPORT
    document = read_json(where)
    try:
        index = load_record(_Index, drop_seal(document) if isinstance(document, dict) else document, "")
    except InputError as error:
        raise InputError(f"not the index of an export ({error}); copy all of the export again", file=where) from None
    check_seal(document, where)
    return index


def _round(name: str, tensor: Tensor) -> Tensor:
    tensor = tensor.detach().cpu().contiguous()
    rounds = name.startswith(_ROUNDED) and tensor.is_floating_point() and tensor.ndim > 0
    return tensor.to(torch.bfloat16) if rounds else tensor


def _pack(tensors: dict[str, Tensor], room: int) -> list[dict[str, Tensor]]:
    """Sort the bytes of all tensors into pieces, cutting those that do not fit."""
    pieces: list[dict[str, Tensor]] = [{}]
    left = room
    for name, tensor in tensors.items():
        if not tensor.numel():  # an empty tensor has no bytes, and torch cannot view it as bytes
            continue
        flat, number = tensor.reshape(-1).view(torch.uint8), 0
        while len(flat):
            if left < SMALLEST // 4 or len(pieces[-1]) >= HEADER // 128:
                pieces.append({})
                left = room
            part, flat = flat[:left], flat[left:]
            pieces[-1][f"{name}@{number:06d}"] = part.clone()
            left -= len(part)
            number += 1
    return pieces
