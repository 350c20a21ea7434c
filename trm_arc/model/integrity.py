"""Whether a checkpoint is what was saved: checksums, tensors of the right kinds, finite values.

Tensors have a CRC-32: 0.4 s/GB where SHA-256 takes 0.8 with the processor's own instructions for it, and BLAKE2b 1.8.  It finds
every flipped bit, every damaged run of 32 bits, and all but one in four billion of other damages; it proves nothing against
somebody who means to deceive, who could replace a hash beside the tensors as well.
"""

import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import torch
from torch import Tensor

from trm_arc.common.errors import InputError, shorten
from trm_arc.data.domains import Domain

DAMAGED = "the checkpoint is damaged; use an older one"
_SEAL = "sha256"  # the key of a document that holds the hash of all its other keys
_NEED_NOT_BE_FINITE = "carry."  # active samples: a step whose loss is not finite is skipped, its sample stays until it halts


def checksum(tensors: Mapping[str, Tensor]) -> str:
    """The CRC-32 of the names, types, shapes and bytes of tensors in host memory, in hexadecimal digits."""
    total = 0
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        total = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), total)
        if tensor.numel():  # torch cannot view an empty tensor as bytes
            total = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy(), total)
    return f"{total:08x}"


def seal(document: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object with its own hash, which `check_seal` compares."""
    return {**document, _SEAL: _hash_values(document)}


def drop_seal(document: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object without its own hash."""
    return {name: value for name, value in document.items() if name != _SEAL}


def check_seal(document: Mapping[str, Any], file: Path) -> None:
    """Refuse a JSON object that is not what was saved; earlier versions wrote no hash.

    Raises:
        InputError: a value has changed.
    """
    if _SEAL in document and document[_SEAL] != _hash_values(drop_seal(document)):
        edited = f"if you edited it on purpose, remove {_SEAL} from it"
        raise InputError(f"not what was saved (its SHA-256 differs); {DAMAGED}; {edited}", file=file)


def _hash_values(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(document, option=orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY)).hexdigest()


def not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """The names of the tensors with a value that is not a finite number."""
    return [name for name, tensor in tensors.items() if not is_finite(tensor)]


def is_finite(tensor: Tensor) -> bool:
    """Whether all values are finite numbers, at 0.2 s/GB; isfinite(tensor) takes 4."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    # a sum over an infinity or NaN is one, too; a finite sum may overflow, so look closer
    return bool(torch.isfinite(tensor.detach().sum()) or torch.isfinite(torch.stack(torch.aminmax(tensor.detach()))).all())


def check_finite(tensors: Mapping[str, Tensor], file: Path | str, advice: str) -> None:
    """Raise InputError if weights, task embeddings or optimizer states are not finite."""
    wrong = not_finite({name: t for name, t in tensors.items() if not name.startswith(_NEED_NOT_BE_FINITE)})
    if wrong:
        raise InputError(f"not all values are finite numbers: {shorten(wrong)}; {advice}", file=file)


def check_tensors(tensors: Mapping[str, Tensor], tasks: int, domain: Domain, where: str) -> None:
    """Refuse tensors of another type or shape where nothing else would.

    Args:
        tasks: how many the checkpoint has.

    Raises:
        InputError: one is missing or wrong.
    """
    kinds = {
        "trained": (torch.int64, 1),
        "counts": (torch.float64, 1),
        "plan.table": (torch.uint8, 2),
        "plan.starts": (torch.int64, 1),
    }
    wrong = [name for name, kind in kinds.items() if name not in tensors or (tensors[name].dtype, tensors[name].ndim) != kind]
    if not wrong:
        table, starts = tensors["plan.table"], tensors["plan.starts"]
        reaches = len(starts) == tasks + 1 and int(starts[0]) == 0 and int(starts[-1]) == len(table)
        sound = {
            "counts": len(tensors["counts"]) == 3,
            "plan.table": table.shape[1] == domain.row_bytes and domain.are_transforms(table.numpy()),
            "plan.starts": reaches and bool((starts.diff() > 0).all()),
        }
        wrong = [name for name, holds in sound.items() if not holds]
    if wrong:
        raise InputError(f"{', '.join(wrong)}: {DAMAGED}", file=where)
    check_finite(tensors, where, DAMAGED)
