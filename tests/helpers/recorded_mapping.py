"""A mapping that knows what was asked of it."""

from collections import UserDict


class Recorded(UserDict):
    """A mapping that notes which of its keys are read by name."""

    def __init__(self, values):
        self.read = set()
        super().__init__(values)

    def __getitem__(self, key):
        self.read.add(key)
        return super().__getitem__(key)
