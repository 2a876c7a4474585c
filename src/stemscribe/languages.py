"""Names of languages: what films and users write, and the one code that everything here uses.

Containers tag their tracks with ISO 639-2 (`hin`, and `ger` or `deu`), Whisper and users say ISO 639-1 (`hi`). The
mapping is that of the `langcodes` library.
"""

from __future__ import annotations

AUTO = "auto"
UNDETERMINED = "und"


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


def three_letters(code: str) -> str:
    """The ISO 639-2 code by which containers tag a track; `und` where a language has none.

    >>> three_letters("hi"), three_letters("jw"), three_letters("")
    ('hin', 'jav', 'und')
    """
    import langcodes

    try:
        return langcodes.get(standard_code(code) or UNDETERMINED).to_alpha3()
    except LookupError:
        return UNDETERMINED


def english_name(code: str) -> str:
    """The English name of a language that Whisper knows; of another one its code.

    >>> english_name("hi"), english_name("nb"), english_name("tlh"), english_name("")
    ('Hindi', 'Norwegian', 'tlh', '')
    """
    standard = standard_code(code)
    return _NAMES.get(standard, standard)


# langcodes knows names only with a package of 7 MB.
_LISTED = (
    "af=Afrikaans am=Amharic ar=Arabic as=Assamese az=Azerbaijani ba=Bashkir be=Belarusian bg=Bulgarian "
    "bn=Bengali bo=Tibetan br=Breton bs=Bosnian ca=Catalan cs=Czech cy=Welsh da=Danish de=German el=Greek "
    "en=English es=Spanish et=Estonian eu=Basque fa=Persian fi=Finnish fil=Filipino fo=Faroese fr=French "
    "gl=Galician gu=Gujarati ha=Hausa haw=Hawaiian he=Hebrew hi=Hindi hr=Croatian ht=Haitian_Creole "
    "hu=Hungarian hy=Armenian id=Indonesian is=Icelandic it=Italian ja=Japanese jv=Javanese ka=Georgian "
    "kk=Kazakh km=Khmer kn=Kannada ko=Korean la=Latin lb=Luxembourgish ln=Lingala lo=Lao lt=Lithuanian "
    "lv=Latvian mg=Malagasy mi=Maori mk=Macedonian ml=Malayalam mn=Mongolian mr=Marathi ms=Malay mt=Maltese "
    "my=Burmese nb=Norwegian ne=Nepali nl=Dutch nn=Norwegian_Nynorsk no=Norwegian oc=Occitan pa=Punjabi "
    "pl=Polish ps=Pashto pt=Portuguese ro=Romanian ru=Russian sa=Sanskrit sd=Sindhi si=Sinhala sk=Slovak "
    "sl=Slovenian sn=Shona so=Somali sq=Albanian sr=Serbian su=Sundanese sv=Swedish sw=Swahili ta=Tamil "
    "te=Telugu tg=Tajik th=Thai tk=Turkmen tl=Tagalog tr=Turkish tt=Tatar uk=Ukrainian ur=Urdu uz=Uzbek "
    "vi=Vietnamese yi=Yiddish yo=Yoruba yue=Cantonese zh=Chinese"
)
_NAMES = {code: name.replace("_", " ") for code, _, name in (pair.partition("=") for pair in _LISTED.split())}
