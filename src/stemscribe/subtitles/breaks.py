"""How much a reader loses when the text is broken between two tokens.

The costs are ours, and relative: nothing at the end of a sentence, much after an article, most inside a word. Their
order follows what subtitlers agree on (break at sentences, then at clauses, then before conjunctions and
prepositions, and keep an article with its noun).
"""

from __future__ import annotations

import unicodedata

from stemscribe.subtitles.display import is_spaceless
from stemscribe.subtitles.tokens import Joint, Token

SENTENCE, CLAUSE, BEFORE_OPENER, PLAIN, AT_WORD, AFTER_OPENER, INSIDE = 0.0, 2.0, 4.0, 6.0, 8.0, 9.0, 11.0
PAUSE_RELIEF, PAUSE_FULL = 4.0, 500  # a silence of so many milliseconds makes a break this much better

SENTENCE_ENDS = frozenset(".!?…।॥؟۔。！？．")
CLAUSE_ENDS = frozenset(",;:–—،؛、，；：")
CLOSERS = "\"'”’»)]）」』】"
ABBREVIATIONS = frozenset(["mr.", "mrs.", "ms.", "dr.", "prof.", "st.", "sr.", "jr."])

# Words that open what follows them: conjunctions, prepositions, articles. Hindi has postpositions, which stay with
# the word before them.
OPENERS = {
    "en": "and or but nor so yet that which who whom whose because although though while when where if than as "
    "of in on at to for from with without by about into through over under between the a an my your his "
    "her its our their",
    "de": "und oder aber denn sondern dass weil obwohl während wenn als ob der die das den dem des ein eine "
    "einen einem einer eines in im an am auf aus bei mit nach von vom zu zum zur für durch ohne gegen um "
    "über unter vor zwischen",
    "fr": "et ou mais donc car ni que qui dont où quand lorsque si comme le la les un une des du de au aux à en "
    "dans par pour sur sous avec sans chez vers entre mon ton son ma ta sa mes tes ses notre votre leur",
    "es": "y e o u pero sino que quien cuando donde si como porque aunque el la los las un una unos unas de del "
    "a al en con sin por para sobre entre hacia hasta desde mi tu su mis tus sus",
    "hi": "और या लेकिन मगर परन्तु कि क्योंकि जब तब जो जहाँ अगर तो तथा एवं बल्कि ताकि जैसे",
}
OPENER_SETS = {language: frozenset(words.split()) for language, words in OPENERS.items()}


def break_cost(before: Token, after: Token) -> float:
    """What a break between two neighbours costs, 0 (best) to `INSIDE`; a pause between them makes it cheaper."""
    relief = PAUSE_RELIEF * min(1.0, silence(before, after) / PAUSE_FULL)
    return max(SENTENCE, _textual_cost(before, after) - relief)


def silence(before: Token, after: Token) -> int:
    """The milliseconds between two tokens, never negative."""
    return max(0, after.start - before.end)


def _textual_cost(before: Token, after: Token) -> float:
    if ends_sentence(before, after):
        return SENTENCE
    if after.joint is Joint.SEGMENT or _ends_clause(before, after):
        return CLAUSE
    if after.joint is Joint.INSIDE:
        return AT_WORD if _turns_from_kana(before, after) else INSIDE
    if after.joint is Joint.WORD:
        return AT_WORD
    if _is_opener(before):
        return AFTER_OPENER
    return BEFORE_OPENER if _is_opener(after) else PLAIN


def ends_sentence(before: Token, after: Token) -> bool:
    """Whether a sentence is over at the end of a token; neither "Dr." nor an initial ends one."""
    text = before.text.rstrip(CLOSERS)
    if not text or text[-1] not in SENTENCE_ENDS or not _can_end(text, after):
        return False
    is_initial = len(text) == 2 and text[0].isupper() and text != "I." and text[-1] == "."
    return not is_initial and text.lower() not in ABBREVIATIONS


def _ends_clause(before: Token, after: Token) -> bool:
    text = before.text.rstrip(CLOSERS) or before.text
    return text[-1] in CLAUSE_ENDS and _can_end(text, after)


def _can_end(text: str, after: Token) -> bool:
    """Punctuation ends something only before a space, except where the script has none: not in "3.5"."""
    return bool(after.space) or is_spaceless(text[-1])


def _turns_from_kana(before: Token, after: Token) -> bool:
    """Whether hiragana end here: in Japanese they inflect the word before them, so what follows is likely a new one."""
    return _is_hiragana(before.text[-1]) and not _is_hiragana(after.text[0])


def _is_hiragana(character: str) -> bool:
    return unicodedata.name(character, "").startswith("HIRAGANA")


def _is_opener(token: Token) -> bool:
    if token.text.lower() in ABBREVIATIONS:
        return True
    return token.text.lower().strip("¿¡«“\"'(") in OPENER_SETS.get(token.language, frozenset())
