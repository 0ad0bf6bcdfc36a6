"""Arrays of spans of time that follow each other, read as one without being joined in memory."""

from collections.abc import Sequence

import numpy as np


class Pieces:
    """(M, S, T) of consecutive parts (M, S, T_k), which may be mapped from files, behind ``silence`` minutes of NaN.

    Read as ``pieces[:, :, first:end]``, which copies that much.
    """

    def __init__(self, parts: Sequence[np.ndarray], silence: int = 0) -> None:
        self._parts = tuple(parts)
        self._ends = np.cumsum([silence, *(part.shape[2] for part in parts)])
        self.shape = (*parts[0].shape[:2], int(self._ends[-1]))

    def __getitem__(self, key: tuple[slice, slice, slice]) -> np.ndarray:
        members, rows, minutes = key
        if members != slice(None) or rows != slice(None):
            raise IndexError("pieces are read along the last axis only: pieces[:, :, first:end]")
        first, end, step = minutes.indices(self.shape[2])
        if step != 1:
            raise IndexError("pieces are read minute by minute")
        out = np.full((*self.shape[:2], max(0, end - first)), np.nan, dtype=self._parts[0].dtype)
        for part, begin in zip(self._parts, self._ends[:-1], strict=True):
            low, high = max(first, begin), min(end, begin + part.shape[2])
            if low < high:
                out[:, :, low - first : high - first] = part[:, :, low - begin : high - begin]
        return out
