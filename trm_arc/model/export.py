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
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from trm_arc.common.errors import InputError
from trm_arc.common.files import read_json, to_json, write_atomic
from trm_arc.common.folders import find_foreign, new_folder
from trm_arc.model.checkpoint import (
    EXPORT,
    Checkpoint,
    check_header,
    checkpoint_name,
    list_checkpoints,
    load_checkpoint,
    make_header,
)

FOLDER, INDEX = EXPORT.parts
SMALLEST = 1 << 16  # bytes of a piece; smaller pieces would only be more
HEADER = 4096  # bytes of a piece that its names may take
_PIECE = re.compile(r"piece-\d+\.safetensors")
_ROUNDED = ("average.", "optimizer.", "embedding.", "mean")


def check_piece_size(size: int) -> None:
    """Raise InputError if pieces of `size` bytes are too small."""
    if size < SMALLEST:
        raise InputError(f"at least {SMALLEST} bytes are needed, got {size}", flag="--export-size")


def export_pieces(checkpoint: Checkpoint, folder: Path, size: int) -> list[Path]:
    """Write a checkpoint without its active samples in pieces below `folder/export`, whole or not at all.

    Args:
        size: of a piece at most, in bytes.

    Raises:
        InputError: the size is too small, or the pieces cannot be written.
    """
    check_piece_size(size)
    tensors = {name: _round(name, t) for name, t in checkpoint.tensors.items() if not name.startswith("carry.")}
    left = replace(checkpoint, tensors=tensors, metadata=replace(checkpoint.metadata, active_samples=()))
    target = folder / FOLDER
    index: dict[str, Any] = {
        "checkpoint": make_header(left),
        "tensors": {name: {"dtype": str(t.dtype).removeprefix("torch."), "shape": list(t.shape)} for name, t in tensors.items()},
        "pieces": {},
    }
    try:
        check_pieces(folder)
        with new_folder(target) as temporary:
            for number, piece in enumerate(_pack(tensors, size - HEADER), 1):
                data = save(piece)
                name = f"piece-{number:04d}.safetensors"
                write_atomic(temporary / name, data)
                index["pieces"][name] = hashlib.sha256(data).hexdigest()
            write_atomic(temporary / INDEX, to_json(index))
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
        names = _read_index(folder)["pieces"]
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
        what = f"holds {foreign}, which no export wrote" if foreign else "is no folder that an export wrote"
        raise InputError(f"{what}, so it is not replaced; move it away, or name another --out", file=target)


def load_pieces(folder: Path) -> Checkpoint:
    """Read a checkpoint from the pieces in `folder/export`.

    Raises:
        InputError: a piece is missing or damaged.
    """
    where, index = folder / FOLDER, _read_index(folder)
    bytes_of: dict[str, list[Tensor]] = {}
    for name in sorted(index["pieces"]):
        try:
            data = (where / name).read_bytes()
        except OSError:
            raise InputError(f"this piece is missing; copy all {len(index['pieces'])} pieces", file=where / name) from None
        if hashlib.sha256(data).hexdigest() != index["pieces"][name]:
            raise InputError("this piece is damaged or of another export; copy it again", file=where / name)
        for key, part in load(data).items():  # "TENSOR@NUMBER", in the order of the numbers
            bytes_of.setdefault(key.rpartition("@")[0], []).append(part)
    tensors = {}
    for name, kind in index["tensors"].items():
        dtype = getattr(torch, kind["dtype"])
        flat = torch.cat(bytes_of[name]).view(dtype) if name in bytes_of else torch.empty(0, dtype=dtype)
        tensors[name] = flat.reshape(kind["shape"])
    return check_header(index["checkpoint"], tensors, str(where))


def load_newest(folder: Path) -> Checkpoint:
    """What a run continues from: its newest checkpoint, or its export where that is newer or alone.

    Raises:
        InputError: neither can be read.
    """
    if not (folder / EXPORT).is_file():
        return load_checkpoint(folder)
    there = list_checkpoints(folder)  # the steps say which is newer, before gigabytes are read
    older = there and there[-1].name >= checkpoint_name(_read_index(folder)["checkpoint"]["step"])
    return load_checkpoint(folder) if older else load_pieces(folder)


def _read_index(folder: Path) -> dict[str, Any]:
    where = folder / EXPORT
    index = read_json(where)
    parts = ("checkpoint", "tensors", "pieces")
    sound = isinstance(index, dict) and all(isinstance(index.get(part), dict) for part in parts)
    if not sound or type(index["checkpoint"].get("step")) is not int:
        raise InputError("not the index of an export", file=where)
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
