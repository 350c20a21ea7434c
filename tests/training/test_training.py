"""Training: the original's trajectory, determinism, exact resumption, checkpoints that refuse what they are not."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.helpers import by_their_names, labels_of, load_original, make_puzzles, make_tasks, messages, read_arrays, relative
from trm_arc.common.device import Device
from trm_arc.common.errors import InputError
from trm_arc.config import PRESETS, Config
from trm_arc.data.batch import IGNORE_INDEX, Batch
from trm_arc.data.domains.arc import ARC
from trm_arc.data.examples import prepare_examples, sample_plans
from trm_arc.data.puzzle_sources import domain_of_data, fit_to_data
from trm_arc.data.sources import load_tasks
from trm_arc.data.task_files import join_tasks
from trm_arc.inference.answer import find_view_embeddings
from trm_arc.model import checkpoint as checkpoints
from trm_arc.model.checkpoint import load_checkpoint, save_checkpoint
from trm_arc.model.checkpoint_files import list_checkpoints, newest_checkpoint
from trm_arc.model.embedding import TaskEmbedding
from trm_arc.training.adaptation import adaptation_config
from trm_arc.training.build import total_steps
from trm_arc.training.halting import decide, sample_minimum, spread_steps
from trm_arc.training.loss import log_stablemax, supervise
from trm_arc.training.optim import AdamAtan2, MovingAverage, Optimizers
from trm_arc.training.state import load_state, save_state
from trm_arc.training.trainer import Trainer

from tests import naive  # isort: skip
from tests.helpers import CPU, SMALL, assert_identical, edit_header, everything, small_trainer

says = messages(__name__)

# --- the original's ten steps


def test_ten_steps_equal_the_original(shared: Path) -> None:
    arrays = read_arrays(shared / "reference" / "training.npz")
    hyper, theirs = json.loads(str(arrays["hyper"])), json.loads(str(arrays["config"]))
    reasoner = load_original(arrays)
    model = reasoner.config
    training = replace(
        SMALL.training,
        batch_size=theirs["batch_size"],
        halt_steps=theirs["halt_max_steps"],
        halt_exploration=theirs["halt_exploration_prob"],
        learning_rate=hyper["lr"],
        weight_decay=hyper["weight_decay"],
        beta1=hyper["beta1"],
        beta2=hyper["beta2"],
        warmup_steps=hyper["lr_warmup_steps"],
        task_embedding_learning_rate=hyper["puzzle_emb_lr"],
        task_embedding_weight_decay=hyper["puzzle_emb_weight_decay"],
        ema=hyper["ema_rate"],
    )
    trainer = small_trainer(Config(model=model, training=training), steps=10, dtype=torch.float64)
    trainer.reasoner = reasoner
    trainer.optimizers = Optimizers(trainer.reasoner, training, 10)
    trainer.average = MovingAverage(trainer.reasoner, training.ema)
    trainer.embedding = TaskEmbedding(len(arrays["param/puzzle_emb.weights"]), model.width).double()
    trainer.embedding.table.copy_(torch.from_numpy(arrays["param/puzzle_emb.weights"]))
    for step in range(1, 11):
        board = (-1, model.board_rows, model.board_columns)
        batch = Batch(
            torch.from_numpy(arrays[f"train{step}/inputs"]).view(board),
            labels_of(arrays[f"train{step}/labels"]).view(board),
            torch.from_numpy(arrays[f"train{step}/puzzle_identifiers"]),
            torch.zeros(training.batch_size, 11, dtype=torch.uint8),
        )
        metrics = trainer.learn(batch)
        assert relative(metrics.loss * training.batch_size, arrays[f"train{step}/loss"]) < 1e-9, step
        np.testing.assert_array_equal(trainer.carries[0].halted, arrays[f"train{step}/halted"])
        np.testing.assert_array_equal(trainer.carries[0].steps, arrays[f"train{step}/steps"])
        assert int(metrics.halted) == int(arrays[f"train{step}/metric/count"])
        assert int(metrics.exact) == int(arrays[f"train{step}/metric/exact_accuracy"])
        assert int(metrics.steps) == int(arrays[f"train{step}/metric/steps"])
        assert relative(metrics.accuracy, arrays[f"train{step}/metric/accuracy"] + 1e-30) < 1e-6 or int(metrics.halted) == 0
    for kind, values in (("final", list(reasoner.parameters())), ("ema", trainer.average.averages)):
        for name, value in by_their_names(reasoner, values).items():
            assert relative(value, arrays[f"{kind}/{name}"]) < 1e-9, name
    assert relative(trainer.embedding.table, arrays["final/puzzle_emb.weights"]) < 1e-9


def test_plan_of_the_published_run_has_as_many_rows(arc: Path) -> None:
    """876,406 embeddings, one of which stands for padding; the rule is the original's, the draws are ours."""
    tasks = join_tasks([load_tasks(name, arc) for name in ("arc1-training", "arc1-evaluation", "concept")])
    plan = sample_plans(tasks, 1000, 0)
    assert abs(len(plan) - 876_405) < 50
    assert plan.table.nbytes == 11 * len(plan)
    alone = sample_plans(tasks[700:702], 1000, 0)  # a task's transforms do not depend on its neighbours
    np.testing.assert_array_equal(alone.table, plan.table[plan.starts[700] : plan.starts[702]])


