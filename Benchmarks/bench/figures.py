"""Medians and their spread. Nothing here invents a number."""

import statistics
from dataclasses import dataclass


@dataclass
class Figure:
    """A median with the range that holds the middle 80 % of what was measured."""

    values: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    def percentile(self, part: float) -> float:
        ordered = sorted(self.values)
        return ordered[min(len(ordered) - 1, round(part * (len(ordered) - 1)))]

    def text(self, unit: str, scale: float = 1.0) -> str:
        low, high = self.percentile(0.1) * scale, self.percentile(0.9) * scale
        middle = f"{number(self.median * scale)} {unit}"
        return middle if len(self.values) < 2 else f"{middle} ({number(low)}…{number(high)})"


def ratio(ours: list[float], theirs: list[float]) -> Figure:
    """The ratio within each round, so that drift hits both alike."""
    return Figure([our / their for our, their in zip(ours, theirs)])


def number(value: float) -> str:
    if value == 0:
        return "0"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 4
    return f"{value:,.{digits}f}"


def inversions(indices: list[int]) -> int:
    """Pairs that were served in the other order than that of their arrival."""
    return sum(
        1 for i, first in enumerate(indices) for second in indices[i + 1 :] if first > second
    )
