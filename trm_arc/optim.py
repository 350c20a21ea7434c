"""Optimizers: Adam-atan2 in plain PyTorch, Muon with AdamW, the schedule, and the moving average of the weights."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from trm_arc.config import TrainingConfig


class AdamAtan2(torch.optim.Optimizer):
    """Adam with atan2 in place of division and epsilon, so that the step is invariant to the scale of the gradient.

    p <- p (1 - lr wd);  p <- p - lr / (1 - beta1^t) * atan2(m, sqrt(v) / sqrt(1 - beta2^t))

    Source: Everett et al., arXiv 2407.05872, in the form of the public TRM runs (no further constants).

    Args:
        params: parameters.
        lr: learning rate.
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
        assert closure is None, "Adam-atan2 evaluates no closure"
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


class Optimizers:
    """The optimizers of a model's dense weights, stepped together under one schedule.

    Args:
        model: whose parameters to move.
        config: which optimizer, and its rates.
        steps: length of the run, which the final decay needs.
    """

    def __init__(self, model: nn.Module, config: TrainingConfig, steps: int) -> None:
        self.config, self.steps = config, steps
        betas = (config.beta1, config.beta2)
        rest = dict(model.named_parameters())
        self.members: list[torch.optim.Optimizer] = []
        if config.optimizer == "muon":
            # Muon is for the hidden matrices; embeddings, heads and biases are no linear maps between hidden layers.
            hidden = [rest.pop(name) for name in list(rest) if name.startswith("networks.")]
            self.members.append(torch.optim.Muon(hidden, lr=config.matrix_learning_rate, weight_decay=config.weight_decay))
            dense = {"lr": config.learning_rate, "betas": betas, "weight_decay": config.weight_decay, "foreach": True}
            self.members.append(torch.optim.AdamW(rest.values(), **dense))
        elif config.optimizer == "adam-atan2":
            self.members.append(AdamAtan2(rest.values(), config.learning_rate, betas, config.weight_decay))
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
        """Everything that the optimizers remember, by name."""
        return {
            f"{number}.{index}.{name}": value
            for number, member in enumerate(self.members)
            for index, state in member.state_dict()["state"].items()
            for name, value in state.items()
        }

    def load_tensors(self, tensors: dict[str, Tensor], step: int) -> None:
        """Put back what `tensors` gave.

        Args:
            tensors: by name.
            step: steps done; after the first, every optimizer remembers something.

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
            fits = all(t.shape in (parameters[i].shape, ()) for i, values in state.items() for t in values.values())
            if (step > 0) != bool(state) or len(kinds) > 1 or not fits:
                raise ValueError(f"optimizer.{number}")
            member.load_state_dict({"state": state, "param_groups": member.state_dict()["param_groups"]})


class MovingAverage:
    """Exponential moving average of a model's parameters.

    Args:
        model: whose parameters to follow; the average starts at their present values.
        decay: share of the average that a step keeps.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.parameters = list(model.parameters())
        self.averages = [p.detach().clone() for p in self.parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Take the present parameters in."""
        torch._foreach_lerp_(self.averages, self.parameters, 1 - self.decay)
