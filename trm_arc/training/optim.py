"""Optimizers: Adam-atan2, Muon over parts and NorMuon in plain PyTorch; which weights each moves, the schedule, the average."""

import math
from collections.abc import Collection, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from trm_arc.common.device import multiplies_bfloat16
from trm_arc.config import TrainingConfig

FUSED = {"cuda"}  # types of devices where PyTorch's AdamW is one kernel; elsewhere it is one for each of its operators
EPSILON = 1e-7  # against a division by zero


class AdamAtan2(torch.optim.Optimizer):
    """Adam with atan2 in place of division and epsilon, so that the step is invariant to the scale of the gradient.

    p <- p (1 - lr wd);  p <- p - lr / (1 - beta1^t) * atan2(m, sqrt(v) / sqrt(1 - beta2^t))

    Source: Everett et al., arXiv 2407.05872, in the form of the public TRM runs (no further constants).

    Args:
        betas: decays of the two moments.
        weight_decay: decoupled, per unit of learning rate.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float, betas: tuple[float, float] = (0.9, 0.95), weight_decay: float = 0.1
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Move every parameter that has a gradient."""
        assert closure is None, "Adam-atan2 does not support closures"
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            for p in parameters:
                if not self.state[p]:
                    self.state[p] = {"step": torch.zeros(()), "m": torch.zeros_like(p), "v": torch.zeros_like(p)}
            gradients = [p.grad for p in parameters]
            m, v = ([self.state[p][name] for p in parameters] for name in "mv")
            steps = [self.state[p]["step"] for p in parameters]
            torch._foreach_add_(steps, 1)
            count, (beta1, beta2), lr = int(steps[0]), group["betas"], group["lr"]
            torch._foreach_lerp_(m, gradients, 1 - beta1)
            torch._foreach_mul_(v, beta2)
            torch._foreach_addcmul_(v, gradients, gradients, 1 - beta2)
            root = torch._foreach_sqrt(v)
            torch._foreach_div_(root, math.sqrt(1 - beta2**count))
            torch._foreach_mul_(parameters, 1 - lr * group["weight_decay"])
            update = [a.atan2(b) for a, b in zip(m, root, strict=True)]  # there is no foreach form of atan2
            torch._foreach_add_(parameters, update, alpha=-lr / (1 - beta1**count))


class Muon(torch.optim.Optimizer):
    """Muon over equal parts of matrices, each orthogonalised and scaled as a matrix of its own.

    M <- beta1 M + (1 - beta1) G;  U = beta1 M + (1 - beta1) G (Nesterov) or M;  O = orthogonalised U
    W <- W (1 - lr wd);  W <- W - lr * sqrt(max(1, rows / columns)) * O

    Source: K. Jordan, Muon, in the form of torch.optim.Muon, which has no parts, and is bfloat16 alone.

    Args:
        params: matrices, or groups of them; "parts" of a group are parts of a matrix, one below the other.
        momentum: decay of the mean gradient, beta1.
        weight_decay: decoupled, per unit of learning rate.
    """

    MEAN = "m"  # the name of the mean gradient among the states

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.1,
        *,
        nesterov: bool = True,
        steps: int = 5,
        **more: float | str,
    ) -> None:
        shared = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov, "steps": steps, "parts": 1}
        super().__init__(params, shared | more)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Move every matrix that has a gradient; equal shapes are orthogonalised together."""
        assert closure is None, "closures are not supported"
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    shapes.setdefault(p.shape, []).append(p)
            for parameters in shapes.values():
                self._move(parameters, group)

    def _move(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        rows, columns = parameters[0].shape
        shape = (-1, rows // group["parts"], columns)
        means = [self._mean(p, group) for p in parameters]
        orthogonal = orthogonalise(torch.stack(means).view(shape), group["steps"]).to(parameters[0].dtype)
        change = self._scale(orthogonal, parameters, group).reshape(-1, rows, columns)
        for p, step in zip(parameters, change, strict=True):
            p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(step)

    def _mean(self, p: Tensor, group: dict[str, Any]) -> Tensor:
        """The mean gradient of a matrix, this step's included."""
        if self.MEAN not in self.state[p]:
            self.state[p][self.MEAN] = torch.zeros_like(p)
        mean = self.state[p][self.MEAN].lerp_(p.grad, 1 - group["momentum"])
        return p.grad.lerp(mean, group["momentum"]) if group["nesterov"] else mean

    def _scale(self, orthogonal: Tensor, parameters: list[Tensor], group: dict[str, Any]) -> Tensor:
        """The steps of all parts, (parts, rows, columns) as what is orthogonal."""
        del parameters
        return orthogonal * (group["lr"] * _spectral_scale(orthogonal))