# --- parts


def test_stablemax_equals_its_definition_with_finite_gradients() -> None:
    x = torch.tensor([[-3.0, -1e-9, 0.0, 1.0, 2.5], [1.0, 1.0, 1.0, 1.0, -1.0]], dtype=torch.float64)
    np.testing.assert_allclose(log_stablemax(x), naive.log_stablemax(x.numpy()), rtol=1e-12)
    for dtype in (torch.float32, torch.bfloat16):
        y = x.to(dtype).requires_grad_()
        log_stablemax(y)[..., 0].sum().backward()
        assert y.grad.isfinite().all()
    large = torch.tensor([[1e30, -1e30]], requires_grad=True)
    log_stablemax(large).sum().backward()
    assert large.grad.isfinite().all()


@pytest.mark.parametrize("loss", ["stablemax", "softmax"])
def test_losses_by_hand(loss: str) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 2, 3, 12, generator=generator, dtype=torch.float64)
    labels = torch.tensor([[[2, 3, IGNORE_INDEX], [1, 0, 5]], [[IGNORE_INDEX] * 3, [IGNORE_INDEX] * 3]], dtype=torch.uint8)
    halting = torch.tensor([[0.3, 0.0], [-1.2, 0.0]])
    losses = supervise(logits, halting, labels, loss)
    log_probability = naive.log_stablemax(logits.numpy()) if loss == "stablemax" else torch.log_softmax(logits, -1).numpy()
    cells = [(r, c) for r in range(2) for c in range(3) if labels[0, r, c] != IGNORE_INDEX]
    expected = -np.mean([log_probability[0, r, c, labels[0, r, c]] for r, c in cells])
    np.testing.assert_allclose(losses.cells, [expected, 0], rtol=1e-12)
    right = [int(logits[0, r, c].argmax()) == int(labels[0, r, c]) for r, c in cells]
    np.testing.assert_allclose(losses.accuracy, [np.mean(right), 0])
    assert losses.exact.tolist() == [all(right), True]
    target = [float(all(right)), 1.0]
    p = 1 / (1 + np.exp(-halting[:, 0].numpy()))
    np.testing.assert_allclose(losses.halting, -(target * np.log(p) + (1 - np.array(target)) * np.log(1 - p)), rtol=1e-5)
    with pytest.raises(ValueError, match=says("no-such-loss")):
        supervise(logits, halting, labels, "hinge")


def test_adam_atan2_by_hand() -> None:
    p = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer = AdamAtan2([p], lr=0.1, betas=(0.8, 0.9), weight_decay=0.5)
    expected, m, v = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
    for t, g in enumerate((np.array([0.5, 0.0]), np.array([-1e-12, 3.0]), np.array([2.0, 2.0])), 1):
        p.grad = torch.from_numpy(g.copy())
        optimizer.step()
        m, v = 0.8 * m + 0.2 * g, 0.9 * v + 0.1 * g**2
        expected = expected * (1 - 0.1 * 0.5)
        expected = expected - 0.1 / (1 - 0.8**t) * np.arctan2(m, np.sqrt(v) / np.sqrt(1 - 0.9**t))
        np.testing.assert_allclose(p.detach(), expected, rtol=1e-12)


