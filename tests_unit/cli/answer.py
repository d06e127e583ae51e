"""What a command answers, as scripts see it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class Answer:
    """What a command gave."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        assert (self.status, self.err) == (0, "")
        return json.loads(self.out)

    def refused(self, status: int, *words: str) -> None:
        """One sentence on stderr, nothing on stdout."""
        assert self.status == status
        assert self.out == ""
        assert self.err.startswith("lorafab: ")
        assert self.err.endswith("\n")
        assert len(self.err.splitlines()) == 1
        for word in words:
            assert word in self.err


Command = Callable[..., Answer]
