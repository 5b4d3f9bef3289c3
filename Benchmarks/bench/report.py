"""One row of the table, and the page that they make."""

from dataclasses import dataclass, field

from .machine import Machine


@dataclass
class Verdict:
    """A measured value against its target."""

    measured: float
    target: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.measured >= self.target if self.at_least else self.measured <= self.target

    @property
    def text(self) -> str:
        gap = abs(self.measured / self.target - 1) * 100
        if self.met:
            return f"met, {gap:.0f} % to spare"
        return f"**missed by {gap:.0f} %**"


@dataclass
class Head:
    """What a row is about, whether it can be measured here or not."""

    name: str
    what: str
    target: str


@dataclass
class Row:
    name: str
    what: str
    target: str
    figure: str
    ratio: str
    verdict: str
    method: str
    # Everybody's figures: a heading and lines.
    columns: list[str] = field(default_factory=list)
    lines: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def unmeasured(head: Head, why: str) -> Row:
    return Row(**vars(head), figure="–", ratio="–", verdict=f"**not measured**: {why}", method=f"Not measured: {why}.")


def table(columns: list[str], lines: list[list[str]]) -> str:
    rows = [columns, ["---"] * len(columns), *lines]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)


def missed(rows: list[Row], causes: str) -> str:
    """From causes.md, which has a part `## NAME` for each row, what belongs to the rows that miss their target."""
    parts = dict(part.split("\n", 1) for part in causes.split("## ")[1:])
    texts = [f"- **{row.what}**: {parts[row.name].strip()}" for row in rows if "missed" in row.verdict and row.name in parts]
    return "\n".join(["## What is missed, and why", "", *texts]) if texts else ""


def page(rows: list[Row], machine: Machine, causes: str) -> str:
    parts = [
        "# Benchmarks",
        "Written by `scripts/bench`, which measures all peers side by side in one run. A figure is the median, in "
        "parentheses the range that holds the middle 80 % of what was measured; a ratio is taken within each round, "
        "so that drift hits both sides alike, and its median is shown.",
        table(
            ["what", "target", "figure", "ratio", "target met?"],
            [[row.what, row.target, row.figure, row.ratio, row.verdict] for row in rows],
        ),
        missed(rows, causes),
        "## The machine",
        machine.text,
        "## Each row",
    ]
    for row in rows:
        parts += [f"### {row.what}", row.method]
        if row.lines:
            parts.append(table(row.columns, row.lines))
        parts += row.notes
    return "\n\n".join(part for part in parts if part) + "\n"
