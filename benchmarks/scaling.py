"""Cost against length: `python -m benchmarks.scaling ../shared/corpus --json FILE --minutes 1 5 20 60`.

Films of several lengths (`benchmarks.film`), each separated by our command with one model and without the gate; and by
Demucs 4.0.1's command and our command with HTDemucs, up to the length of `--peer-minutes`. `docs.performance_page`
draws what comes of it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.film import SEED, Corpus, write_film
from benchmarks.peers import UNGATED
from benchmarks.performance import (
    QUICK_SECONDS,
    Conditions,
    Contest,
    Scaling,
    arguments,
    length,
    read_performance,
    report,
    workplace,
    write_part,
)
from benchmarks.separation import OURS, PINNED, contested, programs, versions, warm_up

MINUTES = (1.0, 5.0, 20.0, 60.0)
PEER_MINUTES = 5.0
MODEL = "spleeter"


def named(model: str) -> str:
    """What our command with a model is called.

    >>> named("spleeter")
    'stemscribe, spleeter'
    """
    return f"{OURS}, {model}"


def measure(asked: argparse.Namespace, work: Path) -> None:
    """Every length in turn; the figures are written after each round."""
    conditions = Conditions.here(versions(None))
    before = read_performance(asked.json).scaling if asked.resume else None
    known = before if before and before.conditions.match(conditions) and before.model == asked.model else None
    kept = {one.media: one for one in known.contests} if known else {}
    ours = {named(model): (*UNGATED, "--separation-model", model) for model in dict.fromkeys((asked.model, "htdemucs"))}
    everything = programs(work, None, ours)
    corpus, done, warm = Corpus.of(asked.corpus), dict[str, Contest](), False
    for minutes in (QUICK_SECONDS / 60,) if asked.quick else asked.minutes:
        film = work / "film.wav"
        write_film(film, corpus, minutes, SEED)
        chosen = everything if minutes <= asked.peer_minutes else {named(asked.model): everything[named(asked.model)]}
        chosen = {name: program for name, program in chosen.items() if name in (*ours, PINNED)}
        if not warm:
            warm_up(chosen, film, work)
            warm = True
        name = f"{minutes:g} min"
        done[name] = kept.get(name, Contest(name, length(film)))
        for contest in contested(done[name], film, chosen, 1 if asked.quick else asked.pairs, work):
            done[name] = contest
            write_part(asked.json, scaling=Scaling(conditions, asked.model, tuple(done.values())))
            print(report(contest, named(asked.model)), flush=True)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--minutes", type=float, nargs="+", default=list(MINUTES))
    parser.add_argument("--peer-minutes", type=float, default=PEER_MINUTES, help="no longer films for the others")
    parser.add_argument("--model", default=MODEL, help=f"of ours [{MODEL}]")
    asked = parser.parse_args()
    with workplace(asked) as work:
        measure(asked, work)


if __name__ == "__main__":
    main()
