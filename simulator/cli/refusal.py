"""What a command says when its input cannot be used."""

from __future__ import annotations

__all__ = ["BadInput"]


class BadInput(Exception):
    """The input cannot be used; the text tells the user why. Status 2, and nothing was written.

    ``is_located`` says that the text names the place of each problem itself, as ``FILE:LINE: KEY: MESSAGE``.
    """

    def __init__(self, text: str, *, is_located: bool = False) -> None:
        super().__init__(text)
        self.is_located = is_located