class WholeMuon(Muon):
    """torch.optim.Muon in float32, with its names of states: a run may move to a machine with the other one."""

    MEAN = "momentum_buffer"


class NorMuon(Muon):
    """Muon whose orthogonal step is scaled row by row, so that no neuron gets more than its share.

    O as in Muon;  v <- beta2 v + (1 - beta2) mean of O^2 over a row;  N = O / sqrt(v)
    W <- W (1 - lr wd);  W <- W - lr * 0.2 * N / rms(N)                                          scale "own"
                         W <- W - lr * sqrt(max(1, rows / columns)) * N * norm(O) / norm(N)      scale "spectral"

    Source: Li et al., "NorMuon: Making Muon more efficient and scalable", arXiv 2510.05491; the second scale is mdlARC's.

    Args:
        lr: learning rate; by its own scale, the root mean square of a step is a fifth of it.
        momentum: decay of the mean gradient, beta1.
        beta2: decay of the rows' second moments.
        scale: "own" or "spectral".
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        momentum: float = 0.95,
        beta2: float = 0.95,
        weight_decay: float = 0.1,
        *,
        nesterov: bool = False,
        steps: int = 5,
        scale: str = "own",
    ) -> None:
        super().__init__(params, lr, momentum, weight_decay, nesterov=nesterov, steps=steps, beta2=beta2, scale=scale)

    def _scale(self, orthogonal: Tensor, parameters: list[Tensor], group: dict[str, Any]) -> Tensor:
        moments = orthogonal.square().mean(dim=2).reshape(len(parameters), -1, 1)  # (matrices, rows, 1)
        for p, moment in zip(parameters, moments, strict=True):
            if "v" not in self.state[p]:
                self.state[p]["v"] = torch.zeros_like(p[:, :1])
            self.state[p]["v"].lerp_(moment, 1 - group["beta2"])
        v = torch.stack([self.state[p]["v"] for p in parameters]).view(*orthogonal.shape[:2], 1)
        steps = orthogonal / v.sqrt().clamp(min=EPSILON)
        size = _rms(steps).clamp(min=EPSILON)
        if group["scale"] == "own":
            return steps * (0.2 * group["lr"] / size)
        return steps * (group["lr"] * _spectral_scale(orthogonal) * _rms(orthogonal) / size)


def _rms(parts: Tensor) -> Tensor:
    """Root mean square of each part (parts, rows, columns), as (parts, 1, 1); one by one, as sums over all would round otherwise
    on several threads."""
    return torch.stack([square.mean() for square in parts.square()]).sqrt()[:, None, None]


def _spectral_scale(parts: Tensor) -> float:
    """Muon's factor for a matrix that is taller than wide, whose output is larger than its input."""
    return max(1.0, parts.shape[1] / parts.shape[2]) ** 0.5


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """Move the singular values of matrices (..., m, n) towards 1 by Newton-Schulz steps.

    They are in bfloat16 where the device has units for it; on a CPU without, that took 15 times as long as float32 (LOG.md).

    Source of the coefficients: K. Jordan, Muon; they grow small values fast, and five steps end between 0.7 and 1.2.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    narrow = matrices.dtype == torch.float32 and multiplies_bfloat16(matrices.device)
    x = matrices.bfloat16() if narrow else matrices
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=EPSILON)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


def _matrix_optimizer(matrices: dict[str, nn.Parameter], config: TrainingConfig, heads: int) -> torch.optim.Optimizer:
    """The optimizer of the blocks' matrices, by their names, in groups of equal parts and weight decay."""
    groups: dict[tuple[int, float], list[nn.Parameter]] = {}
    for name, p in matrices.items():
        groups.setdefault((_count_parts(name, config.matrix_parts, heads), _weight_decay(name, config)), []).append(p)
    params = [{"params": group, "parts": parts, "weight_decay": decay} for (parts, decay), group in groups.items()]
    shared = {"lr": config.matrix_learning_rate, "momentum": config.matrix_momentum}
    if config.matrix_optimizer == "normuon":
        more = {"nesterov": config.normuon_nesterov, "steps": config.newton_schulz_steps, "scale": config.matrix_scale}
        return NorMuon(params, **shared, **more)
    if config.matrix_parts == "whole" and multiplies_bfloat16(next(iter(matrices.values())).device):
        return torch.optim.Muon(params, **shared, ns_steps=config.newton_schulz_steps)
    kind = WholeMuon if config.matrix_parts == "whole" else Muon
    return kind(params, **shared, steps=config.newton_schulz_steps)


def _count_parts(name: str, apart: str, heads: int) -> int:
    """How many parts of a block's matrix are orthogonalised apart."""
    matrix = name.rpartition(".")[2]
    if matrix == "qkv" and apart in ("heads", "all"):  # the queries of every head, then keys, then values
        return 3 * heads
    return 2 if matrix in ("gate_up", "mix_gate_up") and apart == "all" else 1


