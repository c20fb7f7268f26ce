"""Everyday texts that books lack: names, dates, times, money, addresses, lists, abbreviations, plain sentences."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from text_recognizer.synthesis.sources.choices import Random, pick, split
from text_recognizer.synthesis.sources.technical import technical_line

TECHNICAL = 0.25  # share of notes that are code, Markdown or mathematics


_FIRST = split(
    "James Mary John Patricia Robert Jennifer Michael Linda William Elizabeth David Barbara Richard Susan Joseph "
    "Jessica Thomas Sarah Charles Karen Christopher Nancy Daniel Lisa Matthew Betty Anthony Helen Mark Sandra "
    "Paul Ashley Steven Emily Andrew Donna George Michelle Kenneth Carol Joshua Amanda Kevin Dorothy Brian "
    "Melissa Edward Deborah Ronald Anna Tim Rebecca Jason Laura Jeff Sharon Ryan Cynthia Jacob Kathleen Gary Amy "
    "Nick Angela Eric Ruth Jon Brenda Stephen Pam Larry Nicole Justin Katie Scott Sam Frank Christine Ben Emma "
    "Greg Olivia Ray Alice Jack Grace Dennis Judy Jerry Hannah Alexander Rose Patrick Victoria Henry Julia Peter "
    "Joan Harry Evelyn Arthur Lily Oliver Amelia Hugo Zoe Ivan Priya Omar Yusuf Mei Kenji Fatima Lars Ingrid "
    "Sofia Diego Quentin Xavier Zachary Ursula Vera Wendy Yvonne Kit Max Una",
)
_LAST = split(
    "Smith Johnson Williams Brown Jones Garcia Miller Davis Wilson Anderson Taylor Thomas Moore Jackson Martin "
    "Lee Thompson White Harris Clark Lewis Robinson Walker Young Allen King Wright Scott Hill Green Adams Nelson "
    "Baker Hall Campbell Mitchell Carter Roberts Turner Phillips Evans Parker Edwards Collins Stewart Morris "
    "Murphy Cook Rogers Bell Bailey Cooper Reed Kelly Howard Ward Cox Gray James Watson Brooks Bennett Wood "
    "Price Ross Henderson Hughes Foster Long Powell Fisher Ford Hunt Knight Webb Marsh Quinn O'Neill O'Brien "
    "McDonald MacKay Fitzgerald Van Dyke Zimmerman Vaughan Jenkins Xu Zhang Patel Singh Khan Nguyen Kowalski "
    "Novak Fischer Weber Schmidt Jansen de Vries Rossi Silva Lopez Yamamoto",
)
_FOREIGN = split(
    "café fiancée résumé déjà-vu crème garçon façade français Zürich München Köln Düsseldorf Göteborg Malmö "
    "señor mañana España Montréal Québec Genève fête forêt tête-à-tête voilà père mère frère élève Noël§ über "
    "schön für Mädchen Männer Bäckerei jalapeño piñata cliché entrée protégé soufflé soirée décor début matinée "
    "née à la carte, Besançon, leçon Müller Schröder Jäger Björn Åke§ André René José Zoë§ Chloé Hélène François "
    "Begoña Nuñez Peña Büro Öl Übung Ärger première après très même être près école été vérité idée "
    # French, German, Spanish, Italian
    "À Â Ç’est Éric État Église Être Ève Île Œuvre œuvre cœur sœur œil bœuf île goûter août où là déjà Noëlle naïf "
    "maïs ambiguë Haÿ L’Haÿ-les-Roses hôtel côte tôt sûr dû Ô Ûtre Straße weiß heißen groß Grüße Gruß Fußball süß Maß "
    "Ähre Äpfel Öfen Österreich Überall Übrigens schließlich müßte días café mamá papá aquí así sí también razón "
    "corazón habitación adiós más útil último número según qué cómo cuándo Ángel Álvaro Éxito Íñigo Óscar Úrsula Ñandú "
    "niño año pingüino vergüenza María José Martínez Pérez Gómez Rodríguez Hernández López però città è È perché più "
    "già così lunedì università caffè virtù ciò Ò Ì Ù finché né sì là "
    # Portuguese, Dutch, Danish, Norwegian, Swedish
    "não São João coração ação nação informação mãe pão avó avô você três português Ângela Ãs irmã amanhã órgão água "
    "câmara lâmpada pôr Ônibus Õ corações lições põe Êxito êxito até também só às à Às één ideeën coëfficiënt België "
    "Ëlla vóór reünie financiën geïnteresseerd Ïsa zeeën knieën København Århus Ærø Ærlig ærlig kærlighed præst "
    "Tromsø Øyvind Østfold Ørsted brød smørrebrød grønn fjørde øl Ålesund på får også måned båt Bodø gå små Åsa Göran "
    "Östersund Älvdalen när här är för människa själv blå grå sjö två åtta Ýr Kristjánsson Sigurður",
)
_FOREIGN_WORDS = tuple(w.strip(",") for w in _FOREIGN if "§" not in w and not set(w) & set("Ýð"))
_MONTHS = split(
    "January February March April May June July August September October November December",
)
_SHORT_MONTHS = split(
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec",
)
_DAYS = split(
    "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
)
_STREETS = split(
    "High Church Station Park Victoria Mill Queen King Main Oak Elm Maple Cedar Hill Lake River Spring School "
    "North South Washington Lincoln Walnut Chestnut Bridge Castle Green Manor London York Albert Windsor",
)
_WAYS = split(
    "Street Road Avenue Lane Drive Close Place Square St. Rd Ave. Ln Dr. Blvd Court Terrace Way",
)
_TOWNS = split(
    "London Boston Leeds York Bristol Dublin Chicago Denver Austin Portland Oxford Cambridge Bath Exeter Norwich "
    "Lincoln Springfield Salem Madison Phoenix Dallas Atlanta Seattle Houston Toronto Glasgow Cardiff Belfast "
    "Perth Sydney Auckland",
)
_GOODS = split(
    "milk bread butter eggs cheese apples bananas potatoes onions carrots rice pasta flour sugar salt pepper tea "
    "coffee soap batteries stamps envelopes paper pens candles nails screws paint string tape oil vinegar "
    "yoghurt honey jam fish chicken beef ham lettuce tomatoes cucumber lemons grapes plums biscuits chocolate "
    "juice water cereal oats beans lentils garlic mushrooms parsley toothpaste shampoo matches bulbs rope glue "
    "boxes towels socks gloves",
)
_UNITS = split(
    "kg g lb oz ml l cm mm m km ft in. pcs pkts tins boxes bags cups tbsp tsp doz.",
)
_TASKS = split(
    "call the dentist|pay the rent|post the letters|book the train|water the plants|fix the tap|"
    "return library books|buy a present for {f}|email {f} {l}|collect the parcel|clean the kitchen|"
    "order more paper|check the figures|sign the form|ring {f} back|send the invoice|update the list|"
    "feed the cat|renew the passport|finish the report|ask {f} about the keys|meet {f} at {t}|take the car in|"
    "read chapter {n}|practise the piano|print the tickets|see Dr {l} re. knee|charge the phone|"
    "back up the files|cancel the order|find the receipt|pick up {f} from school",
    "|",
)
_NOTES = split(
    "Dear {f},|Dear Mr {l},|Dear Mrs. {l},|Dear Sir or Madam,|Hi {f},|My dear {f},|To whom it may concern,|"
    "Yours sincerely,|Yours faithfully, {f} {l}|Best wishes, {f}|With love from {f}|Kind regards, {f} {l}|"
    "Sincerely yours,|P.S. {task}|N.B. {task}!|Re: your letter of {d}|RE: order no. {num}|Ref. {code}|"
    "Attn: {f} {l}|c/o {f} {l}|From: {f} To: {f}|Thank you for your letter of {d}.|"
    "Many thanks for the {g} and the {g}.|I will be in {town} on {day}, {d}.|"
    "Please call me on {phone} before {t}.|Meeting with {f} {l} at {t} ({day})|Tel. {phone}|"
    "Tel: {phone} ext. {n}|e-mail: {mail}|{mail}|www.{lname}.{tld}|http://www.{lname}.{tld}/{lf}|"
    "https://{lname}.{tld}/?id={num}|{addr}|{addr}|{f} {l}, {addr}|{town}, {d}|{day}, {d}|{day} {t}|{d}|{d}|"
    "{d}, {t}|Date: {d}|Name: {f} {l}|Signed: {f} {l}|Age: {n}|D.O.B. {dnum}|Total: {m}|Total due {m}|"
    "Subtotal {m}  VAT 20% {m}|Balance c/f {m}|Paid {m} by cheque no. {num}|Received from {f} {l} the sum of {m}|"
    "{n} x {g} @ {m} = {m}|{n} {u} {g}|{n} {u} of {g}|{g}, {g}, {g}|{g}, {g} and {g}|{g} - {n}|{g} ({n})|- {g}|"
    "- {n} {u} {g}|- {task}|* {task}|* {g}, {g}|{k}. {task}|{k}) {task}|({k}) {task}|{a}) {task}|({a}) {g}|"
    "[ ] {task}|[x] {task}|{k}. {f} {l}|{k}/ {g}|Room {n}, {ord} floor|Flat {n}, {addr}|Page {n} of {n}|p. {n}|"
    "pp. {n}-{n}|pp. {n}–{n}|Chapter {k}: {g}|Chapter {rom}|Ch. {k}, ex. {n}|Fig. {k}|Table {k}.{n}|see p. {n}|"
    "cf. {l} ({year})|{l} et al., {year}|{l} & {l} ({year}), p. {n}|{l} and {l}|{l} & Sons Ltd.|{l} & Co.|"
    "{l} Inc.|Mr. and Mrs. {l}|Mr & Mrs {f} {l}|Dr. {f} {l}|Prof. {l}|Rev. {f} {l}|Capt. {l}|Miss {f} {l}|"
    "{f} {i}. {l}|{i}. {i}. {l}|{f} {l}|{f} and {f}|{f}, {f} & {f}|{l}, {f}|{f} {l}-{l}|{f}'s {g}|{f}’s {g}|"
    "{l}, {f} ({year}-{year})|born {d}|{n}%|{n}.{k}% of {num}|{dec}%|{n}°C|{n}° C|approx. {n} {u}|c. {year}|"
    "{year}/{k}|in the {year}s|from {year} to {year}|{year}-{year}|{year}–{year}|{t} - {t}|{t}–{t}|{t} to {t}|"
    "at {t} sharp|before {t} on {day}|every {day} at {t}|{ord} {mon}|the {ord} of {mon}|week of {dnum}|on {dnum}|"
    "{dnum}|{dnum}|{num}|{num}|{dec}|{m}|{m}|{m} per week|{m}/kg|{m} each|{n} + {n} = {num}|{n} - {k} = {n}|"
    "{n} x {k} = {num}|{num} / {k} = {n}|{dec} * {k}|x = {n}|y = {k}x + {n}|a^2 + b^2 = c^2|f(x) = {k}x^2 - {n}|"
    "{n} < {num}|{num} > {n}|~{num}|{n}:{k}|{k}:{n}|1/2 {u}|{k}/{n}|{k} 1/2 {u}|No. {num}|no. {n}|#{n}|"
    "#{k}: {task}|Order #{num}|{code}|{code}|{code}-{n}|Invoice {code}|Account {num} {num}|"
    "Flight {code}, gate {n}|Bus {n}, Platform {k}|{phone}|+44 {phone}|({n}) {phone}|{n} miles|{n},000|"
    "{n},{num3}|{n}.{num3},-|i.e. {g}|e.g. {g}|etc.|{g}, {g}, etc.|viz. {g}|{g} vs. {g}|{g}/{g}|{g} + {g}|"
    '{g} & {g}|{g} = {m}|"{f}!"|"{task}?" asked {f}.|\'{g}\'|“{task},” said {f}.|({g})|({f} {l})|({d})|[{g}]|'
    '{{ {k}, {n} }}|{f}: "{task}."|{f}?|{f}!|Yes!|No?|OK|O.K.|Yes / No|Y/N|N/A|n/a|TBC|ASAP|R.S.V.P.|U.S.A.|U.K.|'
    "a.m.|p.m.|A.D. {year}|{year} B.C.|Sat. {t}|Mon.-Fri. {t}-{t}|Mon–Fri {t}–{t}|Tues, Wed & Thurs|lat. {n}° N|"
    "user_{lname}|{lname}_{n}|C:\\{lf}\\{lname}|$ {num}|100% {g}|{g}*|{g}…|…and {g}|…|and so on…|well… {task}|"
    "{f} — {task}|{f} – {g}|{day}: {task}|{day} – {task}|{t} {task}|{t}: {task}|{k}. {g}; {k}. {g}|{g}; {g}; {g}|"
    "{g}: {m}; {g}: {m}|Password: {code}!{k}|@{lname}|{f} @ {l}'s|{fw}|{fw} {fw}|{f} {fw}|{fw}, {d}|{m} ({fw})|"
    "Dr. {fw}|Hello {fw}!|To do:|To-do {day}:|Shopping list|Minutes of {d}|Present: {f}, {f}, {f} {l}|"
    "Apologies: {f} {l}|Agenda {d}|Contents|Notes|Question {k}|Q{k}: {task}?|A: {g}|Answer: {num}|Ex. {k}a)|"
    "Score: {k}-{k}|{f} {k} - {f} {k}|{f} ({n}), {f} ({n})|Grade {a}+|{a}|{k}|{n}|{num}|I|a|A|Ok.|{ord}|{rom}|"
    "• {g}|• {task}|• {g}, {g}|• {f} {l}|→ {task}|→ {g}|{g} → {g}|{g} ← {g}|{f} → {town}|☐ {task}|☐ {g}|☑ {task}|"
    "☑ {g}|✓ {g}|✓ {task}|{task} ✓|{n} × {k} = {num}|{n} ÷ {k} = {n}|{dec} × {n}|{n} × {n} cm|½ {u} {g}|{k}½ {u} {g}|"
    "¼ {u} {g}|¾ {u} {g}|{k} ¾ {u}|{n} m²|{n} km²|x² + y² = r²|§ {n}|§{k} {rom}|"
    "n.º {n}|{k}ª|{k}º|«{fw}»|« {fw} »|¿{fw}?|¡{fw}!|¿{fw} {fw}?|¡{fw} {fw}!|{fw} {fw} {fw}|{fw}, {fw}, {fw}|"
    "{rom}.|{i}.|{f}|{l}|{g}|{day}|{mon}|{town}|{mon} {year}|{smon} {year}|"
    # Heads of tables and labels of forms.
    "Item|Items|Qty|Qty.|Quantity|Price|Unit price|Amount|Amt|Cost|Total|Subtotal|Tax|VAT|Discount|Balance|Paid|Due|"
    "Item Qty Price Total|No. Name Date|Date Time Place|Name|First name|Last name|Surname|Address|Street|City|Zip code|"
    "Postcode|Country|Phone|Telephone|Mobile|E-mail|Date|Date of birth|Time|Signature|Description|Remarks|Unit|Units|"
    "Product|Order no.|Invoice no.|Customer|Dept.|Weight|Length|Width|Height|Size|Colour|Score|Rank|Points|Grade|"
    "Mon Tue Wed Thu Fri|Sat|Sun|In|Out|Hours|Qty {n}|Price {m}|Total {m}|{m} {m}|{n} {m} {m}|{g} {n} {m}",
    "|",
)
_WORDS_ONLY = split(
    "{d}|{m}|{t}|{n}|{num}|{year}|{dec}|{n}%|{f} {l}|{f}|{l}|Mr. {l}|Dr {l}|({year})|({n})|{town}|{day}|{mon}|"
    "{ord}|{n} {u}|\"{g}\"|“{g}”|'{g}'|({g})|{g}/{g}|{code}|e.g.|i.e.|{m},|{d},|{n}:{n2}|{f}'s|{f}’s|{fw}|—|–|…|;|"
    ":|&|etc.|No. {n}|p. {n}|[{n}]|*{g}|{n}-{n}|{n}–{n}|{year}-{year}|{i}.{i}.|{k}/{n}|#{n}|{n}°|{g}!|{g}?|{g};|"
    "{g}:",
    "|",
)


def _date(rng: Random) -> str:
    d, m, y = (int(v) for v in rng.integers((1, 0, 1850), (29, 12, 2031)))
    month, short = _MONTHS[m], _SHORT_MONTHS[m]
    return (
        lambda: f"{d} {month} {y}",
        lambda: f"{month} {d}, {y}",
        lambda: f"{d}{_suffix(d)} {month}",
        lambda: f"{month} {d}{_suffix(d)}, {y}",
        lambda: f"{d}{_suffix(d)} of {month} {y}",
        lambda: f"{d} {short} {y}",
        lambda: f"{short}. {d}, {y}",
        lambda: f"{short} {d}",
        lambda: f"{d} {short}. '{y % 100:02d}",
        lambda: _numeric_date(rng),
        lambda: _numeric_date(rng),
    )[int(rng.integers(11))]()


def _numeric_date(rng: Random) -> str:
    d, m, y = (int(v) for v in rng.integers((1, 1, 1900), (32, 13, 2031)))
    return (
        f"{d}/{m}/{y}",
        f"{d}.{m}.{y}",
        f"{d:02d}/{m:02d}/{y}",
        f"{y}-{m:02d}-{d:02d}",
        f"{m}/{d}/{y % 100:02d}",
        f"{d}-{m}-{y}",
        f"{d:02d}.{m:02d}.{y % 100:02d}",
        f"{d}/{m}",
    )[int(rng.integers(8))]


def _suffix(n: int) -> str:
    return "th" if 10 <= n % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")


def _ordinal(rng: Random) -> str:
    n = int(rng.integers(1, 32))
    return f"{n}{_suffix(n)}"


def _money(rng: Random) -> str:
    whole = int(10 ** rng.uniform(-0.4, 5))  # some amounts are below one
    cents = int(rng.integers(100))
    sign = "£$€$£"[int(rng.integers(5))]
    return (
        lambda: f"{sign}{whole}",
        lambda: f"{sign}{whole}.{cents:02d}",
        lambda: f"{sign}{whole:,}",
        lambda: f"{sign}{whole:,}.{cents:02d}",
        lambda: f"{sign} {whole}.{cents:02d}",
        lambda: f"{whole}.{cents:02d}",
        lambda: f"{whole},{cents:02d} €",
        lambda: f"{sign}{whole}.-",
        lambda: f"{cents}p",
        lambda: f"{sign}{whole / 10:.1f} million",
    )[int(rng.integers(10))]()


def _time(rng: Random) -> str:
    h, m = int(rng.integers(24)), int(rng.integers(60)) if rng.random() < 0.4 else int(rng.integers(12)) * 5
    twelve = h % 12 or 12
    return (
        f"{h}:{m:02d}",
        f"{h:02d}:{m:02d}",
        f"{twelve}.{m:02d} pm",
        f"{twelve}:{m:02d}am",
        f"{twelve} o'clock",
        f"{twelve} p.m.",
        f"{twelve}am",
        f"{h}.{m:02d}",
        f"{twelve}:{m:02d} AM",
        f"{twelve} o’clock",
        f"half past {twelve}",
    )[int(rng.integers(11))]


def _phone(rng: Random) -> str:
    a, b, c = (int(v) for v in rng.integers((100, 100, 1000), (999, 999, 9999)))
    return (
        f"{a}-{b}-{c}",
        f"({a}) {b}-{c}",
        f"0{a} {b} {c}",
        f"{a} {b} {c}",
        f"0{a}{b}{c}",
        f"{a}-{c}",
        f"0{a}/{b}{c}",
    )[int(rng.integers(7))]


def _address(rng: Random) -> str:
    n, code = int(10 ** rng.uniform(0, 3.6)), int(rng.integers(10000, 99999))
    street = f"{n} {pick(_STREETS, rng)} {pick(_WAYS, rng)}"
    town = pick(_TOWNS, rng)
    letters = _letters(rng, 3)
    return (
        street,
        f"{street}, {town}",
        f"{street}, {town} {code}",
        f"{street}, {town} {letters[0]}{n % 90 + 1} {n % 9 + 1}{letters[1:]}",
        f"{town} {code}",
        f"{town}, {letters[:2]} {code}",
        f"P.O. Box {n}, {town}",
    )[int(rng.integers(7))]


def _letters(rng: Random, n: int) -> str:
    return "".join(chr(65 + int(v)) for v in rng.integers(26, size=n))


def _code(rng: Random) -> str:
    letters, n = _letters(rng, 4), int(10 ** rng.uniform(1, 6))
    return (
        f"{letters[:2]}{n}",
        f"{letters[:3]}-{n}",
        f"{n}{letters[0]}",
        f"{letters}",
        f"{letters[:2]}/{n}",
        f"{n}-{letters[:2]}",
    )[int(rng.integers(6))]


def _mail(rng: Random) -> str:
    first, last = pick(_FIRST, rng).lower(), pick(_LAST, rng).lower().replace("'", "")
    n, end = int(rng.integers(1, 100)), pick(_TLDS, rng)
    forms = (f"{first}.{last}", f"{first}{n}", f"{first[0]}.{last}", f"{first}_{last}", f"{last}-{n}", "info")
    who = forms[int(rng.integers(6))]
    return f"{who}@{pick(_LAST, rng).lower().replace(chr(39), '')}.{end}"


_TLDS = split(
    "com org net co.uk edu de fr eu io",
)
_ROMAN = split(
    "I II III IV V VI VII VIII IX X XI XII XIV XV XVI XVIII XIX XX XXI XL",
)

_FIELDS: dict[str, Callable[[Random], str]] = {
    "f": lambda r: pick(_FIRST, r),
    "l": lambda r: pick(_LAST, r),
    "i": lambda r: _letters(r, 1),
    "a": lambda r: "abcdefABCDEF"[int(r.integers(12))],
    "g": lambda r: pick(_GOODS, r),
    "u": lambda r: pick(_UNITS, r),
    "d": _date,
    "dnum": _numeric_date,
    "day": lambda r: pick(_DAYS, r),
    "mon": lambda r: pick(_MONTHS, r),
    "smon": lambda r: pick(_SHORT_MONTHS, r),
    "year": lambda r: str(int(r.integers(1700, 2030))),
    "t": _time,
    "m": _money,
    "k": lambda r: str(int(r.integers(1, 10))),
    "n": lambda r: str(int(r.integers(1, 100))),
    "n2": lambda r: f"{int(r.integers(60)):02d}",
    "num": lambda r: str(int(10 ** r.uniform(1, 7))),
    "num3": lambda r: f"{int(r.integers(1000)):03d}",
    "dec": lambda r: f"{10 ** r.uniform(-2, 4):.{int(r.integers(1, 4))}f}",
    "ord": _ordinal,
    "rom": lambda r: pick(_ROMAN, r),
    "phone": _phone,
    "addr": _address,
    "town": lambda r: pick(_TOWNS, r),
    "code": _code,
    "mail": _mail,
    "lname": lambda r: pick(_LAST, r).lower().replace("'", ""),
    "lf": lambda r: pick(_GOODS, r),
    "tld": lambda r: pick(_TLDS, r),
    "fw": lambda r: foreign_word(r),
}


class _Template:
    """Literal text between fields, parsed once."""

    def __init__(self, source: str) -> None:
        self.parts: list[str | Callable[[Random], str]] = []
        rest = source.replace("{{", "\x00").replace("}}", "\x01")
        while rest:
            head, brace, tail = rest.partition("{")
            if head:
                self.parts.append(head.replace("\x00", "{").replace("\x01", "}"))
            if not brace:
                break
            name, _, rest = tail.partition("}")
            self.parts.append(_TASK_FIELD if name == "task" else _FIELDS[name])

    def fill(self, rng: Random) -> str:
        return "".join([p if isinstance(p, str) else p(rng) for p in self.parts])


_TASK_TEMPLATES: list[_Template] = []


def _TASK_FIELD(rng: Random) -> str:
    return _TASK_TEMPLATES[int(rng.integers(len(_TASK_TEMPLATES)))].fill(rng)


class Everyday:
    """Fills the templates of this module."""

    def __init__(self) -> None:
        _TASK_TEMPLATES[:] = [_Template(t) for t in _TASKS]
        self._lines = [_Template(t) for t in _NOTES]
        self._words = [_Template(t) for t in _WORDS_ONLY]

    def line(self, rng: Random) -> str:
        """A note, list item, date, sum, address or name, or a line of technical notes."""
        if rng.random() < TECHNICAL:
            return technical_line(rng)
        return self._lines[int(rng.integers(len(self._lines)))].fill(rng)

    def word(self, rng: Random) -> str:
        """A short piece to insert into running text."""
        return self._words[int(rng.integers(len(self._words)))].fill(rng)


def foreign_word(rng: Random) -> str:
    """A word with one of the accented letters of the alphabet."""
    return pick(_FOREIGN_WORDS, rng)


_LIST_MARKS = split(
    "• |• |• |- |- |- |– |* |→ |→ |☐ |☐ |☑ |✓ |✓ |{k}. |{k}. |{k}) |{k}) |({k}) |{n}. |{n}) |{k} |{k} |{k} |{a}) |"
    "{a}. ",
    "|",
)
_LIST_TEMPLATES = [_Template(mark) for mark in _LIST_MARKS]


def list_mark(rng: Random) -> str:
    """The beginning of a list item with its blank: a bullet, dash, arrow, box, tick, number or letter."""
    return _LIST_TEMPLATES[int(rng.integers(len(_LIST_TEMPLATES)))].fill(rng)


_SUBJECTS = split(
    "I|We|They|She|He|My brother|My sister|Our neighbour|The old man|The children|The woman next door|"
    "The teacher|A friend of mine|The doctor|The company|Nobody|Everyone|The government|The committee|"
    "The captain|Most people|The whole family|The young couple|His father|Her mother|The gardener|The students|"
    "Two of us|The driver|A stranger|The council|The visitors",
    "|",
)
_VERBS = split(
    "found|left|wanted|remembered|lost|bought|sold|carried|saw|heard about|talked about|waited for|looked at|"
    "forgot|kept|painted|repaired|opened|closed|cleaned|watched|followed|described|understood|discussed|promised|"
    "received|returned|borrowed|counted|measured|built|noticed|brought|visited|enjoyed|believed in|worried about|"
    "asked for|changed|chose|drew",
    "|",
)
_OBJECTS = split(
    "the house by the river|a small box of letters|the last train home|some bread and cheese|a new pair of shoes|"
    "the key to the garden|an old map of the town|the results of the work|a long report|"
    "the first page of the book|three kinds of fruit|a piece of paper|the quiet road to the village|"
    "a very good reason|the question of money|the weather|a cup of hot tea|the broken window|"
    "the photograph on the wall|her own opinion|the exact number|every word of it|the other side of the story|"
    "a job in the city|the dog|the plan for next year|a letter from abroad|the music|twelve chairs and a table|"
    "the bill",
    "|",
)
_TAILS = split(
    "yesterday|last week|in the morning|before the rain came|after a long journey|without saying a word|"
    "at the end of the summer|because it was late|when the clock struck six|during the war|on the way to school|"
    "for the first time in years|with great care|although it was difficult|as soon as possible|"
    "in the middle of the night|while we were having dinner|of course|just in time|if I am not mistaken|"
    "and went home|but nobody knew why|so that everything was ready|against all advice|again and again|"
    "twice a year|near the bridge|under the kitchen table|to be quite honest|instead of working",
    "|",
)
_OPENERS = split(
    "However,|In fact,|Of course|After that|Perhaps|At first|Then|Later that day|On the whole,|For example,|Yet|"
    "Still,|And|But|So|Unfortunately|As usual,|By the way,|Sometimes|That is why|Once again",
    "|",
)


@cache
def built_in_prose(sentences: int = 6000) -> str:
    """Plain sentences from a fixed vocabulary, the same every time."""
    rng = np.random.default_rng(1905)
    out = []
    for kind in rng.random(sentences).tolist():
        subject, verb, thing, tail = (pick(p, rng) for p in (_SUBJECTS, _VERBS, _OBJECTS, _TAILS))
        low = subject if subject == "I" else subject[0].lower() + subject[1:]
        if kind < 0.35:
            text = f"{subject} {verb} {thing} {tail}."
        elif kind < 0.5:
            text = f"{subject} {verb} {thing}."
        elif kind < 0.65:
            text = f"{pick(_OPENERS, rng)} {low} {verb} {thing} {tail}."
        elif kind < 0.75:
            text = f"{tail[0].upper() + tail[1:]}, {low} {verb} {thing}; "
            text += f"{pick(_TAILS, rng)}, {pick(_FIRST, rng)} {pick(_VERBS, rng)} it too."
        elif kind < 0.83:
            text = f'"{subject} {verb} {thing}," said {pick(_FIRST, rng)}, "{tail}."'
        elif kind < 0.9:
            text = f"Is it true that {low} {verb} {thing} {tail}?"
        else:
            text = f"{pick(_FIRST, rng)} {pick(_LAST, rng)}'s letter doesn't say that {low} {verb} {thing}!"
        out.append(text)
    return " ".join(out)


EVERYDAY = Everyday()
