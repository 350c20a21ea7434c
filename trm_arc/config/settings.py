"""All settings of a model and of its training: two frozen, validated dataclasses, and one that holds both."""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache, partial
from typing import Any, Literal, NamedTuple, get_type_hints

from augment import BOARD, COLOURS
from trm_arc.common.errors import InputError
from trm_arc.common.records import check_record, load_record
from trm_arc.config.old_names import with_new_names
from trm_arc.config.stages import DEPTHS, LIMITS, parse_stages

# The groups of the settings: the name of the table in a file, and the title in `--help`.
SECTIONS = {"data": "data", "model": "model", "optimizer": "optimizer", "loss": "loss and halting", "schedule": "schedule"}
_RANGE = re.compile(r"([0-9]{1,2})-([0-9]{1,2})")  # of sides

_Rule = tuple[Callable[[Any], bool], str]  # whether a value is in its range, and the range in words
_AT_LEAST_0: _Rule = (lambda value: value >= 0, "at least 0")
_AT_LEAST_1: _Rule = (lambda value: value >= 1, "at least 1")
_IMAGES: _Rule = (lambda value: 0 <= value <= 2_903_040, "from 0 to 2,903,040, the symmetries times the palettes")
_MOST_1000: _Rule = (lambda value: 1 <= value <= 1000, "from 1 to 1000")
_SHARE: _Rule = (lambda value: 0 <= value <= 1, "from 0 to 1")
_BELOW_1: _Rule = (lambda value: 0 <= value < 1, "from 0 up to, but not including, 1")
_RATE: _Rule = (lambda value: 0 < value <= 1e3, "above 0 and at most 1000")
_EXPONENT: _Rule = (lambda value: 0 <= value <= 10, "from 0 to 10")


def _setting(section: str, default: Any, help_text: str, rule: _Rule | None = None) -> Any:
    return field(default=default, metadata={"section": section, "help": help_text, "rule": rule})


