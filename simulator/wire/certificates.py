"""What an agent and a CA say to each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Signed:
    """A certificate, as a CA answers.

    Attributes:
        root: Number of its root certificate; the first is 0.
    """

    root: int


class CertificateAuthority(Protocol):
    """Who signs, with the way there and back."""

    def sign(self, proxy: int, call: int, answer: Callable[[Signed | None], None]) -> None:
        """Asks for a certificate.

        Args:
            proxy: Who asks.
            call: Counts its tries; keys their draws.
            answer: Told the certificate, or None where the try failed (Unavailable).
        """
