"""Columns of values in little memory: of a million pictures each takes some megabytes."""

from array import array
from collections.abc import Hashable
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

Value = TypeVar("Value", bound=Hashable)


class Texts:
    """Texts in a row, at a third of the memory that a list of them takes."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._ends = array("Q", [0])

    def append(self, text: str) -> None:
        """Add one at the end."""
        self._bytes += text.encode()
        self._ends.append(len(self._bytes))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, row: int) -> str:
        return self._bytes[self._ends[row] : self._ends[row + 1]].decode()


class Shared(Generic[Value]):
    """Values in a row, of which equal ones are kept once."""

    def __init__(self) -> None:
        self._numbers = array("I")
        self._number_of: dict[Value, int] = {}
        self._values: list[Value] = []

    def append(self, value: Value) -> None:
        """Add one at the end."""
        number = self._number_of.setdefault(value, len(self._values))
        if number == len(self._values):
            self._values.append(value)
        self._numbers.append(number)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, row: int) -> Value:
        return self._values[self._numbers[row]]

    def numbers(self) -> npt.NDArray[np.uint32]:
        """For each row which of the different values it has: equal ones have equal numbers."""
        return np.frombuffer(self._numbers, np.uint32)

    def different(self) -> list[Value]:
        """Each value once, in the order in which they came."""
        return self._values