def test_task_embedding_sums_equal_rows_and_touches_no_other() -> None:
    embedding = TaskEmbedding(4, 2).double()
    embedding.table.copy_(torch.tensor([[1.0, 1], [2, 2], [3, 3], [4, 4]]))
    rows = torch.tensor([2, 0, 2])
    assert embedding(rows).requires_grad
    gradient = torch.tensor([[1.0, -1], [0, 5], [-3, -1]], dtype=torch.float64)
    embedding.update(rows, gradient, learning_rate=0.1, weight_decay=0.5)
    np.testing.assert_allclose(embedding.table, [[0.95, 0.85], [2, 2], [2.95, 2.95], [4, 4]])


def test_schedule_warms_up_stays_and_decays() -> None:
    config = replace(SMALL.training, warmup_steps=4, decay_share=0.25)
    optimizers = Optimizers(torch.nn.Linear(2, 2), config, 20)
    assert [optimizers.schedule(step) for step in (1, 2, 4, 5, 15, 16, 18, 20)] == [0.25, 0.5, 1, 1, 1, 1, 0.6, 0.2]


def test_staggered_rows_halt_in_different_steps() -> None:
    """Without it all of them halt in every fourth step; the score after the first step is of new puzzles alone."""
    begun, halted = {}, {}
    for stagger in (False, True):
        trainer = small_trainer(SMALL.override({"halting": "never", "halt_steps": 4, "stagger": stagger, "batch_size": 8}))
        steps = [trainer.train_step() for _ in range(9)]
        begun[stagger], halted[stagger] = ([int(getattr(step, name)) for step in steps] for name in ("begun", "halted"))
        assert all(0 <= step.exact_at_first <= step.begun for step in steps)
    assert begun == {False: [8, 0, 0, 0, 8, 0, 0, 0, 8], True: [8, 2, 2, 2, 2, 2, 2, 2, 2]}
    assert halted == {False: [0, 0, 0, 8, 0, 0, 0, 8, 0], True: [2] * 9}
    parts = [spread_steps(range(begin, begin + 3), 4, torch.device("cpu")) for begin in (0, 3)]
    assert torch.cat(parts).tolist() == [0, 1, 2, 3, 0, 1]


def test_the_score_at_first_is_that_of_one_step() -> None:
    """With one supervision step both scores are of the same rows."""
    trainer = small_trainer(SMALL.override({"halt_steps": 1}))
    step = trainer.train_step()
    assert (step.begun, step.exact_at_first) == (step.halted, step.exact)


def test_halting_rule() -> None:
    generator = torch.Generator().manual_seed(0)
    free = torch.zeros(4, dtype=torch.int64)
    halting = torch.tensor([[1.0, 0], [-1.0, -2], [1.0, 2], [-3.0, 0]])
    steps = torch.tensor([1, 2, 3, 16])
    assert decide(halting, steps, 16, free, "exact").tolist() == [True, False, True, True]
    assert decide(halting, steps, 16, free, "q-learning").tolist() == [True, True, False, True]
    assert decide(halting, steps, 16, free, "never").tolist() == [False, False, False, True]
    assert decide(halting, steps, 16, free + 3, "exact").tolist() == [False, False, True, True]
    assert decide(halting, steps, 1, free, "exact").all()
    with pytest.raises(ValueError, match=says("no-such-halting-rule")):
        decide(halting, steps, 16, free, "maybe")
    drawn = sample_minimum(20_000, 5, 0.4, generator)
    assert abs(float((drawn == 0).double().mean()) - 0.6) < 0.02
    counts = torch.bincount(drawn[drawn > 0], minlength=6)
    assert counts[:2].sum() == 0
    assert (counts[2:].double() / 20_000 - 0.1).abs().max() < 0.01
    assert (sample_minimum(100, 1, 0.5, generator) <= 1).all()


