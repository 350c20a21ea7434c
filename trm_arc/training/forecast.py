"""What a run will do and cost, told before it does."""

from trm_arc.common.durations import show_duration
from trm_arc.model.flops import count_training
from trm_arc.training.trainer import Trainer

USUAL_SHARE = 0.3  # of the rate of matrix products that a training step reaches, for an estimate of its time


def describe_plan(trainer: Trainer, peak: float) -> str:
    """What a run will do and cost, before it does: lanes, memory, operations, time.

    Args:
        trainer: not yet started.
        peak: operations a second that the device can do, of all processes.
    """
    config, examples = trainer.config, trainer.examples
    rows, batch = len(examples.pairs), config.training.batch_size
    area = examples.grids.shapes[examples.pairs].max(axis=1).prod(axis=1)  # the cells that both grids of a pair need
    lines, mean = ["lane      pairs   share   wasted cells   GFLOP an example"], 0.0
    for lane in examples.lanes:
        share, cells = len(lane.pairs) / rows, lane.window.cells
        operations = count_training(config.model, config.training, cells)
        mean += share * operations
        wasted = 1 - area[lane.pairs].mean() / cells
        name = f"{lane.window.rows} x {lane.window.columns}"
        lines.append(f"{name:8} {len(lane.pairs):6}   {share:5.1%}   {wasted:12.1%}   {operations / 1e9:16,.1f}")
    full = count_training(config.model, config.training, config.model.board_rows * config.model.board_columns)
    length = sum(config.model.prefix + lane.window.cells for lane in examples.lanes)
    states = batch * config.model.latents * (1 + config.model.states)
    in_flight = trainer.device.dtype.itemsize * states * config.model.width * length
    network = sum(p.numel() * p.element_size() for p in trainer.reasoner.parameters())
    table = trainer.embedding.table
    total = trainer.steps * batch * mean
    times = f"{full / mean:.2f}"
    fewer = "" if times == "1.00" else f", {times} times fewer than on full boards"
    lines += [
        f"operations a step: {batch * mean / 1e12:,.2f} TFLOP{fewer}",
        f"memory: network {_megabytes(network)}, its average and optimizer up to {_megabytes(3 * network)}",
        f"memory: task embeddings {_megabytes(table.nbytes)} ({table.dtype} on {table.device.type})",
        f"memory: rows in flight {_megabytes(in_flight)}, and what a step keeps for its backward pass",
        f"steps: {trainer.steps:,} of {batch} rows, {total / 1e15:,.1f} PFLOP in all",
        f"time: {show_duration(total / peak / USUAL_SHARE)}, an estimate: {USUAL_SHARE:.0%} of {peak / 1e12:,.2f} TFLOP/s here",
    ]
    return "\n".join(lines)


def _megabytes(size: float) -> str:
    return f"{size / 1e6:,.1f} MB"
