"""Where and how a run computes, as it was asked for; what is left open is chosen here."""

import math

from trm_arc.common.device import Device, find_device
from trm_arc.model.checkpoint import Checkpoint
from trm_arc.model.compiling import choose_compile_mode
from trm_arc.training.options import Machine, Options


def choose_options(machine: Machine, checkpoint: Checkpoint | None, limit: float | None) -> tuple[Device, Options]:
    """Where and how a run computes: as asked for, else as before if it continues from a checkpoint.

    Args:
        limit: seconds that it has; None: no limit.

    Raises:
        InputError: a device or precision that is not available.
    """
    precision, why, before = machine.precision, "asked for", None
    if checkpoint is not None:  # each of these rounds differently, so a run that changes one does not continue exactly
        before = checkpoint.metadata
        if precision == "auto":
            precision, why = before.precision, "as before"  # whatever the default on this machine
    device = find_device(machine.device, precision, why)
    seconds = math.inf if limit is None else limit
    compiled = choose_compile_mode(machine.compile, device.device, before and before.compile_mode, seconds, None)
    before = before or Options()
    options = Options(
        compiled.mode,
        before.accumulation if machine.accumulation_steps is None else machine.accumulation_steps,
        machine.embeddings == "cpu",
        before.half_embeddings if machine.half_embeddings is None else machine.half_embeddings,
        machine.max_skips,
        compiled.falls_back,
    )
    return compiled.annotate(device), options
