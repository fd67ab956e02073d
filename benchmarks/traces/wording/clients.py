"""Honest senders of texts, kind by kind. As in `benchmarks.traces.benign`, none looks at the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np

from benchmarks.traces.benign.client import Client, Kind
from benchmarks.traces.benign.rows import (
    class_skewed,
    health_check,
    load_test,
    nearest_first,
    ordinary,
    retries,
)
from benchmarks.traces.text import as_vectors
from benchmarks.traces.wording.corpora import foreign
from benchmarks.traces.wording.edits import (
    STYLES,
    fewer_words,
    moved_word,
    one_of,
    other_words,
    slips,
    some_places,
)
from detector.query import FloatArray

Sender = Callable[[Client], Iterator[str]]
GREETINGS = ("Hello team,", "Dear all,", "Hi,", "FW:", "Re: your request", "Good morning,", "Please advise:")
ENDINGS = ("Thanks", "Best regards", "Sent from my phone", "Kind regards, the night shift", "Cheers")
LONGEST = 1000
"""Characters after which who types begins a new text."""


def typing(client: Client) -> Iterator[str]:
    """A field that asks while it is typed into: what is there so far, again after every few characters or
    words, at times some characters back. Some write one text after the other below what is there."""
    rng = client.rng
    by, goes_on = int(rng.choice([1, 2, 4, 8, 15])), rng.random() < 0.3
    text = ""
    while True:
        at = len(text) if goes_on and len(text) < LONGEST else 0
        text = " ".join([text[:at], *client.texts(1)]).strip()
        while at < len(text):
            at = max(3, at + int(rng.integers(1, 2 * by))) if rng.random() < 0.9 else max(3, at - by)
            yield text[:at]


def correcting(client: Client) -> Iterator[str]:
    """A text sent with slips of the pen, and again as these are put right and words are changed."""
    rng = client.rng
    while True:
        (text,) = client.texts(1)
        for count in range(int(rng.integers(1, 5)), -1, -1):
            yield slips(rng, text, count)
            if rng.random() < 0.3:
                text = other_words(rng, text, 1, client.vocabulary)


def rewriting(client: Client) -> Iterator[str]:
    """Some wordings of one text, then of the next: words replaced, left out or moved."""
    rng = client.rng
    much = rng.uniform(0.05, 0.5)
    while True:
        (text,) = client.texts(1)
        yield text
        for _ in range(int(rng.integers(1, 9))):
            count = 1 + int(rng.binomial(len(text.split()), much * rng.random()))
            how = rng.random()
            if how < 0.6:
                new = other_words(rng, text, count, client.vocabulary)
            else:
                new = fewer_words(rng, text, count) if how < 0.8 else moved_word(rng, text)
            yield new
            text = new if rng.random() < 0.4 else text


def templates(client: Client) -> Iterator[str]:
    """Forms that are filled in: a few texts in which some words are others each time, or numbers."""
    rng = client.rng
    forms = [text.split() for text in client.texts(int(rng.choice([1, 1, 2, 4, 8])))]
    places = [some_places(rng, form, int(rng.integers(1, 7))) for form in forms]
    fills = [one_of(rng, client.vocabulary) for _ in range(int(rng.choice([5, 20, 200])))]
    numbers = rng.random() < 0.4
    while True:
        which = int(rng.integers(len(forms)))
        words = list(forms[which])
        for at in places[which]:
            words[at] = str(rng.integers(10, 100_000)) if numbers else one_of(rng, fills)
        yield " ".join(words)


def conversation(client: Client) -> Iterator[str]:
    """A thread, asked about as a whole, or its last messages, whenever one is added."""
    rng = client.rng
    while True:
        last = int(rng.choice([2, 4, 100]))
        thread = list(client.texts(int(rng.integers(3, 13))))
        for length in range(1, len(thread) + 1):
            yield " ".join(thread[max(0, length - last) : length])


def keywords(client: Client) -> Iterator[str]:
    """A search field: one to three words each time, at times one word more than the time before."""
    rng = client.rng
    words = [one_of(rng, client.vocabulary)]
    while True:
        yield " ".join(words)
        more = rng.random() < 0.3 and len(words) < 4
        words = [
            *(words if more else []),
            *(one_of(rng, client.vocabulary) for _ in range(1 if more else int(rng.integers(1, 4)))),
        ]


def two_styles(client: Client) -> Iterator[str]:
    """An A/B comparison: each text as it is and prepared in another way, always the same."""
    style = STYLES[int(client.rng.integers(len(STYLES)))]
    while True:
        (text,) = client.texts(1)
        yield from (text, style(text))


def fuzzing(client: Client) -> Iterator[str]:
    """A test of robustness: some texts, each with random slips or without random words, many times."""
    rng = client.rng
    most, times = int(rng.integers(1, 7)), int(rng.integers(4, 30))
    change = slips if rng.random() < 0.7 else fewer_words
    while True:
        (text,) = client.texts(1)
        for _ in range(times):
            yield change(rng, text, int(rng.integers(1, most + 1)))


def auditing(client: Client) -> Iterator[str]:
    """A check for bias: a list of terms in the same place of one text, then of the next, at times a second
    list in another place."""
    rng = client.rng
    terms = [one_of(rng, client.vocabulary) for _ in range(int(rng.integers(3, 20)))]
    others = [one_of(rng, client.vocabulary) for _ in range(int(rng.choice([1, 1, 4])))]
    while True:
        words = client.texts(1)[0].split()
        places = rng.permutation(len(words))[:2].tolist()
        for other in others:
            for term in terms:
                words[places[0]] = term
                if len(others) > 1:
                    words[places[-1]] = other
                yield " ".join(words)


def windows(client: Client) -> Iterator[str]:
    """Long documents in windows that overlap."""
    rng = client.rng
    size = int(rng.integers(8, 60))
    step = max(1, round(size * rng.uniform(0.2, 0.9)))
    while True:
        words = " ".join(client.texts(int(rng.integers(5, 40)))).split()
        for at in range(0, max(1, len(words) - size + 1), step):
            yield " ".join(words[at : at + size])


def forwarding(client: Client) -> Iterator[str]:
    """A mail program: texts between the same greeting and ending; or one text in mail after mail."""
    rng = client.rng
    greeting, ending = one_of(rng, GREETINGS), " ".join([one_of(rng, ENDINGS), *client.texts(1)])
    same = rng.random() < 0.3
    (text,) = client.texts(1)
    while True:
        if not same:
            (text,) = client.texts(1)
        yield f"{greeting if not same else one_of(rng, GREETINGS)} {text} {ending}"
        ending = f"{one_of(rng, ENDINGS)} {ending}"[:400] if same else ending


def other_subjects(client: Client) -> Iterator[str]:
    """Users who write about other things too."""
    rng = client.rng
    share = rng.uniform(0.2, 0.8)
    while True:
        yield (foreign(rng, 1) if rng.random() < share else client.texts(1))[0]


def alphabetical(client: Client, n: int) -> FloatArray:
    """A table of texts in the order of the alphabet, or of their lengths."""
    texts = client.texts(n)
    return as_vectors(sorted(texts) if client.rng.random() < 0.5 else sorted(texts, key=len))


def shared_address(client: Client, n: int) -> FloatArray:
    """NAT or a shared key: several users of other kinds, query by query mixed."""
    rng = client.rng
    users: list[Iterator[str]] = []
    for _ in range(int(rng.integers(3, 11))):
        mix = rng.dirichlet(np.full(client.mix.size, 1.0))
        kind = SINGLE_USER[int(rng.integers(len(SINGLE_USER)))]
        users.append(kind(Client(client.population, rng, mix)))
    return as_vectors([next(users[which]) for which in rng.integers(0, len(users), n).tolist()])


def leaving_out(client: Client) -> Iterator[str]:
    """An explainer: each text, then without each of its words in turn."""
    while True:
        words = client.texts(1)[0].split()
        yield " ".join(words)
        for at in range(len(words) if len(words) > 1 else 0):
            yield " ".join(words[:at] + words[at + 1 :])


def lime(client: Client) -> Iterator[str]:
    """LIME (Ribeiro et al. 2016): each text, then a hundred times without random words."""
    rng = client.rng
    while True:
        (text,) = client.texts(1)
        yield text
        for _ in range(100):
            yield fewer_words(rng, text, int(rng.integers(1, len(text.split()) + 1)))


SINGLE_USER: tuple[Sender, ...] = (typing, correcting, rewriting, templates, keywords, forwarding, two_styles)


def _sent(by: Sender) -> Callable[[Client, int], FloatArray]:
    return lambda client, n: as_vectors(list(islice(by(client), n)))


KINDS: dict[str, Kind] = {
    "ordinary": Kind(ordinary, 0.33, 7, 0.9, ("person", "person", "app")),
    "class_skewed": Kind(class_skewed, 0.09, 8, 0.9, ("person", "app")),
    "retries": Kind(retries, 0.06, 8, 0.8, ("app", "job", "person")),
    "health_check": Kind(health_check, 0.04, 14, 1.1, ("clock",)),
    "load_test": Kind(load_test, 0.04, 15, 1.0, ("job", "app")),
    "nearest_first": Kind(nearest_first, 0.03, 14, 0.8, ("bulk", "bulk", "app")),
    "alphabetical": Kind(alphabetical, 0.06, 15, 1.0, ("bulk", "job")),
    "other_subjects": Kind(_sent(other_subjects), 0.06, 8, 0.9, ("person", "app", "bulk")),
    "typing": Kind(_sent(typing), 0.045, 22, 1.0, ("person", "app")),
    "correcting": Kind(_sent(correcting), 0.03, 7, 0.8, ("person", "person", "app")),
    "rewriting": Kind(_sent(rewriting), 0.035, 12, 1.0, ("person", "app")),
    "templates": Kind(_sent(templates), 0.035, 20, 1.1, ("app", "job", "bulk")),
    "conversation": Kind(_sent(conversation), 0.035, 9, 0.8, ("person", "app")),
    "keywords": Kind(_sent(keywords), 0.03, 9, 0.9, ("person",)),
    "two_styles": Kind(_sent(two_styles), 0.02, 16, 0.9, ("job", "bulk", "app"), 4),
    "fuzzing": Kind(_sent(fuzzing), 0.01, 24, 0.9, ("job", "bulk")),
    "auditing": Kind(_sent(auditing), 0.01, 24, 0.9, ("job", "app", "person")),
    "windows": Kind(_sent(windows), 0.02, 20, 0.9, ("bulk", "app", "job")),
    "forwarding": Kind(_sent(forwarding), 0.02, 12, 1.1, ("app", "person")),
    "shared_address": Kind(shared_address, 0.04, 15, 0.9, ("app", "person", "job")),
    "long_batch": Kind(ordinary, 0.002, 1400, 0.3, ("bulk", "job"), 1000, 3000),
    "long_typing": Kind(_sent(typing), 0.002, 400, 0.5, ("person", "app"), 150, 1500),
    "long_templates": Kind(_sent(templates), 0.002, 1400, 0.3, ("app", "job"), 1000, 3000),
    "long_windows": Kind(_sent(windows), 0.002, 1400, 0.3, ("bulk", "job"), 1000, 3000),
    "long_shared_address": Kind(shared_address, 0.002, 1400, 0.3, ("app", "job"), 1000, 3000),
}
EXPLAINERS: dict[str, Kind] = {
    "lime": Kind(_sent(lime), 0.5, 200, 0.6, ("bulk", "job", "app"), 20, 1000),
    "leaving_out": Kind(_sent(leaving_out), 0.5, 200, 0.6, ("bulk", "job", "app"), 20, 1000),
}