def test_batches_visit_every_pair_once_an_epoch_under_one_transform_of_its_task() -> None:
    trainer = small_trainer()
    examples, config = trainer.examples, trainer.config.training
    pairs = len(examples.pairs)
    tested = sum(len(task.test) for task in make_tasks(5, 1, "train"))
    assert pairs == 8 * 3 + tested, "of those to answer the demonstrations alone"
    whole = replace(config, batch_size=2 * pairs)
    batch = examples.batch(0, whole)
    for epoch in (slice(0, pairs), slice(pairs, 2 * pairs)):
        rows = batch.rows[epoch].numpy()
        task = np.searchsorted(examples.plan.starts, rows, side="right") - 1
        np.testing.assert_array_equal(np.bincount(task), np.diff(examples.pair_starts))
        assert len(set(rows)) == len(examples.entries)
    pieces = [examples.batch(step, replace(config, batch_size=pairs // 2)) for step in range(2)]
    np.testing.assert_array_equal(torch.cat([p.tokens for p in pieces]), batch.tokens[: len(pieces[0].tokens) * 2])


def test_one_pair_a_visit_keeps_the_corner_and_pairs_move_together() -> None:
    config = SMALL.override({"canvas": "full"})
    trainer = small_trainer(config)
    batch = trainer.examples.batch(0, replace(config.training, batch_size=len(trainer.examples.pairs)))
    colour_in, colour_out = batch.tokens.numpy() >= 2, (batch.labels.numpy() >= 2) & (batch.labels.numpy() != IGNORE_INDEX)
    corners = [np.argwhere(canvas).min(axis=0) for canvas in colour_in]
    np.testing.assert_array_equal(corners, [np.argwhere(canvas).min(axis=0) for canvas in colour_out])
    at_corner = np.array([(corner == 0).all() for corner in corners])
    task = np.searchsorted(trainer.examples.plan.starts, batch.rows.numpy(), side="right") - 1
    assert (np.bincount(task, at_corner) >= 1).all()
    assert at_corner.mean() < 0.6
    still = trainer.examples.batch(0, replace(config.training, batch_size=20, translate=False))
    assert (still.tokens[:, 0, 0] >= 2).all()


def test_hidden_outputs_change_nothing(tmp_path: Path) -> None:
    """Training with the solutions of the evaluation tasks in the set equals training with them removed."""
    results = []
    for number, evaluation in enumerate((make_tasks(3, 2, "eval"), make_tasks(3, 2, "eval").without_solutions())):
        examples, _ = prepare_examples(make_tasks(5, 1, "train"), evaluation, SMALL)
        trainer = Trainer(SMALL, examples, CPU, 4)
        for _ in range(4):
            trainer.train_step()
        results.append(everything(trainer, tmp_path / str(number)))
    assert_identical(*results)


# --- determinism and resumption


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "adamw", "matrix_optimizer": "muon", "loss": "softmax"},
        {"matrix_optimizer": "normuon", "gate": "norm-swiglu", "convolution": 3, "label_smoothing": 0.1},
        {"latents": 3, "halting": "q-learning"},
        {"random_start": True, "damping": 0.9, "noise": 0.1, "depth_curriculum": "1/2:0.5"},
        {"mixer": "mlp", "positions": "none", "board_rows": 5, "board_columns": 5},
        {"mixer": "convolution", "positions": "none", "convolution": 3},
        {"states": 2, "ema": 0.0},
        {"transform_tokens": True, "prefix": 12},
        {
            "qk_norm": True,
            "output_norm": True,
            "gradient_clip": 0.1,
            "decay_share": 1.0,
            "decay_shape": "cosine",
            "matrix_optimizer": "normuon",
            "matrix_parts": "all",
            "matrix_scale": "spectral",
            "normuon_nesterov": True,
            "attention_weight_decay": 0.01,
        },
        {
            "latents": 2,
            "random_start": True,
            "shared_start": True,
            "carry_best": True,
            "matrix_optimizer": "muon",
            "matrix_parts": "heads",
            "matrix_momentum": 0.6,
            "newton_schulz_steps": 3,
        },
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_runs_repeat_and_resume_bit_for_bit(changes: dict, dtype: torch.dtype, tmp_path: Path) -> None:
    config = SMALL.override(changes)
    first, second = small_trainer(config, dtype=dtype), small_trainer(config, dtype=dtype)
    for _ in range(3):
        first.train_step()
        second.train_step()
    half = save_state(second, tmp_path / "half", keep=1)
    resumed = small_trainer(config, dtype=dtype)
    load_state(resumed, load_checkpoint(half))
    for _ in range(3):
        first.train_step()
        second.train_step()
        resumed.train_step()
    uninterrupted = everything(first, tmp_path / "first")
    assert_identical(uninterrupted, everything(second, tmp_path / "second"))
    assert_identical(uninterrupted, everything(resumed, tmp_path / "resumed"))
    for file in ("tensors.safetensors", "checkpoint.json"):
        first_bytes, second_bytes = ((tmp_path / n / "checkpoint-00000006" / file).read_bytes() for n in ("first", "second"))
        assert first_bytes == second_bytes


def test_another_seed_is_another_run() -> None:
    first, second = small_trainer(), small_trainer(SMALL.override({"seed": 1}))
    assert not torch.equal(first.reasoner.head, second.reasoner.head)
    batches = [trainer.examples.batch(0, trainer.config.training).tokens for trainer in (first, second)]
    assert not torch.equal(*batches)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_trains_three_steps(preset: str) -> None:
    small = {"width": 16, "heads": 2, "augmentations": 3, "batch_size": 4}
    if domain_of_data(PRESETS[preset].training.data) is not ARC:
        data = {"data": "maze-5x5-easy" if "maze" in preset else "sudoku-4x4-easy"}
        config = fit_to_data(PRESETS[preset].override(small | data), data)
        puzzles = make_puzzles(data["data"], 8, 1)
        examples = puzzles.domain.prepare(puzzles, puzzles, config)[0]
        trainer = Trainer(config, examples, Device(torch.device("cpu"), torch.float32, "a test"), 3)
    else:
        small |= {"canvas": "fit", "smallest": 0}
        if PRESETS[preset].model.mixer == "mlp":
            small |= {"board_rows": 5, "board_columns": 5}
        trainer = small_trainer(PRESETS[preset].override(small), steps=3)
    losses = [float(trainer.train_step().loss) for _ in range(3)]
    assert all(np.isfinite(losses))


@pytest.mark.gpu
def test_the_accelerator_computes_the_same() -> None:
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is None:
        pytest.skip("no accelerator on this machine")
    losses = []
    for device in (torch.device("cpu"), accelerator):
        examples, _ = prepare_examples(make_tasks(5, 1, "train"), make_tasks(3, 2, "eval"), SMALL)
        trainer = Trainer(SMALL, examples, Device(device, torch.float32, "a test"), 3)
        losses.append([float(trainer.train_step().loss) for _ in range(3)])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)


def test_a_small_model_learns() -> None:
    simple = {"width": 32, "loss": "softmax", "learning_rate": 3e-3, "cycles": 1, "augmentations": 0, "translate": False}
    trainer = small_trainer(SMALL.override({**simple, "batch_size": 31}), steps=90)
    losses = [float(trainer.train_step().loss) for _ in range(90)]
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:10])


