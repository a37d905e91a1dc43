"""What a report leaves out, said once, with the cells it was in: nothing is lost in silence."""

import sys
from dataclasses import dataclass, field


@dataclass
class Losses:
    """What was left out of the notebooks of a report: reasons, and for each the notebook's cells."""

    found: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    cell: tuple[str, int] = ("notebook", 1)  # that is read

    def add(self, reason: str, cell: tuple[str, int] | None = None) -> None:
        """Of the cell that is read, or of another one."""
        name, number = cell or self.cell
        cells = self.found.setdefault((name, reason), [])
        if number not in cells:
            cells.append(number)

    def lines(self) -> list[str]:
        return [f"{name} {_cells(numbers)}: {reason}" for (name, reason), numbers in self.found.items()]

    def warn(self) -> None:
        """Say it on stderr."""
        for line in self.lines():
            print(f"warning: {line}", file=sys.stderr)

    def __bool__(self) -> bool:
        return bool(self.found)


def _cells(numbers: list[int]) -> str:
    return f"cell{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"
