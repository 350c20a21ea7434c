"""Optimizers: Adam-atan2 and NorMuon in plain PyTorch, the choice of weights for each, the schedule, the moving average."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from trm_arc.config import TrainingConfig

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


class NorMuon(torch.optim.Optimizer):
    """Muon whose orthogonal step is scaled row by row, so that no neuron gets more than its share.

    M <- beta1 M + (1 - beta1) G;  O = orthogonalised M;  v <- beta2 v + (1 - beta2) mean of O^2 over a row
    W <- W (1 - lr wd);  W <- W - lr * 0.2 * N / rms(N),  N = O / sqrt(v)

    Source: Li et al., "NorMuon: Making Muon more efficient and scalable", arXiv 2510.05491.

    Args:
        lr: learning rate; a step's root mean square is a fifth of it.
        momentum: decay of the mean gradient, beta1.
        beta2: decay of the rows' second moments.
        weight_decay: decoupled, per unit of learning rate.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float, momentum: float = 0.95, beta2: float = 0.95, weight_decay: float = 0.1
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "beta2": beta2, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Move every matrix that has a gradient; equal shapes are orthogonalised together."""
        assert closure is None, "NorMuon does not support closures"
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    shapes.setdefault(p.shape, []).append(p)
            for parameters in shapes.values():
                self._move(parameters, group)

    def _move(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        for p in parameters:
            if not self.state[p]:
                self.state[p] = {"m": torch.zeros_like(p), "v": torch.zeros_like(p[:, :1])}
            self.state[p]["m"].lerp_(p.grad, 1 - group["momentum"])
        steps = orthogonalise(torch.stack([self.state[p]["m"] for p in parameters])).to(parameters[0].dtype)
        for p, step in zip(parameters, steps, strict=True):
            v = self.state[p]["v"].lerp_(step.square().mean(dim=1, keepdim=True), 1 - group["beta2"])
            step = step / v.sqrt().clamp(min=EPSILON)
            size = step.square().mean().sqrt().clamp(min=EPSILON)
            p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(step * (0.2 * group["lr"] / size))


def orthogonalise(matrices: Tensor) -> Tensor:
    """Move the singular values of matrices (..., m, n) towards 1 by five Newton-Schulz steps, in bfloat16 unless in float64.

    Source of the coefficients: K. Jordan, Muon; they grow small values fast and end between 0.7 and 1.2.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices if matrices.dtype == torch.float64 else matrices.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=EPSILON)
    for _ in range(5):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Optimizers:
    """The optimizers of a model's dense weights, stepped together under one schedule.

    Args:
        steps: length of the run, which the final decay needs.
    """

    def __init__(self, model: nn.Module, config: TrainingConfig, steps: int) -> None:
        self.config, self.steps = config, steps
        rest = dict(model.named_parameters())
        self.members: list[torch.optim.Optimizer] = []
        if config.matrix_optimizer != "same":
            # For the hidden matrices alone: embeddings, heads, biases and kernels are no linear maps between hidden layers.
            hidden = [name for name, p in rest.items() if name.startswith("networks.") and p.ndim == 2]
            kind = {"muon": torch.optim.Muon, "normuon": NorMuon}[config.matrix_optimizer]
            matrices = [rest.pop(name) for name in hidden]
            self.members.append(kind(matrices, lr=config.matrix_learning_rate, weight_decay=config.matrix_weight_decay))
        shared = {"lr": config.learning_rate, "betas": (config.beta1, config.beta2), "weight_decay": config.weight_decay}
        if config.optimizer == "adam-atan2":
            self.members.append(AdamAtan2(rest.values(), **shared))
        elif config.optimizer == "adamw":
            self.members.append(torch.optim.AdamW(rest.values(), foreach=True, **shared))
        else:
            raise ValueError(f"no such optimizer: {config.optimizer}")
        self.base_rates = [group["lr"] for member in self.members for group in member.param_groups]

    def schedule(self, step: int) -> float:
        """Factor on every learning rate at step `step` (from 1): linear warm-up, constant, linear decay."""
        warm = min(1.0, step / max(1, self.config.warmup_steps))
        decay_steps = self.config.decay_share * self.steps
        return min(warm, (self.steps - step + 1) / decay_steps) if decay_steps > 0 else warm

    def step(self, step: int) -> None:
        """Move the weights with the learning rates of step `step` (from 1), and clear the gradients."""
        factor = self.schedule(step)
        groups = [group for member in self.members for group in member.param_groups]
        for group, rate in zip(groups, self.base_rates, strict=True):
            group["lr"] = rate * factor
        for member in self.members:
            member.step()
            member.zero_grad(set_to_none=True)

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
            parameters = member.param_groups[0]["params"]
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
        decay: share of the average that a step keeps.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.parameters = list(model.parameters())
        self.averages = [p.detach().clone() for p in self.parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Update the average with the current parameters."""
        torch._foreach_lerp_(self.averages, self.parameters, 1 - self.decay)