# --- checkpoints


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    trainer = small_trainer()
    trainer.train_step()
    return save_state(trainer, tmp_path_factory.mktemp("run"), keep=2)


def copied(saved: Path, target: Path) -> Path:
    target.mkdir()
    for file in saved.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


def test_checkpoint_is_readable_and_complete(saved: Path) -> None:
    header = json.loads((saved / "checkpoint.json").read_text())
    assert header["format"] == "trm_arc checkpoint"
    assert Config.from_dict(header["config"], "here") == SMALL
    assert len({file.stat().st_mode for file in saved.iterdir()}) == 1
    loaded = load_checkpoint(saved)
    parts = {name.split(".")[0] for name in loaded.tensors}
    assert parts == {"model", "average", "optimizer", "embedding", "plan", "carry", "trained", "counts"}
    assert [task[0] for task in loaded.tasks[:3]] == ["eval00", "eval01", "eval02"]
    assert load_checkpoint(saved.parent).step == 1
    averaged, raw = loaded.reasoner(), loaded.reasoner(average=False)
    assert not torch.equal(averaged.head, raw.head)


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    trainer = small_trainer()
    for _ in range(4):
        trainer.train_step()
        save_state(trainer, tmp_path, keep=2)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["checkpoint-00000003", "checkpoint-00000004"]
    assert newest_checkpoint(tmp_path).name == "checkpoint-00000004"
    with pytest.raises(InputError, match=says("no-checkpoint-here-train")) as caught:
        newest_checkpoint(tmp_path / "nothing")
    assert caught.value.file == tmp_path / "nothing"


