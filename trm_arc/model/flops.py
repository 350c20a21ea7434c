"""FLOPs of a step, counted from the settings, and the rate of matrix products that the device reaches."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F

from trm_arc.common.device import Device, synchronize
from trm_arc.common.durations import median_seconds
from trm_arc.config import ModelConfig, TrainingConfig
from trm_arc.model.reasoner import inner_width

FULL = 0.005  # seconds of a product that keeps any device busy
CALL_TIMES_FORWARD = 3  # a call with gradient costs its forward pass and twice that backward


def count_call(config: ModelConfig, cells: int) -> float:
    """FLOPs of the matrix products of one network call on one example, on a window of so many cells."""
    length, width = config.prefix + cells, config.width
    inner = inner_width(config.expansion, width)
    if config.mixer == "attention":
        mixing = 2 * length * 4 * width**2 + 4 * length**2 * width  # projections, then two products of attention
    elif config.mixer == "convolution":
        mixing = 0
    else:
        mixing = 2 * width * 3 * length * inner_width(config.expansion, length)
    return config.layers * (mixing + 2 * length * 3 * width * inner + 2 * cells * inner * config.convolution**2)


def count_forward(config: ModelConfig, cells: int, depth: tuple[int, int] | None = None) -> float:
    """FLOPs of a supervision step of one example without gradient, all its latents included.

    Args:
        depth: T and n, if not the model's own.
    """
    cycles, latent_steps = depth or (config.cycles, config.latent_steps)
    calls = cycles * (latent_steps + 1)
    return config.latents * (calls * count_call(config, cells) + 2 * cells * config.width * config.vocabulary)


def count_training(config: ModelConfig, training: TrainingConfig, cells: int, depth: tuple[int, int] | None = None) -> float:
    """FLOPs of a training step of one example: forward, backward, and what latents and Q-learning add.

    Args:
        depth: T and n, if not the model's own.
    """
    cycles, latent_steps = depth or (config.cycles, config.latent_steps)
    calls, with_gradient = cycles * (latent_steps + 1), config.calls_with_gradient(cycles, latent_steps)
    call, head = count_call(config, cells), 2 * cells * config.width * config.vocabulary
    step = (calls + (CALL_TIMES_FORWARD - 1) * with_gradient) * call + CALL_TIMES_FORWARD * head
    if config.latents > 1:
        step += count_forward(config, cells, depth)  # to find the best
    if training.halting == "q-learning":
        step += calls * call + head
    return step


def time_on_device(device: Device, work: Callable[[], object], repeats: int = 5) -> float:
    """Seconds of some work of a device, see `median_seconds`."""
    synchronize(device.device)
    return median_seconds(lambda: (work(), synchronize(device.device)), repeats)


def measure_peak(device: Device, repeats: int = 5) -> float:
    """The fastest product of two matrices that the device does in this precision, in operations a second.

    Args:
        repeats: of which the median counts.
    """
    # On a CPU, the second shape is the fastest for its matrix units.
    shapes = [(1024,) * 3, (3664, 512, 3072), (2048,) * 3]
    if device.device.type != "cpu":
        shapes = [(2048,) * 3, (4096,) * 3, (8192,) * 3]
    rates, generator = [], torch.Generator(device.device)
    for m, k, n in shapes:
        # Random numbers: products of equal ones need less power, so that a card may run faster than it does in training.
        a, b = (torch.randn(shape, dtype=device.dtype, device=device.device, generator=generator) for shape in ((m, k), (n, k)))
        seconds = time_on_device(device, partial(F.linear, a, b), repeats)
        rates.append(2 * m * k * n / seconds)
        if seconds > FULL:  # a larger one would take a slow device seconds, and not be faster
            break
    return max(rates)
