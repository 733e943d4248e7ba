"""Columns of values in little memory: of a million pictures each takes some megabytes."""

from array import array
from collections.abc import Hashable
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

Value = TypeVar("Value", bound=Hashable)


class Texts:
    """A list of texts that takes a third of the memory of Python's own."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._ends = array("Q", [0])

    def append(self, text: str) -> None:
        """Add a text at the end."""
        self._bytes += text.encode()
        self._ends.append(len(self._bytes))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, row: int) -> str:
        return self._bytes[self._ends[row] : self._ends[row + 1]].decode()


class Shared(Generic[Value]):
    """A list of values that keeps equal values once."""

    def __init__(self) -> None:
        self._numbers = array("I")
        self._number_of: dict[Value, int] = {}
        self._values: list[Value] = []

    def append(self, value: Value) -> None:
        """Add a value at the end."""
        number = self._number_of.setdefault(value, len(self._values))
        if number == len(self._values):
            self._values.append(value)
        self._numbers.append(number)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, row: int) -> Value:
        return self._values[self._numbers[row]]

    def numbers(self) -> npt.NDArray[np.uint32]:
        """The number [N] of each row's value in `different`: equal values have equal numbers."""
        return np.frombuffer(self._numbers, np.uint32)

    def different(self) -> list[Value]:
        """Each different value once, in the order in which they were added."""
        return self._values
