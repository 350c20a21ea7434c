"""What other machines need of a checkpoint: to answer its own tasks, or to adapt to unseen ones."""

from dataclasses import replace
from pathlib import Path

import torch

from augment import COLOURS
from trm_arc.config import Config
from trm_arc.data.sources import listed
from trm_arc.model.checkpoint import Checkpoint


def slim(checkpoint: Checkpoint) -> Checkpoint:
    """What predicting and adapting to unseen tasks need of a checkpoint: the averaged weights, the mean task embedding, and which
    answers were trained on.  The embeddings of its own tasks, the optimizers' states and the active samples are left out."""
    mean = checkpoint.mean_embedding()
    tensors = _averaged(checkpoint) | {
        "embedding.table": mean[None].clone(),
        "mean": mean,
        "plan.table": torch.tensor([[0, *range(COLOURS)]], dtype=torch.uint8),
        "plan.starts": torch.tensor([0, 1]),
        "counts": checkpoint.tensors["counts"],
        "trained": checkpoint.tensors["trained"],
    }
    tasks = [(f"(mean of the embeddings of {len(checkpoint.tasks)} tasks)", "")]
    return _shared(checkpoint, tasks, tensors)


def round_for_answers(checkpoint: Checkpoint) -> Checkpoint:
    """What answering its own tasks, and adapting, need of a checkpoint, its weights and task embeddings rounded to bfloat16.

    The optimizers' states and the active samples are left out.
    """
    embeddings = {name: t for name, t in checkpoint.tensors.items() if name.split(".")[0] in ("embedding", "mean")}
    tensors = _averaged(checkpoint) | embeddings
    rounded = {name: t.to(torch.bfloat16) if t.is_floating_point() else t for name, t in tensors.items()}
    exact = {name: checkpoint.tensors[name] for name in ("plan.table", "plan.starts", "counts", "trained")}
    return _shared(checkpoint, checkpoint.tasks, rounded | exact)


def _averaged(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """The averaged weights, by the names that a checkpoint has for them."""
    return {f"model.{name}": tensor for name, tensor in checkpoint.reasoner().state_dict().items()}


def _shared(checkpoint: Checkpoint, tasks: list[tuple[str, str]], tensors: dict[str, torch.Tensor]) -> Checkpoint:
    metadata = replace(checkpoint.metadata, active_samples=())
    return Checkpoint(_without_folders(checkpoint.config), checkpoint.step, tasks, tensors, metadata, checkpoint.where)


def _without_folders(config: Config) -> Config:
    """Settings without the folders of this machine, which have no meaning elsewhere."""
    data = ",".join(Path(name).name for name in listed(config.training.data))
    return config.override({"data": data, "evaluation_data": Path(config.training.evaluation_data).name})
