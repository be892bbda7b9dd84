"""The words in which a decision is explained, in Turkish, English and Arabic.

One table of sentences and one of names. A sentence is a `str.format` template, the same holes in
all three; a test compares them. Numbers keep Latin digits; Turkish puts a comma before decimals.
"""

from collections.abc import Mapping
from enum import StrEnum


class Language(StrEnum):
    """The languages in which people are answered."""

    TR = "tr"
    EN = "en"
    AR = "ar"  # written from right to left


Said = tuple[str, str, str]

# Order: Turkish, English, Arabic.
PHRASES: Mapping[str, Said] = {
    "eligible": ("Koşulları karşılıyor.", "The household qualifies.", "الأسرة مستوفية للشروط."),
    "ineligible": (
        "Koşulları karşılamıyor.",
        "The household does not qualify.",
        "الأسرة غير مستوفية للشروط.",
    ),
    "review": (
        "Bilgiler yeterli değil; bir çalışan bakacak.",
        "Not enough is known; people look at it.",
        "المعلومات غير كافية؛ سينظر فيها موظف.",
    ),
    "served_now": (
        "Şimdi destekleniyor (sıra {rank}).", "Served now (rank {rank}).",
        "تُخدم الآن (الترتيب {rank}).",
    ),
    "served_waits": (
        "Bekleme listesinde, sıra {position}.", "On the waiting list, position {position}.",
        "على قائمة الانتظار، الموضع {position}.",
    ),
    "served_no": ("Şimdi desteklenmiyor.", "Not served now.", "لا تُخدم الآن."),
    "served_nothing_due": (
        "Bu dönemde ödenecek bir tutar yok.", "Nothing is due in this cycle.",
        "لا مبلغ مستحق في هذه الدورة.",
    ),
    "served_taken": (
        "Önce gelen {what} kurallarıyla destekleniyor.",
        "Taken by the rules {what}, which come first.",
        "أخذتها القواعد {what} التي تأتي أولًا.",
    ),
    "served_open": (
        "Önce gelen {what} kuralları için bakılması gerekiyor.",
        "To be looked at for the rules {what}, which come first.",
        "يجب النظر فيها وفق القواعد {what} التي تأتي أولًا.",
    ),
    "served_excluded": (
        "Değerlendirmeden önce çıkarıldı: {what}.", "Taken out before the run: {what}.",
        "استُبعدت قبل التقييم: {what}.",
    ),
    "served_promoted": (
        "Bekleme listesinden alındı, şimdi destekleniyor.",
        "Promoted from the waiting list, served now.",
        "نُقلت من قائمة الانتظار، وتُخدم الآن.",
    ),
    "served_listed": (
        "Takdir listesinden destekleniyor.", "Served from the discretionary list.",
        "تُخدم من القائمة التقديرية.",
    ),
    "served_left": (
        "Dönemden ayrıldı ({on}): {reason}.", "Left the cycle ({on}): {reason}.",
        "غادرت الدورة ({on}): {reason}.",
    ),
    "of_run": (
        "Değerlendirme {run}, veri özeti {snapshot}", "Run {run}, snapshot {snapshot}",
        "التقييم {run}، اللقطة {snapshot}",
    ),
    "decided_on": (
        "{on} günü itibarıyla, {pack} kuralları",
        "As of {on}, by the rules {pack}",
        "بتاريخ {on}، وفق القواعد {pack}",
    ),
    "gates": (
        "Şunların hepsi gerekli:",
        "All of these are needed:",
        "كل ما يلي مطلوب:",
    ),
    "any_of": (
        "Şunlardan en az biri gerekli:",
        "At least one of these is needed:",
        "واحد على الأقل مما يلي مطلوب:",
    ),
    "part_all": ("hepsi gerekli:", "all of:", "كلها مطلوبة:"),
    "part_any": ("biri yeterli:", "one of:", "واحد منها يكفي:"),
    "pass": ("evet", "yes", "نعم"),
    "fail": ("hayır", "no", "لا"),
    "unknown": ("bilinmiyor", "not known", "غير معروف"),
    "seen": ("{what}: {seen}, {needs}", "{what}: {seen}, {needs}", "{what}: {seen}، {needs}"),
    "at_least": ("en az {needs} olmalı", "needs {needs} or more", "المطلوب {needs} أو أكثر"),
    "more_than": (
        "{needs} değerinden çok olmalı", "needs more than {needs}", "المطلوب أكثر من {needs}",
    ),
    "at_most": ("en çok {needs} olmalı", "needs {needs} or less", "المطلوب {needs} أو أقل"),
    "less_than": (
        "{needs} değerinden az olmalı", "needs less than {needs}", "المطلوب أقل من {needs}",
    ),
    "is": ("{needs} olmalı", "needs {needs}", "المطلوب {needs}"),
    "is_not": ("{needs} olmamalı", "needs anything but {needs}", "المطلوب غير {needs}"),
    "among": (
        "şunlardan biri olmalı: {needs}", "needs one of: {needs}", "المطلوب واحد من: {needs}",
    ),
    "not_among": (
        "şunlardan biri olmamalı: {needs}", "needs none of: {needs}",
        "المطلوب ألّا يكون من: {needs}",
    ),
    "range": ("{low} ile {high} arası", "{low} to {high}", "من {low} إلى {high}"),
    "from": ("{low} veya daha çok", "{low} or more", "{low} أو أكثر"),
    "up_to": ("en çok {high}", "at most {high}", "{high} على الأكثر"),
    "people": ("kişi sayısı", "number of people", "عدد الأفراد"),
    "people_where": (
        "şu kişilerin sayısı: {where}", "number of people with {where}",
        "عدد الأفراد الذين: {where}",
    ),
    "sum": ("{value} toplamı", "sum of {value}", "مجموع {value}"),
    "min": ("en düşük {value}", "lowest {value}", "أدنى {value}"),
    "max": ("en yüksek {value}", "highest {value}", "أعلى {value}"),
    "of_people": ("{value} (şu kişiler: {where})", "{value} of people with {where}",
                  "{value} للأفراد الذين: {where}"),
    "ratio": ("{above} / {below} oranı", "ratio of {above} to {below}", "نسبة {above} إلى {below}"),
    "and": ("ve", "and", "و"),
    "or": ("veya", "or", "أو"),
    "not": ("değil: {it}", "not {it}", "ليس {it}"),
    "choice": (
        "{when} ise {then}, değilse {other}",
        "{then} if {when}, otherwise {other}",
        "{then} إذا {when}، وإلا {other}",
    ),
    "members": (
        "sayılan üyeler: {numbers}", "members counted: {numbers}", "الأفراد المحسوبون: {numbers}",
    ),
    "maybe": (
        "sayılabilecek üyeler: {numbers}", "members who may count: {numbers}",
        "أفراد قد يُحسبون: {numbers}",
    ),
    "closest": (
        "en yakın {number}. üye: {tests}", "closest is member {number}: {tests}",
        "الأقرب الفرد رقم {number}: {tests}",
    ),
    "leaves": (
        "sayılmamaya en yakın {number}. üye: {tests}",
        "closest to not being counted is member {number}: {tests}",
        "الأقرب إلى عدم الحساب الفرد رقم {number}: {tests}",
    ),
    "lacks": ("En yakın eşik:", "Nearest threshold:", "أقرب حد:"),
    "margin": ("Sınıra uzaklık:", "What holds it there:", "ما يبقيها مستوفية:"),
    "open": ("Bilinmesi gereken:", "What has to be known:", "ما يجب معرفته:"),
    "size": ("hanedeki kişi sayısı", "how many people live in the household", "عدد أفراد الأسرة"),
    "score": ("sıralama puanı", "the score for the order", "درجة الترتيب"),
    "stratum": ("kotanın yeri", "the place for the quota", "مكان الحصة"),
    "facts": ("Sayılanlar:", "What was counted:", "ما تم حسابه:"),
    "fact": (
        "{name} = {value}: {meaning}", "{name} = {value}: {meaning}", "{name} = {value}: {meaning}",
    ),
    "parameters": ("Yürürlükteki değerler:", "Values in force:", "القيم السارية:"),
    "parameter": (
        "{name} = {value}, {since} gününden beri; kaynak: {source}",
        "{name} = {value}, since {since}; source: {source}",
        "{name} = {value}، منذ {since}؛ المصدر: {source}",
    ),
    "amount": (
        "Tutar: {amount} ({people} kişi için)", "Amount: {amount} (household of {people})",
        "المبلغ: {amount} (لعدد {people} من الأفراد)",
    ),
    "component": ("{name}: {amount}", "{name}: {amount}", "{name}: {amount}"),
    "base": ("temel tutar", "base", "المبلغ الأساسي"),
    "rounded_to": (
        "{amount} katına yuvarlanır", "rounded to a multiple of {amount}",
        "يُقرَّب إلى مضاعفات {amount}",
    ),
    "held_least": ("en az {amount}", "at least {amount}", "لا يقل عن {amount}"),
    "held_most": ("en çok {amount}", "at most {amount}", "لا يزيد على {amount}"),
    "instalment": (
        "Taksit {name}: toplam {whole} tutarının {share}/{of} payı",
        "Instalment {name}: {share}/{of} of {whole} in all",
        "الدفعة {name}: {share}/{of} من المبلغ الكلي {whole}",
    ),
    "amount_open": ("tutar", "the amount", "المبلغ"),
    "household_size": ("hanedeki kişi", "people of the household", "أفراد الأسرة"),
    "looked_up": ("{term} için tablo değeri", "table value for {term}", "قيمة الجدول لـ {term}"),
    "score_is": ("Puan: {score}", "Score: {score}", "الدرجة: {score}"),
    "zero_pass": (
        "bölünecek kişi yok; kural buna evet der", "nobody to divide by; the rule says yes to that",
        "لا أحد للقسمة عليه؛ القاعدة تقبل ذلك",
    ),
    "zero_fail": (
        "bölünecek kişi yok; kural buna hayır der", "nobody to divide by; the rule says no to that",
        "لا أحد للقسمة عليه؛ القاعدة ترفض ذلك",
    ),
    "zero_unknown": (
        "bölünecek kişi olmayabilir", "there may be nobody to divide by", "قد لا يوجد من يُقسم عليه",
    ),
    "on_unknown_pass": (
        "bilinmiyorsa kural evet der", "where it is not known, the rule says yes",
        "إن لم يُعرف فالقاعدة تقبل",
    ),
    "on_unknown_fail": (
        "bilinmiyorsa kural hayır der", "where it is not known, the rule says no",
        "إن لم يُعرف فالقاعدة ترفض",
    ),
}  # fmt: skip

