"""Places: provinces of Turkey and countries, however a form or a person wrote them.

A province is known by its ISO 3166-2 code (`TR-34`), by its plate number (34) or by its name in
any case and with or without Turkish letters (İSTANBUL, Sanliurfa); a few former and everyday names
count too. Letters are compared without their marks and without the dot of the i, which is what
makes capitals written on a Turkish and on an English keyboard the same.

Sources: ISO 3166-2:TR (the number is the plate number of the province, Karayolları Trafik
Yönetmeliği, annex); ISO 3166-1 (249 countries).
"""

import re
import unicodedata

# In the order of their plate numbers, from 1.
PROVINCES = (
    "Adana", "Adıyaman", "Afyonkarahisar", "Ağrı", "Amasya", "Ankara", "Antalya", "Artvin",
    "Aydın", "Balıkesir", "Bilecik", "Bingöl", "Bitlis", "Bolu", "Burdur", "Bursa",
    "Çanakkale", "Çankırı", "Çorum", "Denizli", "Diyarbakır", "Edirne", "Elazığ", "Erzincan",
    "Erzurum", "Eskişehir", "Gaziantep", "Giresun", "Gümüşhane", "Hakkâri", "Hatay", "Isparta",
    "Mersin", "İstanbul", "İzmir", "Kars", "Kastamonu", "Kayseri", "Kırklareli", "Kırşehir",
    "Kocaeli", "Konya", "Kütahya", "Malatya", "Manisa", "Kahramanmaraş", "Mardin", "Muğla",
    "Muş", "Nevşehir", "Niğde", "Ordu", "Rize", "Sakarya", "Samsun", "Siirt", "Sinop", "Sivas",
    "Tekirdağ", "Tokat", "Trabzon", "Tunceli", "Şanlıurfa", "Uşak", "Van", "Yozgat",
    "Zonguldak", "Aksaray", "Bayburt", "Karaman", "Kırıkkale", "Batman", "Şırnak", "Bartın",
    "Ardahan", "Iğdır", "Yalova", "Karabük", "Kilis", "Osmaniye", "Düzce",
)  # fmt: skip
EVERYDAY_NAMES = {
    "afyon": "TR-03", "antakya": "TR-31", "antep": "TR-27", "icel": "TR-33", "izmit": "TR-41",
    "adapazari": "TR-54", "maras": "TR-46", "kmaras": "TR-46", "urfa": "TR-63",
}  # fmt: skip
_ISO_3166_1 = """
AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ
BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM
DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS
GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN
KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ
MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM
PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV
SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI
VN VU WF WS YE YT ZA ZM ZW
"""
COUNTRIES = frozenset(_ISO_3166_1.split())
COUNTRY_OTHER = "XX"

_CODE = re.compile(r"(?:tr)?0*([1-9][0-9]?)\Z")


def folded(text: str) -> str:
    """Return `text` in small letters without marks, dots of the i, and surplus spaces.

    >>> folded("  İSTANBUL "), folded("Şanlıurfa"), folded("IĞDIR")
    ('istanbul', 'sanliurfa', 'igdir')
    """
    small = text.casefold()
    if not small.isascii():
        parts = unicodedata.normalize("NFKD", small)
        small = "".join(sign for sign in parts if not unicodedata.combining(sign))
        small = small.replace("ı", "i")
    return " ".join(small.split())


_BY_NAME = {
    **{folded(name): f"TR-{number:02}" for number, name in enumerate(PROVINCES, start=1)},
    **EVERYDAY_NAMES,
}


def province_code(text: str) -> str | None:
    """Return the ISO 3166-2 code of the province that `text` names, None where it names none.

    >>> province_code("TR-34"), province_code("tr_63"), province_code("7"), province_code("Urfa")
    ('TR-34', 'TR-63', 'TR-07', 'TR-63')
    """
    name = "".join(sign for sign in folded(text) if sign.isalnum())
    found = _CODE.match(name)
    if found is None:
        return _BY_NAME.get(name)
    number = int(found[1])
    return f"TR-{number:02}" if number <= len(PROVINCES) else None


def country_code(text: str) -> str | None:
    """Return the ISO 3166-1 code (two letters; XX: another) in `text`, None where it is none."""
    code = text.strip().upper()
    return code if code in COUNTRIES or code == COUNTRY_OTHER else None


def province_name(code: str) -> str:
    """Return the name of a province by its code, or the code where it is not one.

    >>> province_name("TR-63"), province_name("?")
    ('Şanlıurfa', '?')
    """
    number = code.removeprefix("TR-")
    known = number.isdecimal() and 0 < int(number) <= len(PROVINCES)
    return PROVINCES[int(number) - 1] if known else code
