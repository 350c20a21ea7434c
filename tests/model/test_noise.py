"""Numbers that are hashes, as an accelerator draws them: normal, each row's own, and the same however a batch is cut."""

from functools import partial
from itertools import combinations

import pytest
import torch

from tests.helpers import SMALL, make_puzzles, small_trainer
from trm_arc.inference import refinement
from trm_arc.inference.config import InferenceConfig
from trm_arc.inference.refinement import refine
from trm_arc.model.noise import hash_normal, hash_uniform, keys_of, make_source, mix, next_pass, sample_normal, take_rows
from trm_arc.model.reasoner import Reasoner
from trm_arc.training import trainer as trainers
from trm_arc.training.options import Options

META = torch.device("meta")
MASK = 2**64 - 1


def hashed_source(seeds: list[int | None], _device: torch.device | None = None) -> torch.Tensor:
    """A source as on an accelerator, on the CPU."""
    return torch.tensor([-1 if seed is None else seed for seed in seeds])


def naive_mix(z: int) -> int:
    """SplitMix64's finaliser, by Python's own integers."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def test_numbers_are_hashes_of_seed_call_and_place() -> None:
    numbers = torch.randint(-(2**63), 2**63 - 1, (200,), generator=torch.Generator().manual_seed(0))
    assert [n & MASK for n in mix(numbers).tolist()] == [naive_mix(n & MASK) for n in numbers.tolist()]
    uniform = hash_uniform(keys_of(torch.tensor([5, 7]), 3), [2, 3])
    for row, seed in enumerate((5, 7)):
        key = naive_mix((seed + 4 * 0xC2B2AE3D27D4EB4F) & MASK)
        for place in range(6):
            bits = naive_mix((key + (place + 1) * 0x9E3779B97F4A7C15) & MASK) >> 41
            assert uniform[row].flatten()[place] == (bits + 0.5) / 2**23


def test_they_are_normal_and_independent() -> None:
    """Moments, tails, and correlations of rows, calls and neighbours, each within four deviations of what is due."""
    count, source = 200_000, hashed_source([0, 1, 2**62])
    rows = [sample_normal(source, call, (count,), torch.float64)[row] for call in (0, 1, 400) for row in range(3)]
    for row in rows:
        assert abs(float(row.mean())) < 4 / count**0.5
        assert abs(float(row.var()) - 1) < 4 * (2 / count) ** 0.5
        assert abs(float((row**4).mean()) - 3) < 4 * (96 / count) ** 0.5
        assert abs(float((row.abs() > 1.96).double().mean()) - 0.05) < 4 * (0.05 * 0.95 / count) ** 0.5
        assert abs(float((row[1:] * row[:-1]).mean())) < 4 / count**0.5
        assert row.isfinite().all()
    for a, b in combinations(rows, 2):
        assert abs(float((a * b).mean())) < 4 / count**0.5


def test_a_row_is_the_same_in_any_pieces() -> None:
    seeds = [3, None, 1, 2**63 - 1, 5]
    whole = sample_normal(hashed_source(seeds), 2, (4, 6), torch.float32, 0.5)
    assert not whole[1].any()
    assert whole[0].any()
    by_row = partial(hash_normal, piece=30)
    parts = [sample_normal(hashed_source(some), 2, (4, 6), torch.float32, 0.5, by_row) for some in (seeds[:2], seeds[2:])]
    assert torch.equal(whole, torch.cat(parts))
    kept = torch.tensor([True, False, True, False, True])
    assert torch.equal(whole[kept], sample_normal(take_rows(hashed_source(seeds), kept), 2, (4, 6), torch.float32, 0.5))
    again = sample_normal(next_pass(hashed_source(seeds)), 2, (4, 6), torch.float32, 0.5)
    assert not (again[kept] == whole[kept]).any()
    assert not again[1].any()


def test_a_device_chooses_its_source() -> None:
    assert make_source([1, None], META).shape == (2,)
    generator, none = make_source([1, None], torch.device("cpu"))
    assert none is None
    assert torch.equal(torch.randn(3, generator=generator), torch.randn(3, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("changes", [{"noise": 0.3}, {"noise": 0.3, "halting": "q-learning"}])
def test_training_with_them_does_not_depend_on_pieces(changes: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainers, "make_source", hashed_source)
    config = SMALL.override(changes)
    whole, pieces = (small_trainer(config, dtype=torch.float64, options=Options(accumulation=n)) for n in (1, 4))
    quiet = small_trainer(config.override({"noise": 0.0}), dtype=torch.float64)
    for _ in range(4):
        a, b, c = (trainer.train_step().loss for trainer in (whole, pieces, quiet))
        torch.testing.assert_close(a, b, rtol=1e-9, atol=0)
    assert not torch.equal(a, c)


def test_rollouts_and_random_starts_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A view has the answer that it has alone, and with patience, too."""
    monkeypatch.setattr(refinement, "make_source", hashed_source)
    config = SMALL.model.__class__(width=16, heads=2, vocabulary=6, board_rows=4, board_columns=4, prefix=1, random_start=True)
    reasoner = Reasoner(config, torch.Generator().manual_seed(0)).eval()
    torch.nn.init.normal_(reasoner.halt_weight, generator=torch.Generator().manual_seed(1))
    puzzles = make_puzzles("sudoku-4x4-easy", 3, 0)
    tokens = torch.from_numpy(puzzles.questions).long().clamp(max=5)
    vectors, transforms = torch.ones(3, 16), torch.zeros(3, 11, dtype=torch.uint8)

    def answer(rows: slice, **more: int) -> refinement.Refined:
        settings = InferenceConfig(steps=3, rollouts=3, noise=0.5, **more)
        return refine(reasoner, tokens[rows], vectors[rows], transforms[rows], settings, torch.float32, [5, 6, 7][rows])

    whole, alone = answer(slice(0, 3)), [answer(slice(row, row + 1)) for row in range(3)]
    assert torch.equal(whole.answers, torch.cat([one.answers for one in alone]))
    torch.testing.assert_close(whole.halting, torch.cat([one.halting for one in alone]))
    assert answer(slice(0, 3), patience=1).answers.shape == whole.answers.shape
    starts = reasoner.start(200, 4, 4, torch.float64, hashed_source(list(range(200)))).y
    assert float(starts.abs().max()) < 2.3
    assert float(starts.std()) == pytest.approx(1, abs=0.02)