# What the standard columns are called.
NAMES: Mapping[str, Said] = {
    "age": ("yaş", "age", "العمر"),
    "birth_date": ("doğum tarihi", "birth date", "تاريخ الميلاد"),
    "birth_date_precision": (
        "doğum tarihinin kesinliği", "precision of the birth date", "دقة تاريخ الميلاد",
    ),
    "declared_size": ("beyan edilen kişi sayısı", "declared size", "عدد الأفراد المصرح به"),
    "disability_percent": ("engel oranı", "disability per cent", "نسبة الإعاقة"),
    "district": ("ilçe", "district", "القضاء"),
    "has_roster": ("üye listesi tam", "the list of members is complete", "قائمة الأفراد كاملة"),
    "household_id": ("hane", "household", "الأسرة"),
    "member_no": ("üye numarası", "number of the member", "رقم الفرد"),
    "nationality": ("uyruk", "nationality", "الجنسية"),
    "population_group": ("nüfus grubu", "population group", "الفئة السكانية"),
    "province": ("il", "province", "الولاية"),
    "reference_date": ("esas gün", "reference date", "تاريخ الاحتساب"),
    "relationship": ("yakınlık", "relationship", "صلة القرابة"),
    "sex": ("cinsiyet", "sex", "الجنس"),
}  # fmt: skip
_ORDER = {Language.TR: 0, Language.EN: 1, Language.AR: 2}


def phrase(code: str, language: Language, **holes: object) -> str:
    """Return the sentence `code` in `language`, its holes filled.

    >>> phrase("at_least", Language.EN, needs="1.50")
    'needs 1.50 or more'
    """
    return PHRASES[code][_ORDER[language]].format(**holes)


def name_of(name: str, language: Language) -> str:
    """Return what a standard column is called; another name, with spaces for its underscores."""
    said = NAMES.get(name)
    return said[_ORDER[language]] if said else name.replace("_", " ")
