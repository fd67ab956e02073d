"""Texts that are written: corpora, honest writers and attackers do what they say."""

from __future__ import annotations

from functools import cache
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest

from benchmarks.traces import make
from benchmarks.traces.attacks import ATTACKS, WORDED
from benchmarks.traces.attacks.attacker import Attacker
from benchmarks.traces.attacks.writer import Writer
from benchmarks.traces.benign import Client
from benchmarks.traces.recorder import Recorder
from benchmarks.traces.recording import Recording, record
from benchmarks.traces.targets import Target, train
from benchmarks.traces.text import as_vectors
from benchmarks.traces.wording import clients
from benchmarks.traces.wording.clients import EXPLAINERS, KINDS, Sender
from benchmarks.traces.wording.corpora import CORPORA
from benchmarks.traces.wording.edits import fewer_words, moved_word, other_words, slip, slips

SEED = 3
BUDGET = 160


@cache
def target(name: str = "messages") -> Target:
    return train(name, SEED)


def client(seed: int, name: str = "messages") -> Client:
    mine = target(name)
    rng = np.random.default_rng(seed)
    return Client(mine.population, rng, rng.dirichlet(np.ones(mine.dataset.classes)))


def written(by: Sender, n: int, seed: int) -> list[str]:
    return list(islice(by(client(seed)), n))


def unlike(one: str, other: str) -> int:
    """Words that differ, place by place."""
    return sum(a != b for a, b in zip(one.split(), other.split(), strict=True))


@cache
def carried_out(name: str, seed: int = 1) -> Recording:
    return record(target(), name, BUDGET, 9, np.random.default_rng(seed))


