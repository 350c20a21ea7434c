"""What checksums cost: a checkpoint of one gigabyte saved and read, beside its tensors alone written and read."""

import os
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from augment import Window, sample_transforms
from benchmarks import common
from trm_arc.common.durations import median_seconds
from trm_arc.common.errors import require_least
from trm_arc.common.program import run
from trm_arc.config import Config
from trm_arc.model.checkpoint import Checkpoint, Metadata, load_checkpoint, save_checkpoint
from trm_arc.model.integrity import checksum, not_finite


def make_checkpoint(megabytes: int) -> Checkpoint:
    """A checkpoint of one task whose optimizer states fill the size."""
    generator = torch.Generator().manual_seed(0)
    tensors = {f"optimizer.{number}": torch.randn(2_500_000, generator=generator) for number in range(megabytes // 10)}
    tensors |= {
        "plan.table": torch.from_numpy(sample_transforms(1, np.random.default_rng(0))),
        "plan.starts": torch.tensor([0, 1]),
        "counts": torch.zeros(3, dtype=torch.float64),
        "trained": torch.zeros(0, dtype=torch.int64),
    }
    return Checkpoint(Config(), 1, [("a", "")], tensors, Metadata(windows=[Window()], precision="float32"), "")


def write(tensors: dict[str, Tensor], file: Path) -> None:
    """Write tensors until they are on the disk."""
    save_file(tensors, file)
    with file.open("rb") as written:
        os.fsync(written.fileno())


def read(tensors: dict[str, Tensor]) -> int:
    """Touch every byte of tensors whose file may be read only when they are used."""
    return sum(int(t.reshape(-1).view(torch.uint8)[::4096].sum()) for t in tensors.values() if t.numel())


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = common.parser("checkpoint", __doc__ or "")
    parser.add_argument("--megabytes", type=int, default=1000, help="size of the checkpoint")
    parser.add_argument("--repeats", type=int, default=3, help="how often each is timed; the median counts")
    parser.add_argument("--out", type=Path, help="where to write (default: the system's temporary folder)")
    values = parser.parse(arguments)
    require_least("megabytes", values.megabytes, 10)
    require_least("repeats", values.repeats)
    checkpoint = make_checkpoint(values.megabytes)
    gigabytes = sum(t.nbytes for t in checkpoint.tensors.values()) / 1e9
    with tempfile.TemporaryDirectory(dir=values.out) as folder:
        file, saved = Path(folder) / "alone.safetensors", Path(folder) / "run"
        work = {
            "tensors alone written, s/GB": lambda: write(checkpoint.tensors, file),
            "checkpoint saved, s/GB": lambda: save_checkpoint(saved, checkpoint, 1),
            "tensors alone read, s/GB": lambda: read(load_file(file)),
            "checkpoint read, s/GB": lambda: read(load_checkpoint(saved).tensors),
            "of which CRC-32, s/GB": lambda: checksum(checkpoint.tensors),
            "of which finite values, s/GB": lambda: not_finite(checkpoint.tensors),
        }
        seconds = {name: median_seconds(call, values.repeats) / gigabytes for name, call in work.items()}
    common.report({"gigabytes": gigabytes, "zlib": zlib.ZLIB_RUNTIME_VERSION, **seconds}, values.json)
    return 0


if __name__ == "__main__":
    run(main)
