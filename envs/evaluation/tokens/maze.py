"""A maze: moves from S to G past the walls. "S..#.#..G:" is three rows of three cells; an answer is "DDRR" or another path."""

from __future__ import annotations

import numpy as np

from envs.evaluation.tokens.task import Task, Verdict

MOVES = {"U": (-1, 0), "D": (1, 0), "L": (0, -1), "R": (0, 1)}
WALLS = 0.25  # share of cells
OFFERED = 24  # right answers that `solutions` returns at most
EXTRA = 4  # moves by which an offered path may be longer than the shortest


class Maze(Task):
    """A square of `size` rows with a way from S to G of at least two moves. Any way is right that ends on G; it may cross itself."""

    name = "maze"
    sizes = (3, 4)
    size_is = "rows"

    def draw(self, rng: np.random.Generator, size: int) -> str:
        while True:
            cells = np.where(rng.random(size * size) < WALLS, "#", ".")
            start, goal = rng.choice(size * size, 2, replace=False).tolist()
            cells[start], cells[goal] = "S", "G"
            found = "".join(cells)
            if len(_shortest(found)) >= 2:
                return found

    def key(self, instance: str) -> str:
        return instance

    def prompt(self, instance: str) -> str:
        return f"{instance}:"

    def judge(self, instance: str, answer: str) -> Verdict:
        place, parts = instance.index("S"), max(len(answer), 1)
        for count, move in enumerate(answer):
            following = _moved(instance, place, move)
            if following is None:
                return Verdict(False, count, parts)
            place = following
        return Verdict(instance[place] == "G", len(answer), parts)

    def solutions(self, instance: str) -> list[str]:
        most, found = len(_shortest(instance)) + EXTRA, list[str]()
        paths: list[tuple[str, tuple[int, ...]]] = [("", (instance.index("S"),))]
        while paths and len(found) < OFFERED:
            path, places = paths.pop(0)  # breadth first: the shortest come first
            if instance[places[-1]] == "G":
                found.append(path)
            elif len(path) < most:
                reached = ((move, _moved(instance, places[-1], move)) for move in MOVES)
                paths += [(path + move, (*places, place)) for move, place in reached if place is not None and place not in places]
        return self._fitting(instance, found)


def _moved(cells: str, place: int, move: str) -> int | None:
    """The cell after a move; None if it is no move, or leads into a wall or outside."""
    if move not in MOVES:
        return None
    size = round(len(cells) ** 0.5)
    row, column = place // size + MOVES[move][0], place % size + MOVES[move][1]
    inside = 0 <= row < size and 0 <= column < size
    return row * size + column if inside and cells[row * size + column] != "#" else None


def _shortest(cells: str) -> str:
    """The first of the shortest ways from S to G; empty if there is none."""
    paths, seen = [("", cells.index("S"))], {cells.index("S")}
    while paths:
        path, place = paths.pop(0)
        for move in MOVES:
            following = _moved(cells, place, move)
            if following is not None and following not in seen:
                if cells[following] == "G":
                    return path + move
                seen.add(following)
                paths.append((path + move, following))
    return ""