def _weight_decay(name: str, config: TrainingConfig) -> float:
    attention = name.endswith((".qkv", ".out"))
    return config.attention_weight_decay if attention and config.attention_weight_decay >= 0 else config.matrix_weight_decay


class Optimizers:
    """The optimizers of a model's dense weights, stepped together under one schedule.

    Args:
        steps: length of the run, which the final decay needs.
        fused: types of devices where AdamW is one kernel.
    """

    def __init__(self, model: nn.Module, config: TrainingConfig, steps: int, fused: Collection[str] = FUSED) -> None:
        self.config, self.steps = config, steps
        rest = dict(model.named_parameters())
        self.members: list[torch.optim.Optimizer] = []
        if config.matrix_optimizer != "same":
            # For the hidden matrices alone: embeddings, heads, biases and kernels are no linear maps between hidden layers.
            hidden = [name for name, p in rest.items() if name.startswith("networks.") and p.ndim == 2]
            self.members.append(_matrix_optimizer({name: rest.pop(name) for name in hidden}, config, model.config.heads))
        shared = {"lr": config.learning_rate, "betas": (config.beta1, config.beta2), "weight_decay": config.weight_decay}
        if config.optimizer == "adam-atan2":
            self.members.append(AdamAtan2(rest.values(), **shared))
        elif config.optimizer == "adamw":
            one = model.y_start.device.type in fused
            self.members.append(torch.optim.AdamW(rest.values(), fused=one, foreach=not one, **shared))
        else:
            raise ValueError(f"no such optimizer: {config.optimizer}")
        self.base_rates = [group["lr"] for member in self.members for group in member.param_groups]

    def schedule(self, step: int) -> float:
        """Factor on every learning rate at step `step` (from 1): linear warm-up, constant, decay to 0."""
        warm = min(1.0, step / max(1, self.config.warmup_steps))
        decay_steps = self.config.decay_share * self.steps
        if decay_steps <= 0:
            return warm
        left = (self.steps - step + 1) / decay_steps
        if self.config.decay_shape == "cosine":
            left = (1 - math.cos(math.pi * min(1.0, left))) / 2
        return min(warm, left)

    def step(self, step: int) -> None:
        """Move the weights with the learning rates of step `step` (from 1), and clear the gradients."""
        factor = self.schedule(step)
        groups = [group for member in self.members for group in member.param_groups]
        for group, rate in zip(groups, self.base_rates, strict=True):
            group["lr"] = rate * factor
        for member in self.members:
            member.step()
            member.zero_grad(set_to_none=True)

    def memory(self) -> list[Tensor]:
        """Everything in the optimizers' states, in no order that matters."""
        return [value for member in self.members for state in member.state.values() for value in state.values()]

    def tensors(self) -> dict[str, Tensor]:
        """Everything in the optimizers' states, by name."""
        return {
            f"{number}.{index}.{name}": value
            for number, member in enumerate(self.members)
            for index, state in member.state_dict()["state"].items()
            for name, value in state.items()
        }

    def load_tensors(self, tensors: dict[str, Tensor], moved: bool) -> None:
        """Put back what `tensors` gave.

        Args:
            moved: whether the weights were updated, so that every optimizer has a state.

        Raises:
            ValueError: a tensor is missing, or of another shape.
        """
        states: list[dict[int, dict[str, Any]]] = [{} for _ in self.members]
        for name, value in tensors.items():
            number, index, key = name.split(".")
            states[int(number)].setdefault(int(index), {})[key] = value
        for number, (member, state) in enumerate(zip(self.members, states, strict=True)):
            parameters = [p for group in member.param_groups for p in group["params"]]
            kinds = {frozenset(values) for values in state.values()}
            fits = all(_fits(t, parameters[i]) for i, values in state.items() for t in values.values())
            if (moved and not state) or len(kinds) > 1 or not fits:
                raise ValueError(f"optimizer.{number}")
            member.load_state_dict({"state": state, "param_groups": member.state_dict()["param_groups"]})


def _fits(memory: Tensor, parameter: Tensor) -> bool:
    """Whether an optimizer's state has a shape that fits a parameter: a number for each weight, for each row, or for all."""
    return memory.shape in (parameter.shape, (len(parameter), 1), ())


class MovingAverage:
    """Exponential moving average of a model's parameters.

    Args:
        model: whose parameters to follow; the average starts at their current values.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.parameters = list(model.parameters())
        self.averages = [p.detach().clone() for p in self.parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Update the average with the current parameters."""
        torch._foreach_lerp_(self.averages, self.parameters, 1 - self.decay)