_data, _model, _optimizer, _loss, _schedule = (partial(_setting, section) for section in SECTIONS)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The reasoner and which variant of recursion it is.  See `trm_arc.model.reasoner`; the defaults are TRM for ARC.

    Raises:
        InputError: a value is out of its range, or values contradict each other.
    """

    width: int = _model(512, "length of the vector of each token", _AT_LEAST_1)
    heads: int = _model(8, "attention heads", _AT_LEAST_1)
    layers: int = _model(2, "blocks in a network", _MOST_1000)
    expansion: float = _model(4.0, "size of the gated MLP as a multiple of the width, before SwiGLU's factor of 2/3")
    mixer: Literal["attention", "mlp", "convolution"] = _model(
        "attention", "what mixes tokens: attention, an MLP over positions, or the gated MLP's convolution alone"
    )
    positions: Literal["rotary-1d", "rotary-2d", "none"] = _model("rotary-1d", "position encoding of attention")
    prefix: int = _model(16, "prefix tokens; the task embedding fills the first, the others start as zeros", _AT_LEAST_1)
    board_rows: int = _model(BOARD, "rows of the whole board, on which cells have their positions", _AT_LEAST_1)
    board_columns: int = _model(BOARD, "columns of the whole board", _AT_LEAST_1)
    vocabulary: int = _model(12, "number of tokens; for ARC 12: empty, end of grid, and ten colours")
    gate: Literal["swiglu", "norm-swiglu"] = _model("swiglu", "silu(g) u, or sigmoid(g) RMSNorm(g u), which Muon needs")
    qk_norm: bool = _model(False, "RMS norm of each query and key, so that no attention logit exceeds sqrt(width / heads)")
    output_norm: bool = _model(False, "RMS norm of the mixed values before attention's output projection")
    convolution: int = _model(0, "side of a depthwise convolution over the board inside the gated MLP (ConvSwiGLU); 0: none")
    states: int = _model(1, "scratch states z besides the answer y (k): 1 is TRM, 6 multi-z, 0 single-z", _AT_LEAST_0)
    networks: int = _model(1, "1: one network updates z and y (TRM); 2: one for each (HRM)")
    latents: int = _model(1, "parallel initial states of a puzzle; the one with the lowest loss is trained", _AT_LEAST_1)
    random_start: bool = _model(False, "draw the initial states of every sample at random; otherwise they are fixed vectors")
    shared_start: bool = _model(False, "one initial y for all latents, fixed also with random_start; otherwise one for each")
    carry_best: bool = _model(False, "all latents of a puzzle continue from the best one's y, each with its own z")
    damping: float = _model(1.0, "share of a network call's result in the new state; the rest is the old state; 1: no damping")
    noise: float = _model(0.0, "standard deviation of the noise on the result of every network call in training", _AT_LEAST_0)
    transform_tokens: bool = _model(
        False, "one embedding per task, and prefix tokens for symmetry and palette; otherwise one per task and transform"
    )
    cycles: int = _model(3, "cycles in a supervision step (T)", _AT_LEAST_1)
    latent_steps: int = _model(
        4, "updates of the scratch states z in a cycle (n); 0: a cycle is one call, from x to y", _AT_LEAST_0
    )
    gradient_calls: int = _model(0, "how many of the last network calls carry gradient; 0: the last cycle (n + 1); -1: all")

    def __post_init__(self) -> None:
        _check_ranges(self)
        for name in ("board_rows", "board_columns"):
            _require(getattr(self, name) <= BOARD, name, getattr(self, name), f"at most {BOARD}")
        _require(self.vocabulary >= 3, "vocabulary", self.vocabulary, "at least 3")
        _require(self.networks in (1, 2), "networks", self.networks, "1 or 2")
        _require(0 < self.expansion <= 100, "expansion", self.expansion, "above 0 and at most 100")
        _require(self.calls <= 10_000, "cycles", self.cycles, "such that T (n + 1) is at most 10,000 network calls")
        _require(0 < self.damping <= 1, "damping", self.damping, "above 0 and at most 1")
        _require(self.convolution == 0 or self.convolution % 2, "convolution", self.convolution, "0 or odd, to have a centre")
        _require(0 <= self.convolution <= BOARD, "convolution", self.convolution, f"0 to {BOARD}")
        multiple = 4 if self.positions == "rotary-2d" else 2
        divides = self.width % (self.heads * multiple) == 0 or self.mixer != "attention"
        _require(divides, "width", self.width, f"a multiple of {multiple} x heads ({self.heads})")
        rule = f"0 (the last cycle), -1 (all) or 1 to T (n + 1) = {self.calls}"
        _require(-1 <= self.gradient_calls <= self.calls, "gradient_calls", self.gradient_calls, rule)
        needed = 2 + COLOURS if self.transform_tokens else 1
        rule = f"at least {needed} (task{', symmetry, ten colours' * (needed > 1)})"
        _require(self.prefix >= needed, "prefix", self.prefix, rule)
        self._check_meaning()

    def _check_meaning(self) -> None:
        """Refuse values that are valid alone but contradict each other."""
        if self.mixer == "mlp" and self.positions != "none":
            raise InputError("the MLP mixer has a weight for every position, so it needs --positions none", flag="positions")
        norms = ("qk_norm", "output_norm")
        unread = {"attention": (), "mlp": norms, "convolution": (*norms, "positions", "transform_tokens")}[self.mixer]
        for name in unread:
            if getattr(self, name) not in (False, "none"):
                raise InputError(f"is for attention, and --mixer {self.mixer} has none: turn it off", flag=name)
        if self.mixer == "convolution" and self.convolution < 3:
            raise InputError("without a convolution no cell sees another: use --convolution 3", flag="mixer")
        for name in ("shared_start", "carry_best"):
            if self.states == 0 and getattr(self, name):
                raise InputError("without scratch states z all latents would be the same: use --states 1 or more", flag=name)
        if self.states > self.latent_steps:
            raise InputError(
                f"a latent step changes one scratch state, so {self.latent_steps} in a cycle leave some of the "
                f"{self.states} unchanged: use at most --states {self.latent_steps}, or more --latent-steps",
                flag="states",
            )
        if self.networks == 2 and self.latent_steps == 0:
            raise InputError(
                "the first of two networks is only used in latent steps, and there are none: use --networks 1", flag="networks"
            )
        if self.latents > 1 and self.noise > 0:
            raise InputError(
                "the best latent runs again to be trained, and noise would change it: use only one of the two", flag="noise"
            )

    @property
    def calls(self) -> int:
        """Network calls in a supervision step, T (n + 1)."""
        return self.cycles * (self.latent_steps + 1)

    def calls_with_gradient(self, cycles: int, latent_steps: int) -> int:
        """How many of the last network calls carry gradient at a depth of recursion, T and n."""
        return {0: latent_steps + 1, -1: cycles * (latent_steps + 1)}.get(self.gradient_calls, self.gradient_calls)

    @property
    def variant(self) -> str:
        """The published name of this kind of recursion."""
        if self.latent_steps == 0:
            return "direct" if self.cycles == 1 else "looped"
        if self.networks == 2:
            return "hrm"
        plain = {0: "single-z", 1: "trm"}.get(self.states, f"multi-z with {self.states} states")
        return plain if self.mixer == "attention" or self.states != 1 else f"{plain}-{self.mixer}"


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Data, optimizers, loss, halting and schedule.  The defaults are the published ARC-AGI-1 run.

    Raises:
        InputError: a value is out of its range.
    """

    data: str = _data("arc1-training,concept", "task sets to train on with all their outputs: names or paths, comma-separated")
    evaluation_data: str = _data(
        "arc1-evaluation", "task set to answer, of which only demonstrations are trained on; for puzzles: the test part of a set"
    )
    puzzles: int = _data(1000, "Sudoku and mazes: training puzzles to sample from each file, or to generate; 0: all", _AT_LEAST_0)
    evaluation_puzzles: int = _data(
        0, "Sudoku and mazes: puzzles to answer; 0: all of a file, or 1,000 generated ones (300 of 4 x 4)", _AT_LEAST_0
    )
    skip_bad: bool = _data(False, "leave out tasks that are broken, and rows that are not valid puzzles, instead of refusing all")
    arc_gen: bool = _data(False, "also train on the generated pairs that tasks of --data have under the key arc-gen")
    generated_pairs: int = _data(
        20, "generated pairs of a task to train on, drawn by the seed, of its arc-gen or a folder of RE-ARC; 0: all", _AT_LEAST_0
    )
    smallest: int = _data(0, "keep only so many evaluation tasks, those with the smallest canvas; 0: all", _AT_LEAST_0)
    dev_share: float = _data(
        0.0,
        "draw this share of --evaluation-data, a training set, as dev tasks to answer, and leave them out of --data; 0: off",
        _BELOW_1,
    )
    evaluation_sides: str = _data(
        "", "keep only evaluation tasks whose largest visible grid has a side in this range, such as 11-15; empty: all"
    )
    canvas: Literal["full", "fit", "buckets"] = _data(
        "full", "full: whole board; fit: smallest square for all evaluation tasks; buckets: each pair on the smallest square"
    )
    bucket_sides: str = _data("auto:6", "sides of the squares, comma-separated; or auto:N for the N that waste the fewest cells")
    bucket_exponent: float = _data(
        0.0, "steps of a square in proportion to its pairs / cells ** X; 0: all pairs equally often", _EXPONENT
    )
    augmentations: int = _data(1000, "transforms sampled for a task, besides the identity", _IMAGES)
    translate: bool = _data(True, "place grids at random positions of the canvas in training")
    leave_out: str = _data("", "ids of training tasks to leave out, comma-separated")
    drop_leaks: bool = _data(False, "leave out training tasks that contain a scored answer, instead of refusing them")

    optimizer: Literal["adam-atan2", "adamw"] = _optimizer("adam-atan2", "for all weights but those of the matrix optimizer")
    matrix_optimizer: Literal["same", "muon", "normuon"] = _optimizer("same", "for the weight matrices of the blocks")
    learning_rate: float = _optimizer(1e-4, "learning rate of the optimizer", _RATE)
    matrix_learning_rate: float = _optimizer(0.02, "learning rate of the matrix optimizer, if it is not the same", _RATE)
    beta1: float = _optimizer(0.9, "decay of the first moment", _BELOW_1)
    beta2: float = _optimizer(0.95, "decay of the second moment", _BELOW_1)
    weight_decay: float = _optimizer(0.1, "decoupled weight decay of the optimizer", _AT_LEAST_0)
    matrix_weight_decay: float = _optimizer(
        0.1, "decoupled weight decay of the matrix optimizer, if it is not the same", _AT_LEAST_0
    )
    attention_weight_decay: float = _optimizer(
        -1.0,
        "decoupled weight decay of the matrix optimizer for attention's matrices; -1: matrix_weight_decay",
        (lambda value: value >= 0 or value == -1, "at least 0, or -1"),
    )
    matrix_momentum: float = _optimizer(0.95, "decay of the mean gradient in the matrix optimizer", _BELOW_1)
    normuon_nesterov: bool = _optimizer(False, "Nesterov momentum in NorMuon; Muon always has it")
    newton_schulz_steps: int = _optimizer(
        5, "Newton-Schulz steps of the matrix optimizer", (lambda value: 1 <= value <= 20, "from 1 to 20")
    )
    matrix_parts: Literal["whole", "heads", "all"] = _optimizer(
        "whole", "what the matrix optimizer orthogonalises apart: nothing, each head of q, k and v, or these and gate and up"
    )
    matrix_scale: Literal["own", "spectral"] = _optimizer(
        "own", "size of NorMuon's steps: its paper's (rms 0.2 x rate), or Muon's, rate x sqrt(max(1, rows / columns))"
    )
    gradient_clip: float = _optimizer(
        0.0, "largest norm of the gradient of all weights but the task embeddings; 0: no limit", _AT_LEAST_0
    )
    task_embedding_learning_rate: float = _optimizer(1e-2, "learning rate of sign-SGD on the task embeddings", _RATE)
    task_embedding_weight_decay: float = _optimizer(0.1, "decoupled weight decay of the task embeddings", _AT_LEAST_0)
    ema: float = _optimizer(0.999, "decay of the moving average of the weights; 0: no average", _BELOW_1)

    loss: Literal["stablemax", "stablemax-float64", "softmax"] = _loss(
        "stablemax", "what turns logits into probabilities in the loss; float64 as in the original code"
    )
    label_smoothing: float = _loss(0.0, "share of the target of a cell that is spread over all tokens", _BELOW_1)
    halting: Literal["exact", "q-learning", "never"] = _loss(
        "exact", "stop a sample when its answer seems exact (TRM), by Q-learning (HRM), or never before the last step"
    )
    halting_loss_weight: float = _loss(0.5, "weight of the halting loss", _AT_LEAST_0)
    halt_steps: int = _loss(16, "maximum number of supervision steps of a sample in training", _AT_LEAST_1)
    answer_steps: int = _loss(0, "supervision steps of an answer, all of which are done; 0: as many as halt_steps", _AT_LEAST_0)
    halt_exploration: float = _loss(
        0.1, "probability that a sample gets a minimum number of steps, drawn from 2 to the maximum", _SHARE
    )
    halt_curriculum: str = _loss(
        "", "fewer supervision steps at first: N:SHARE, comma-separated; 1:0.5 means one step for the first half"
    )
    stagger: bool = _loss(False, "let the first samples count some steps as done, so that those of a batch differ in their steps")

    batch_size: int = _schedule(768, "samples in a batch", _AT_LEAST_1)
    epochs: int = _schedule(
        100_000, "passes over the tasks, each under one of its transforms; ignored if --steps is given", _AT_LEAST_1
    )
    steps: int = _schedule(0, "optimizer steps; 0: as many as the epochs need", _AT_LEAST_0)
    warmup_steps: int = _schedule(2000, "steps over which the learning rates rise linearly", _AT_LEAST_0)
    decay_share: float = _schedule(
        0.0, "share of the steps, at the end, over which the learning rates fall to 0; 1: from the start", _SHARE
    )
    decay_shape: Literal["linear", "cosine"] = _schedule("linear", "how the learning rates fall: linearly, or as a half cosine")
    embeddings_first: float = _schedule(0.0, "share of the steps, at the start, in which only the task embeddings learn", _SHARE)
    depth_curriculum: str = _schedule(
        "", "shallower recursion at first: T/n:SHARE, comma-separated; 1/2:0.3 means T 1 and n 2 for the first 30 percent"
    )
    seed: int = _schedule(0, "seed of all that is random", _AT_LEAST_0)

    def __post_init__(self) -> None:
        _check_ranges(self)
        _require(self.seed < 2**63, "seed", self.seed, "below 2**63")
        _require(bool(self.evaluation_data.strip()), "evaluation_data", self.evaluation_data, "a name or path")
        if self.halting == "q-learning" and self.halt_steps == 1:
            raise InputError(
                "with --halt-steps 1 every sample stops, so q-learning learns nothing: use exact or never", flag="halting"
            )
        self.depths()
        if any(not 1 <= limit < self.halt_steps for _, limit in self.halt_limits()):
            problem = f"needs numbers from 1 to below halt_steps ({self.halt_steps}), got {self.halt_curriculum!r}"
            raise InputError(problem, flag="halt_curriculum")
        self.sides()

    @property
    def steps_of_answer(self) -> int:
        """Supervision steps of an answer, unless a command asks for others."""
        return self.answer_steps or self.halt_steps

    def sides(self) -> tuple[int, int] | None:
        """The least and the greatest side of a task to answer; None: any."""
        if not self.evaluation_sides.strip():
            return None
        match = _RANGE.fullmatch(self.evaluation_sides.strip())
        least, greatest = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= least <= greatest <= BOARD:
            problem = f"{self.evaluation_sides!r} is not a range of sides from 1 to {BOARD}: write 11-15"
            raise InputError(problem, flag="evaluation_sides")
        return least, greatest

    def depths(self) -> list[tuple[float, int, int]]:
        """The stages of the depth curriculum: (share of the steps at which it ends, T, n), in order."""
        return parse_stages(self.depth_curriculum, DEPTHS, "depth_curriculum")

    def halt_limits(self) -> list[tuple[float, int]]:
        """The stages of fewer supervision steps: (share of the steps at which it ends, most supervision steps), in order."""
        return parse_stages(self.halt_curriculum, LIMITS, "halt_curriculum")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that defines a run.

    Raises:
        InputError: a model and a training that contradict each other.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        for share, cycles, latent_steps in self.training.depths():
            if cycles * (latent_steps + 1) > self.model.calls:
                raise InputError(
                    f"T {cycles}, n {latent_steps} is deeper than the model's own recursion", flag="depth_curriculum"
                )
            self.at_depth(cycles, latent_steps, f"depth_curriculum, until {share}: ")
        if self.training.embeddings_first and self.model.gradient_calls == 1 and self.model.latent_steps > 0:
            raise InputError("with --gradient-calls 1 no gradient reaches the task embeddings: use 0", flag="embeddings_first")

    def at_depth(self, cycles: int, latent_steps: int, where: str = "") -> ModelConfig:
        """The model at another depth of recursion, T and n.

        Raises:
            InputError: the other settings do not allow it.
        """
        try:
            return replace(self.model, cycles=cycles, latent_steps=latent_steps)
        except InputError as error:
            raise InputError(f"{where}{error}") from None

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: object, where: str) -> "Config":
        """Read back `to_dict`; a setting that is newer than the file gets its default, which is the earlier behaviour.

        Raises:
            InputError: a part is missing, or a setting is unknown or out of range.
        """
        parts = {f.name: value.get(f.name) if isinstance(value, dict) else None for f in fields(cls)}
        for name, part in parts.items():
            if not isinstance(part, dict) or not part:
                raise InputError(f"settings of {name} are missing", file=where)
        renewed = {name: with_new_names(part, where) for name, part in parts.items()}
        return load_record(cls, renewed, where, advice="the file is damaged, or from a newer trm_arc")

    def values(self) -> dict[str, Any]:
        """All settings by name, whichever part they belong to."""
        return {name: value for part in self.to_dict().values() for name, value in part.items()}

    def override(self, values: dict[str, Any]) -> "Config":
        """The same config with some settings changed, whichever part they belong to."""
        of_model = {name: v for name, v in values.items() if name in {f.name for f in fields(ModelConfig)}}
        of_training = {name: v for name, v in values.items() if name not in of_model}
        return Config(model=replace(self.model, **of_model), training=replace(self.training, **of_training))


class Setting(NamedTuple):
    """What files and command lines need to know about a setting.

    Attributes:
        name: of the field.
        section: a key of `SECTIONS`.
        kind: its type.
        help: in a line.
    """

    name: str
    section: str
    kind: Any
    help: str


@cache
def settings() -> tuple[Setting, ...]:
    """Every setting, section by section."""
    found = [
        Setting(f.name, f.metadata["section"], get_type_hints(part)[f.name], f.metadata["help"])
        for part in (ModelConfig, TrainingConfig)
        for f in fields(part)
    ]
    return tuple(sorted(found, key=lambda setting: list(SECTIONS).index(setting.section)))


def _check_ranges(config: ModelConfig | TrainingConfig) -> None:
    check_record(config)
    for f in fields(config):
        value, rule = getattr(config, f.name), f.metadata["rule"]
        if type(value) is int and f.name != "seed":
            _require(abs(value) < 2**31, f.name, value, "below 2**31")
        if rule is not None:
            _require(rule[0](value), f.name, value, rule[1])


def _require(holds: bool, name: str, value: object, rule: str) -> None:
    if not holds:
        raise InputError(f"must be {rule}, got {value!r}", flag=name)
