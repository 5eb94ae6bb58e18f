"""What polls were answered: Envoy asks at random times and for ever, so only answers can be compared."""

from __future__ import annotations

from simulator.lab.conversation import Said


def news(conversation: list[Said]) -> list[Said]:
    """Answers to polls that are not what was answered before: asking goes on for ever."""
    last: dict[int, tuple[str, tuple[str, ...]]] = {}
    found = []
    for said in conversation:
        if said.is_of_server and last.get(said.stream) != said.same:
            last[said.stream] = said.same
            found.append(said)
    return found


def answers(conversation: list[Said], key: str) -> list[str]:
    """What was answered, without repetitions, names of one-name subscriptions apart."""
    told: dict[int, list[str]] = {}
    for said in conversation:
        if said.is_of_server and said.type == key:
            text = str(said).removeprefix("response ")
            of_stream = told.setdefault(said.stream, [])
            if not of_stream or of_stream[-1] != text:
                of_stream.append(text)
    return sorted({text for texts in told.values() for text in texts})
