"""Names of languages: what films and users write, and the one code that everything here uses.

Containers tag their tracks with ISO 639-2 (`hin`, and `ger` or `deu`), Whisper and users say ISO 639-1 (`hi`). The
mapping is that of the `langcodes` library.
"""

from __future__ import annotations

AUTO = "auto"


def standard_code(tag: str) -> str:
    """The shortest standard code of a language, without region or script; empty where the tag says nothing.

    >>> standard_code("hin"), standard_code("ger"), standard_code("en-US"), standard_code("und")
    ('hi', 'de', 'en', '')
    """
    import langcodes
    from langcodes.tag_parser import LanguageTagError

    try:
        return langcodes.get(tag).language or ""
    except LanguageTagError:
        return ""
