"""Slow and obvious twins of the kernels and of the model, in plain Python and NumPy, against which the real ones are tested.

Nothing here is imported from the code under test but constants that are data (the hash's random words).
"""

import itertools
import math

import numpy as np

WORD = (1 << 64) - 1


def mix(value: int) -> int:
    """The finaliser of splitmix64 on Python integers."""
    value = (value + 0x9E3779B97F4A7C15) & WORD
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & WORD
    return value ^ (value >> 31)


def symmetry(grid: np.ndarray, number: int) -> np.ndarray:
    """The eight symmetries, written cell by cell."""
    rows, columns = grid.shape
    image = np.empty((columns, rows) if number in (1, 3, 6, 7) else (rows, columns), grid.dtype)
    for r in range(rows):
        for c in range(columns):
            place = {
                0: (r, c),
                1: (columns - 1 - c, r),
                2: (rows - 1 - r, columns - 1 - c),
                3: (c, rows - 1 - r),
                4: (r, columns - 1 - c),
                5: (rows - 1 - r, c),
                6: (c, r),
                7: (columns - 1 - c, rows - 1 - r),
            }[number]
            image[place] = grid[r, c]
    return image


def transform(grid: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Symmetry, then palette, of a plan's row."""
    image = symmetry(grid, int(row[0]))
    return np.array([[row[1 + cell] for cell in line] for line in image], np.uint8).reshape(image.shape)


def paint(grid: np.ndarray, row: np.ndarray, window: tuple[int, int], corner: tuple[int, int], empty: int = 0) -> np.ndarray:
    """One canvas, as the public TRM code pads and marks it."""
    image = transform(grid, row)
    canvas = np.full(window, empty, np.uint8)
    top, left = corner
    bottom, right = top + image.shape[0], left + image.shape[1]
    canvas[top:bottom, left:right] = image + 2
    if bottom < window[0]:
        canvas[bottom, left:right] = 1
    if right < window[1]:
        canvas[top:bottom, right] = 1
    return canvas


def largest_rectangle(canvas: np.ndarray, corner: tuple[int, int]) -> tuple[int, int]:
    """By trying every rectangle from the corner; of equal areas the least tall."""
    part = canvas[corner[0] :, corner[1] :]
    best = (0, 0)
    for rows in range(1, part.shape[0] + 1):
        for columns in range(1, part.shape[1] + 1):
            if (part[:rows, :columns] >= 2).all() and rows * columns > best[0] * best[1]:
                best = (rows, columns)
    return best


def find_corner(canvas: np.ndarray) -> tuple[int, int]:
    """Topmost row and leftmost column with a colour."""
    rows, columns = np.nonzero(canvas >= 2)
    return (int(rows.min()), int(columns.min())) if len(rows) else (0, 0)


def words(count: int, salt: int) -> list[int]:
    """The hash's random words."""
    return [mix((i + salt * 0x10001) & WORD) for i in range(count)]


POSITION_WORDS = words(900, 1)
COLOUR_WORDS = [word | 1 for word in words(10, 2)]


def grid_hash(grid: np.ndarray) -> int:
    """Hash of one grid."""
    total = 0
    for r in range(grid.shape[0]):
        for c in range(grid.shape[1]):
            total = (total + POSITION_WORDS[r * 30 + c] * COLOUR_WORDS[grid[r, c]]) & WORD
    return mix(total ^ mix(grid.shape[0] * 64 + grid.shape[1]))


def task_hash(pairs: list[tuple[np.ndarray, np.ndarray | None]], row: np.ndarray) -> int:
    """Hash of a task under a transform, blind to the order of its pairs: every grid is transformed and hashed."""
    total = 0
    for given, wanted in pairs:
        output = 0 if wanted is None else grid_hash(transform(wanted, row))
        total = (total + mix(grid_hash(transform(given, row)) ^ mix((output + 1) & WORD))) & WORD
    return total


def pair_form(first: np.ndarray, second: np.ndarray) -> tuple:
    """The least image of a pair under a symmetry, its colours but black numbered in the order in which they occur."""
    forms = []
    for number in range(8):
        images = [symmetry(side, number) for side in (first, second)]
        numbers = {0: 0}
        cells = [numbers.setdefault(int(colour), len(numbers)) for image in images for colour in image.reshape(-1)]
        forms.append((*(image.shape for image in images), cells))
    return min(forms)


def corner(key: int, room: tuple[int, int], fixed: bool) -> tuple[int, int]:
    """Where a grid with `room` to move goes."""
    if fixed:
        return 0, 0
    return mix(key) % (room[0] + 1), mix(mix(key)) % (room[1] + 1)


def mixed_columns(columns: list[int]) -> int:
    """One word of several."""
    word = 0
    for column in columns:
        word = mix(word ^ column)
    return word


def vote(predictions: list[tuple[np.ndarray, float, int]], symmetries: int = 0) -> list[tuple[np.ndarray, int, float, list[int]]]:
    """Distinct grids of one test input with votes, mean halting probability and votes by `symmetries`, best first.

    Predictions are grid, halting probability and orientation; empty grids do not count.
    """
    groups: list[tuple[np.ndarray, list[float], list[int]]] = []
    for grid, halting, way in predictions:
        if grid.size == 0:
            continue
        group = next((group for group in groups if np.array_equal(group[0], grid)), None)
        if group is None:
            group = (grid, [], [0] * symmetries)
            groups.append(group)
        group[1].append(halting)
        if symmetries:
            group[2][way] += 1
    # sorted() is stable, so the first view decides between equals
    counted = ((g, len(p), sum(p) / len(p), by_symmetry) for g, p, by_symmetry in groups)
    return sorted(counted, key=lambda entry: (-entry[1], -entry[2]))


def miss(truth: np.ndarray | None, attempts: list[np.ndarray], ranked: list[tuple], tried: set[int]) -> tuple[str, str | None]:
    """Outcome and fault of a test input of ARC, of its two attempts and all that `vote` gave; `tried` are its symmetries."""
    if truth is None:
        return "unknown", None
    for attempt, name in zip(attempts, ("first", "second"), strict=False):
        if np.array_equal(attempt, truth):
            return name, None
    for grid, _, _, by_symmetry in ranked:
        if np.array_equal(grid, truth):
            return "outvoted", "rank" if {way for way, votes in enumerate(by_symmetry) if votes} == tried else "some_symmetries"
    if not ranked:
        return "not_generated", "no_prediction"
    return "not_generated", "cells" if truth.shape in [attempt.shape for attempt in attempts[:2]] else "size"


def two_sided(gained: int, lost: int) -> float:
    """How often a fair coin splits so many throws at least so unevenly, throw by throw."""
    throws = gained + lost
    uneven = sum(math.comb(throws, k) for k in range(throws + 1) if abs(2 * k - throws) >= abs(gained - lost))
    return uneven / 2**throws


def log_stablemax(x: np.ndarray) -> np.ndarray:
    """Logarithm of s(x) / sum(s) over the last axis, by its definition."""
    s = np.array([v + 1 if v >= 0 else 1 / (1 - v) for v in x.ravel()]).reshape(x.shape)
    return np.log(s / s.sum(axis=-1, keepdims=True))


def supervision_step(
    weights: dict[str, np.ndarray],
    y: np.ndarray,
    z: list[np.ndarray],
    tokens: np.ndarray,
    vectors: np.ndarray,
    transforms: np.ndarray,
    *,
    heads: int,
    cycles: int,
    latent_steps: int,
    prefix: int,
    positions: str,
    gate: str,
    damping: float,
    qk_norm: bool,
    output_norm: bool,
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray, np.ndarray]:
    """One supervision step of the reasoner in plain NumPy, a row at a time.

    `weights` has the names of `Reasoner.state_dict()`; `tokens` (B, H, W), `vectors` (B, D), `transforms` (B, 11), `y` and each
    `z` (B, L, D).
    Returns y, z, logits (B, H * W, V) and halting logits (B, 2).
    """
    width = vectors.shape[1]
    networks = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("networks."))
    layers = 1 + max(int(name.split(".")[2]) for name in weights if name.startswith("networks."))
    out_y, out_z, out_logits, out_halting = [], [[] for _ in z], [], []
    for b in range(len(tokens)):
        local = not any("qkv" in name or "mix" in name for name in weights)
        board = weights["embed_tokens"][tokens[b].ravel()] + local * vectors[b]
        slots = np.zeros((prefix, width))
        slots[0] = vectors[b]
        if "symmetry_token" in weights:
            slots[1] = weights["symmetry_token"][transforms[b, 0]]
            for colour in range(10):
                became = weights["embed_tokens"][2 + transforms[b, 1 + colour]]
                slots[2 + colour] = (became + weights["palette_tokens"][colour]) / math.sqrt(2)
        x = math.sqrt(width) * np.concatenate([slots, board])
        angles = _angles(tokens[b].shape, width // heads, prefix, positions)

        def network(number: int, old: np.ndarray, h: np.ndarray, angles=angles, shape=tokens[b].shape) -> np.ndarray:
            for layer in range(layers):
                name = f"networks.{number}.{layer}."
                block = {k.removeprefix(name): v for k, v in weights.items() if k.startswith(name)}
                h = _block(block, h, heads, angles, gate, prefix, shape, (qk_norm, output_norm))
            return (1 - damping) * old + damping * h

        y_b, z_b = y[b], [part[b] for part in z]
        for _cycle in range(cycles):
            for latent_step in range(latent_steps):
                if z_b:
                    z_b[latent_step % len(z_b)] = network(0, z_b[latent_step % len(z_b)], sum(z_b) + y_b + x)
                else:
                    y_b = network(0, y_b, y_b + x)
            seen = x if latent_steps == 0 else sum(z_b, np.zeros_like(x))
            y_b = network(networks - 1, y_b, y_b + seen)
        out_y.append(y_b)
        for place, part in zip(out_z, z_b, strict=True):
            place.append(part)
        out_logits.append(y_b[prefix:] @ weights["head"].T)
        summary = y_b[prefix:].mean(axis=0) if local else y_b[0]
        out_halting.append(weights["halt_weight"] @ summary + weights["halt_bias"])
    return np.array(out_y), [np.array(part) for part in out_z], np.array(out_logits), np.array(out_halting)


def _angles(shape: tuple[int, int], head: int, prefix: int, positions: str, board_columns: int = 5) -> np.ndarray | None:
    if positions == "none":
        return None
    angles = np.zeros((prefix + shape[0] * shape[1], head // 2))
    for slot in range(prefix):
        if positions == "rotary-1d":
            angles[slot] = [slot * 10000 ** (-2 * i / head) for i in range(head // 2)]
    for r in range(shape[0]):
        for c in range(shape[1]):
            if positions == "rotary-1d":
                place = prefix + r * board_columns + c
                here = [place * 10000 ** (-2 * i / head) for i in range(head // 2)]
            else:
                here = [n * 10000 ** (-4 * i / head) for n in (r, c) for i in range(head // 4)]
            angles[prefix + r * shape[1] + c] = here
    return angles


def _block(
    block: dict[str, np.ndarray],
    h: np.ndarray,
    heads: int,
    angles: np.ndarray | None,
    gate: str,
    prefix: int,
    shape: tuple[int, int],
    norms: tuple[bool, bool],
) -> np.ndarray:
    if "qkv" in block:
        h = _rms(h + _attention(block, h, heads, angles, *norms))
    elif "mix_down" in block:
        h = _rms(h.T + _gated(h.T, block["mix_gate_up"], gate) @ block["mix_down"].T).T
    inner = _gated(h, block["gate_up"], gate)
    if "kernel" in block:
        inner = _convolve(inner, block["kernel"], prefix, shape)
    return _rms(h + inner @ block["down"].T)


def _convolve(inner: np.ndarray, kernel: np.ndarray, prefix: int, shape: tuple[int, int]) -> np.ndarray:
    """Cell by cell: every feature of a cell is a weighted sum of that feature around it; beyond the window there is nothing."""
    out, reach = inner.copy(), kernel.shape[1] // 2
    for r in range(shape[0]):
        for c in range(shape[1]):
            total = np.zeros(inner.shape[1])
            for down in range(-reach, reach + 1):
                for right in range(-reach, reach + 1):
                    if 0 <= r + down < shape[0] and 0 <= c + right < shape[1]:
                        neighbour = inner[prefix + (r + down) * shape[1] + c + right]
                        total += kernel[:, reach + down, reach + right] * neighbour
            out[prefix + r * shape[1] + c] = total / (1 + np.exp(-total))
    return out


def _attention(
    block: dict[str, np.ndarray], h: np.ndarray, heads: int, angles: np.ndarray | None, qk_norm: bool, output_norm: bool
) -> np.ndarray:
    q, k, v = np.split(h @ block["qkv"].T, 3, axis=1)
    size = q.shape[1] // heads
    mixed = []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        # After the rotation, which keeps lengths: the order does not matter.
        q_h, k_h = (_rms(r) if qk_norm else r for r in (_rotate(q[:, part], angles), _rotate(k[:, part], angles)))
        scores = q_h @ k_h.T / math.sqrt(size)
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        mixed.append(scores / scores.sum(axis=1, keepdims=True) @ v[:, part])
    joined = np.concatenate(mixed, axis=1)
    return (_rms(joined) if output_norm else joined) @ block["out"].T


def _rotate(x: np.ndarray, angles: np.ndarray | None) -> np.ndarray:
    if angles is None:
        return x
    a, b = np.split(x, 2, axis=1)
    return np.concatenate([a * np.cos(angles) - b * np.sin(angles), b * np.cos(angles) + a * np.sin(angles)], axis=1)


def _gated(h: np.ndarray, gate_up: np.ndarray, kind: str) -> np.ndarray:
    g, u = np.split(h @ gate_up.T, 2, axis=1)
    return g / (1 + np.exp(-g)) * u if kind == "swiglu" else 1 / (1 + np.exp(-g)) * _rms(g * u)


def _rms(h: np.ndarray) -> np.ndarray:
    return h / np.sqrt((h**2).mean(axis=-1, keepdims=True) + 1e-5)


def newton_schulz(m: np.ndarray, steps: int = 5) -> np.ndarray:
    """Muon's iteration on one matrix."""
    x = m.T if m.shape[0] > m.shape[1] else m
    x = x / np.sqrt((x**2).sum())
    for _ in range(steps):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.T if m.shape[0] > m.shape[1] else x


def muon(
    weight: np.ndarray, gradient: np.ndarray, m: np.ndarray, rate: float, beta: float, decay: float, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """One step of Muon with Nesterov momentum on one matrix; returns weight and m."""
    m = beta * m + (1 - beta) * gradient
    o = newton_schulz(beta * m + (1 - beta) * gradient, steps)
    taller = weight.shape[0] / weight.shape[1]
    return weight - rate * decay * weight - rate * math.sqrt(max(1, taller)) * o, m


def normuon(
    weight: np.ndarray,
    gradient: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    rate: float,
    beta1: float,
    beta2: float,
    decay: float,
    *,
    nesterov: bool = False,
    steps: int = 5,
    scale: str = "own",
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One step of NorMuon on one matrix, as its paper's Algorithm 1, or in Muon's scale; returns weight, m and v."""
    m = beta1 * m + (1 - beta1) * gradient
    o = newton_schulz(beta1 * m + (1 - beta1) * gradient if nesterov else m, steps)
    v = beta2 * v + (1 - beta2) * np.array([[np.mean(row**2)] for row in o])
    n = o / np.sqrt(v)
    size = 0.2 * rate * math.sqrt(o.size)
    if scale == "spectral":
        size = rate * math.sqrt(max(1, o.shape[0] / o.shape[1])) * np.sqrt((o**2).sum())
    return weight - rate * decay * weight - size * n / np.sqrt((n**2).sum()), m, v


# Boards of one size


def transform_board(board: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Transposition, order of rows, order of columns, values, of a row of a table."""
    rows, columns = board.shape
    row_order, column_order, values = row[1 : 1 + rows], row[1 + rows : 1 + rows + columns], row[1 + rows + columns :]
    source = board.T if row[0] else board
    return np.array([[values[source[r, c]] for c in column_order] for r in row_order], np.uint8).reshape(rows, columns)


def board_hash(board: np.ndarray) -> int:
    """The sum of a well-mixed word for every cell."""
    return sum(mix(256 * place + int(value)) for place, value in enumerate(board.reshape(-1))) & WORD


def sample_sudoku(key: int, box_rows: int, box_columns: int) -> list[int]:
    """A symmetry of Sudoku of a key: transposition, bands and their rows, stacks and their columns, digits."""
    side, word = box_rows * box_columns, mix(key)
    drawn = [word & 1 if box_rows == box_columns else 0]

    def shuffled(order: list[int]) -> list[int]:
        nonlocal word
        for i in range(len(order) - 1, 0, -1):
            word = mix(word)
            j = word % (i + 1)
            order[i], order[j] = order[j], order[i]
        return order

    for height in (box_rows, box_columns):
        for group in shuffled(list(range(side // height))):
            drawn += [group * height + k for k in shuffled(list(range(height)))]
    return [*drawn, 0, *shuffled(list(range(1, side + 1)))]


# Mazes


def maze_distances(maze: np.ndarray, start: tuple[int, int]) -> dict[tuple[int, int], int]:
    """Moves to every cell that can be reached, level by level."""
    distances, level = {start: 0}, [start]
    while level:
        following = []
        for row, column in level:
            for place in ((row + 1, column), (row, column - 1), (row, column + 1), (row - 1, column)):
                inside = 0 <= place[0] < maze.shape[0] and 0 <= place[1] < maze.shape[1]
                if inside and maze[place] != 0 and place not in distances:
                    distances[place] = distances[row, column] + 1
                    following.append(place)
        level = following
    return distances


def maze_label(maze: np.ndarray) -> tuple[np.ndarray, int]:
    """The answer and its moves: from S always the first of Down, Left, Right, Up that comes nearer to G."""
    starts, goals = np.argwhere(maze == 2).tolist(), np.argwhere(maze == 3).tolist()
    if len(starts) != 1 or len(goals) != 1 or (maze > 3).any():
        return maze, -1
    distances = maze_distances(maze, tuple(goals[0]))
    place = tuple(starts[0])
    moves, answer = distances.get(place, -1), maze.copy()
    for left in range(moves - 1, 0, -1):
        row, column = place
        around = ((row + 1, column), (row, column - 1), (row, column + 1), (row - 1, column))
        place = next(near for near in around if distances.get(near) == left)
        answer[place] = 4
    return answer, moves


def maze_is_solution(question: np.ndarray, answer: np.ndarray) -> bool:
    """Whether nothing changed but free cells to path, and a shortest path within the path's cells needs every one of them."""
    moves = maze_label(question)[1]
    if moves < 0 or not all(a == b or (a, b) == (1, 4) for a, b in zip(question.flat, answer.flat, strict=True)):
        return False
    start, goal = (tuple(np.argwhere(question == cell)[0].tolist()) for cell in (2, 3))
    return maze_distances(np.where(answer == 1, 0, answer), start).get(goal) == moves == (answer == 4).sum() + 1


def perfect_maze(rooms: int, generator: np.random.Generator) -> np.ndarray:
    """Walls and free cells (2 rooms + 1 each way), as Maze-Unique has them: on to any new room, else back."""
    maze = np.zeros((2 * rooms + 1, 2 * rooms + 1), np.uint8)
    way = [tuple(generator.integers(rooms, size=2).tolist())]
    seen = set(way)
    while way:
        row, column = way[-1]
        maze[2 * row + 1, 2 * column + 1] = 1
        around = ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1))
        new = [room for room in around if 0 <= min(room) <= max(room) < rooms and room not in seen]
        if new:
            way.append(new[generator.integers(len(new))])
            seen.add(way[-1])
            maze[row + way[-1][0] + 1, column + way[-1][1] + 1] = 1
        else:
            way.pop()
    return maze


def maze_canonical(maze: np.ndarray) -> np.ndarray:
    """The smallest image of the same shape."""
    images = [symmetry(maze, number) for number in range(8)]
    return min((image for image in images if image.shape == maze.shape), key=lambda image: image.ravel().tolist())


class MazeStream:
    """The random words of one maze of the generator: splitmix64, the state going up by its constant."""

    def __init__(self, seed: int, number: int) -> None:
        self.state = mix(mix(seed) ^ number)

    def word(self) -> int:
        word = mix(self.state)
        self.state = (self.state + 0x9E3779B97F4A7C15) & WORD
        return word

    def below(self, bound: int) -> int:
        return (self.word() >> 32) * bound >> 32

    def walls(self, share: int, lanes: list[int]) -> dict[int, bool]:
        """For every lane whether its random number of 16 bits is below the share; no more bits are drawn than are needed."""
        values: dict[int, str] = dict.fromkeys(lanes, "")
        wanted = f"{share:016b}"
        for bit in range(16):
            if all(value != wanted[:bit] for value in values.values()):
                break
            word = self.word()
            for lane in lanes:
                values[lane] += str(word >> lane & 1)
        return {lane: value < wanted[: len(value)] for lane, value in values.items()}


def sample_maze(stream: MazeStream, side: int) -> np.ndarray | None:
    """One draw of the generator: walls (two rows of 32 lanes at a time), S and G; None without two free cells."""
    maze = np.ones((side, side), np.uint8)
    share = 19661 + stream.below(32768 - 19661)
    for row in range(0, side, 2):
        lanes = [32 * r + c for r in range(min(2, side - row)) for c in range(side)]
        for lane, is_wall in stream.walls(share, lanes).items():
            maze[row + lane // 32, lane % 32] = not is_wall
    if (maze == 1).sum() < 2:
        return None
    for cell in (2, 3):
        place = divmod(stream.below(side * side), side)
        while maze[place] != 1:
            place = divmod(stream.below(side * side), side)
        maze[place] = cell
    return maze


# Sudoku


def sudoku_units(rows: int, columns: int) -> list[list[tuple[int, int]]]:
    """The cells of every row, column and box."""
    side = rows * columns
    lines = [[(r, c) for c in range(side)] for r in range(side)] + [[(r, c) for r in range(side)] for c in range(side)]
    corners = [(r, c) for r in range(0, side, rows) for c in range(0, side, columns)]
    return lines + [[(r + i, c + k) for i in range(rows) for k in range(columns)] for r, c in corners]


def sudoku_keeps_rules(board: np.ndarray, rows: int, columns: int) -> bool:
    """No digit twice in a unit, none above the side."""
    for unit in sudoku_units(rows, columns):
        digits = [int(board[cell]) for cell in unit if board[cell]]
        if len(set(digits)) < len(digits) or any(digit > rows * columns for digit in digits):
            return False
    return True


def sudoku_solutions(board: np.ndarray, rows: int, columns: int, limit: int) -> list[np.ndarray]:
    """Solutions by trying every digit in every blank, up to a limit."""
    if not sudoku_keeps_rules(board, rows, columns):
        return []
    blanks = np.argwhere(board == 0)
    if not len(blanks):
        return [board.copy()]
    found: list[np.ndarray] = []
    for digit in range(1, rows * columns + 1):
        board[tuple(blanks[0])] = digit
        found += sudoku_solutions(board, rows, columns, limit - len(found))
        board[tuple(blanks[0])] = 0
        if len(found) >= limit:
            break
    return found


def sudoku_images(board: np.ndarray, rows: int, columns: int) -> set[bytes]:
    """All images of a board under the symmetries of Sudoku, digits named in the order of their first cell."""
    side = rows * columns

    def orders(height: int) -> list[list[int]]:
        inner = list(itertools.permutations(range(height)))
        groups = itertools.permutations(range(side // height))
        return [
            [group * height + k for group, order in zip(outer, chosen, strict=True) for k in order]
            for outer in groups
            for chosen in itertools.product(inner, repeat=side // height)
        ]

    images = set()
    for source in [board, board.T] if rows == columns else [board]:
        for row_order in orders(rows):
            for column_order in orders(columns):
                cells = source[np.ix_(row_order, column_order)].reshape(-1).tolist()
                names: dict[int, int] = {0: 0}
                images.add(bytes(names.setdefault(cell, len(names)) for cell in cells))
    return images