def test_an_interrupted_write_loses_nothing(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = small_trainer()
    trainer.train_step()
    old = save_state(trainer, tmp_path, keep=1)
    before = {file.name: file.read_bytes() for file in old.iterdir()}
    trainer.train_step()

    def full_disk(tensors: dict, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "save_file", full_disk)
        with pytest.raises(InputError, match=says("no-space-left-on")):
            save_state(trainer, tmp_path, keep=1)
    assert list(tmp_path.iterdir()) == [old]
    assert {file.name: file.read_bytes() for file in old.iterdir()} == before
    (tmp_path / ".writing-checkpoint-00000002-1").mkdir()  # what a killed run leaves behind
    save_state(trainer, tmp_path, keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-00000002"]


def test_damaged_and_strange_checkpoints_are_refused(saved: Path, tmp_path: Path) -> None:
    def broken(name: str, **changes: object) -> Path:
        target = copied(saved, tmp_path / name)
        edit_header(target, **changes)
        return target

    cut = copied(saved, tmp_path / "cut")
    whole = (cut / "tensors.safetensors").read_bytes()
    (cut / "tensors.safetensors").write_bytes(whole[: len(whole) // 2])
    half_json = copied(saved, tmp_path / "half json")
    (half_json / "checkpoint.json").write_text((saved / "checkpoint.json").read_text()[:100])
    no_tensors = copied(saved, tmp_path / "no tensors")
    (no_tensors / "tensors.safetensors").unlink()
    config = SMALL.to_dict()
    for path, message in [
        (cut, says("truncated-or-damaged")),
        (half_json, says("not-valid-json")),
        (no_tensors, says("truncated-or-damaged")),
        (tmp_path / "missing", says("not-a-checkpoint")),
        (broken("other", format="something"), says("not-a-checkpoint-of")),
        (broken("newer", version=99), says("version-99-this-trm")),
        (broken("fewer", tensors=3), says("not-3-the-checkpoint")),
        (broken("settings", config={**config, "model": {}}), says("settings-of-model-are")),
        (broken("value", config={**config, "model": {**config["model"], "width": 7}}), says("width-must-be-a")),
    ]:
        with pytest.raises(InputError, match=message) as caught:
            load_checkpoint(path)
        assert str(caught.value.file).startswith(str(path))
    with pytest.raises(InputError, match=says("wider-model-does-not")):
        load_checkpoint(broken("wider", config={**config, "model": {**config["model"], "width": 32}})).reasoner()


TENSOR_DAMAGE = {
    "no plan": lambda t: t.pop("plan.table"),
    "short starts": lambda t: t.update({"plan.starts": t["plan.starts"][:-1].clone()}),
    "no symmetry 9": lambda t: t["plan.table"].__setitem__((0, 0), 9),
    "no palette": lambda t: t["plan.table"].__setitem__((0, 1), 3),
    "short embedding": lambda t: t.update({"embedding.table": t["embedding.table"][:3].clone()}),
    "no average of the head": lambda t: t.pop("average.head"),
    "one moment missing": lambda t: t.pop("optimizer.0.1.m"),
    "no moments": lambda t: [t.pop(name) for name in list(t) if name.startswith("optimizer.")],
    "moment of another shape": lambda t: t.update({"optimizer.0.1.m": torch.zeros(3)}),
    "no active answers": lambda t: t.pop("carry.0.y"),
    "no active samples": lambda t: [t.pop(name) for name in list(t) if name.startswith("carry.")],
    "active samples of another shape": lambda t: t.update({"carry.0.y": t["carry.0.y"][:2].clone()}),
    "no counts": lambda t: t.pop("counts"),
    "no memory of what was trained on": lambda t: t.pop("trained"),
}
HEADER_DAMAGE = {
    "tasks": ([1, 2], None, [["a"]]),
    "config": (3, {"model": 3}, {"model": [[]], "training": {}}),
    "step": ("1", -1, 1.5, True),
    "windows": (None, "ab", [], [3, 3], [[3, 3, 3]], [[0, 0]], [[100, 100]]),
    "precision": ("int4", 3),
}


def use(path: Path) -> None:
    """Load, resume and answer, as the commands do."""
    checkpoint = load_checkpoint(path)
    find_view_embeddings(checkpoint, make_tasks(3, 2, "eval"))
    checkpoint.reasoner()
    load_state(small_trainer(), checkpoint)


@pytest.mark.parametrize("damage", TENSOR_DAMAGE)
def test_damaged_tensors_are_refused(damage: str, saved: Path, tmp_path: Path) -> None:
    target = copied(saved, tmp_path / "damaged")
    tensors = load_file(target / "tensors.safetensors")
    TENSOR_DAMAGE[damage](tensors)
    save_file(tensors, target / "tensors.safetensors")
    edit_header(target, tensors=len(tensors))
    with pytest.raises(InputError, match=r"damaged.*is damaged"):
        use(target)
    use(saved)


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in HEADER_DAMAGE.items() for value in values])
def test_damaged_headers_are_refused(field: str, value: object, saved: Path, tmp_path: Path) -> None:
    target = copied(saved, tmp_path / "damaged")
    header = edit_header(target, **{field: value})
    with pytest.raises(InputError, match="damaged"):
        use(target)
    del header[field]
    (target / "checkpoint.json").write_text(json.dumps(header))
    with pytest.raises(InputError, match=f"{field} is missing"):
        use(target)


def test_an_answer_alone_trains_without_its_task() -> None:
    trainer = small_trainer(SMALL.override({"gradient_calls": 1}))
    trainer.train_step()
    assert (trainer.embedding.table == 0).all()


def test_resuming_something_else_is_refused(saved: Path) -> None:
    loaded = load_checkpoint(saved)
    with pytest.raises(InputError, match=says("other-settings-seed-0")):
        load_state(small_trainer(SMALL.override({"seed": 5})), loaded)
    examples, _ = prepare_examples(make_tasks(4, 1, "train"), make_tasks(3, 2, "eval"), SMALL)
    with pytest.raises(InputError, match=says("trained-on-other-tasks")):
        load_state(Trainer(SMALL, examples, CPU, 12), loaded)


def test_saving_is_refused_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=says("cannot-be-written")):
        save_checkpoint(tmp_path / "file", load_checkpoint(save_state(small_trainer(), tmp_path / "run", keep=1)), keep=1)


# --- recipes of adaptation


@pytest.mark.parametrize("name", ["trm", "arc1-fast", "arc1-parallel", "demo"])
def test_a_recipe_is_the_same_whatever_it_adapts(name: str) -> None:
    """What the checkpoint's own run from scratch needed, its length and its stages of depth, plays no part."""
    config = adaptation_config(PRESETS[name], "nvarc", "arc2-evaluation")
    model, training = config.model, config.training
    assert (model.cycles, model.latent_steps, training.depths()) == (4, 4, [])
    assert total_steps(training, 4000) == 62_500
    assert (training.halt_steps, training.batch_size, training.warmup_steps, training.decay_share) == (10, 128, 200, 0)
    for recipe in ("own", "trelis"):
        config = adaptation_config(PRESETS[name], recipe, "arc2-evaluation")
        assert (config.model.cycles, config.training.depths()) == (PRESETS[name].model.cycles, [])
    scratch = adaptation_config(PRESETS[name], "own", "arc2-evaluation", trained=False).training
    assert scratch.depth_curriculum == PRESETS[name].training.depth_curriculum