@pytest.mark.parametrize("name", CORPORA)
def test_a_corpus_has_texts_of_every_class_and_others_for_every_seed(name: str) -> None:
    texts, labels = CORPORA[name](SEED)
    assert len(set(texts)) > 0.95 * len(texts)
    assert np.bincount(labels).min() > 300
    others, _ = CORPORA[name](SEED + 1)
    assert texts != others
    np.testing.assert_allclose(np.linalg.norm(as_vectors(texts[:50]), axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize("name", CORPORA)
def test_a_model_of_texts_has_learned_something(name: str) -> None:
    mine = target(name)
    data = mine.dataset
    right = (mine.predict(data.live).argmax(axis=1) == data.live_labels).mean()
    assert right > 1.4 / data.classes
    assert data.strings is not None
    np.testing.assert_array_equal(as_vectors(list(data.strings.live)), data.live)


@pytest.mark.parametrize("kind", [*KINDS, *EXPLAINERS])
def test_every_kind_sends_vectors_of_texts_and_the_same_again(kind: str) -> None:
    draw = (KINDS | EXPLAINERS)[kind].draw
    x = draw(client(5), 33)
    assert x.shape == (33, target().dataset.columns)
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1.0, atol=1e-6)
    np.testing.assert_array_equal(x, draw(client(5), 33))


def test_who_types_sends_what_is_there_so_far() -> None:
    texts = written(clients.typing, 60, 1)
    assert sum(b.startswith(a) or a.startswith(b) for a, b in pairwise(texts)) > 45
    assert min(map(len, texts)) >= 3


def test_forms_differ_in_what_is_filled_in() -> None:
    for seed in range(5):
        texts = written(clients.templates, 40, seed)
        near = [
            min(unlike(t, o) for o in texts[:i] if len(o.split()) == len(t.split()))
            for i, t in enumerate(texts)
            if i > 20
        ]
        assert np.mean(np.array(near) <= 6) > 0.9


def test_a_thread_grows_and_windows_overlap() -> None:
    grows = [b.startswith(a) or a.split()[-1] in b for a, b in pairwise(written(clients.conversation, 30, 2))]
    assert sum(grows) > 15
    texts = [text.split() for text in written(clients.windows, 12, 3)]
    assert sum(b[0] in a for a, b in pairwise(texts)) > 8


def test_an_audit_changes_one_or_two_places() -> None:
    for seed in range(5):
        texts = written(clients.auditing, 3, seed)
        assert all(unlike(a, b) <= 2 for a, b in pairwise(texts))


def test_an_explainer_leaves_out_each_word_in_turn() -> None:
    first, *others = written(clients.leaving_out, 5, 1)
    assert all(len(text.split()) == len(first.split()) - 1 for text in others[: len(first.split())])


def test_edits_change_as_many_words_as_they_say() -> None:
    rng = np.random.default_rng(1)
    text = "the quick brown fox jumps over the lazy dog"
    assert unlike(text, other_words(rng, text, 3, ["cat"])) == 3
    assert len(fewer_words(rng, text, 4).split()) == 5
    assert len(fewer_words(rng, text, 99).split()) == 1
    assert sorted(moved_word(rng, text).split()) == sorted(text.split())
    assert unlike(text, slips(rng, text, 2)) <= 2
    assert {len(slip(rng, "word")) for _ in range(100)} == {3, 4, 5}
    assert len({slip(rng, "a") for _ in range(100)}) > 5


@pytest.mark.parametrize("name", WORDED)
def test_every_attack_spends_its_budget_on_texts(name: str) -> None:
    sent = carried_out(name)
    assert len(sent) == BUDGET
    assert sent.family == WORDED[name].family
    np.testing.assert_allclose(np.linalg.norm(sent.inputs, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(sent.answers, target().predict(sent.inputs), rtol=1e-9)
    assert len(np.unique(sent.inputs, axis=0)) > BUDGET // 3


@pytest.mark.parametrize("name", ["word_substitution", "genetic_words", "good_words", "hard_label_words"])
def test_evasion_moves_the_label_of_its_own_texts(name: str) -> None:
    labels = carried_out(name).answers.argmax(axis=1)
    assert (labels != labels[0]).any()


@pytest.mark.parametrize("name", ["greedy_words", "beam_words", "evolving_words", "annealing_words"])
def test_inversion_writes_what_the_model_is_sure_of(name: str) -> None:
    answers = carried_out(name).answers
    best = answers.max(axis=0)
    assert best.max() > 0.9
    assert (best > answers[:5].mean(axis=0) + 0.2).any()


def test_members_stand_more_than_others_do() -> None:
    texts = Writer(Attacker(Recorder(target(), 4000, 9), np.random.default_rng(1), 4000))
    rng = np.random.default_rng(2)

    def kept(some: list[str]) -> float:
        labels = texts.ask(some).argmax(axis=1)
        changed = texts.ask([other_words(rng, text, 2, texts.vocabulary) for text in some]).argmax(axis=1)
        return float((labels == changed).mean())

    assert kept(texts.members()[:400]) > kept(texts.own()[:300]) - 0.05


def test_texts_and_numbers_do_not_mix(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the inputs of messages are texts that are written; zoo cannot"):
        make(tmp_path, 1, False, 5, 5, ["zoo"], models=["messages"])
    with pytest.raises(ValueError, match="the inputs of digits are numbers; greedy_words cannot"):
        make(tmp_path, 1, False, 5, 5, ["greedy_words"], models=["digits"])
    iris = train("iris", 1)
    with pytest.raises(TypeError, match="no texts that anybody writes"):
        Client(iris.population, np.random.default_rng(1), np.ones(3) / 3).texts(1)
    with pytest.raises(ValueError, match="does not take texts"):
        Writer(Attacker(Recorder(iris, 5, 9), np.random.default_rng(1), 5)).own()
    assert not set(WORDED) & set(ATTACKS)


def test_a_trace_of_texts_is_the_same_again(tmp_path: Path) -> None:
    made = [
        make(tmp_path / name, SEED, False, 20, 20, ["slot_filling"], queries=(20, 30), models=["messages"])
        for name in ("a", "b")
    ]
    assert made[0] == made[1]
    for name in ("history.ndjson.gz", "trace.ndjson.gz"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
