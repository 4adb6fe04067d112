"""Words by which people tell facts, ask, promise and put off, in four languages.

English, German, Spanish and French, as far as they are said on the phone. A language that is not
here still has its digits, currencies, e-mail addresses and capitals (``specifics``). Words are in
lower case and without hyphens, as ``specifics`` reads them; ß counts as ss.
"""

from __future__ import annotations

import re
from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.casefold().split())


def _stems(text: str) -> tuple[str, ...]:
    """For ``startswith`` and ``endswith``, which want a tuple."""
    return tuple(text.casefold().split())


def _pattern(*ways: str) -> re.Pattern[str]:
    return re.compile("|".join(ways), re.IGNORECASE)


MATTERS: Final = _words("""
    number order reference customer account address street mail email phone mobile telephone
    birthday birth appointment booking reservation policy invoice contract zip postcode postal
    serial licence license plate tracking member membership code case claim extension
    nummer bestellung kunde konto adresse anschrift telefon handy geburtsdatum geburtstag termin
    buchung reservierung rechnung vertrag postleitzahl kennzeichen aktenzeichen auftrag
    número pedido referencia cliente cuenta dirección correo teléfono móvil cumpleaños nacimiento
    cita reserva póliza factura contrato código matrícula
    numéro commande référence client compte adresse courriel téléphone portable anniversaire
    naissance rendez réservation police facture contrat immatriculation dossier
""")
"""What a number or a name belongs to where it is the caller's business, not small talk."""

NEEDS: Final = _words("""
    allergic allergy allergies intolerant vegetarian vegan gluten diabetic wheelchair pregnant
    urgent deadline warranty
    allergisch allergie vegetarisch vegetarier vegetarierin diabetiker rollstuhl schwanger dringend
    frist garantie
    alérgico alérgica alergia vegetariano vegetariana vegano diabético embarazada urgente plazo
    garantía
    allergique végétarien végétarienne diabétique enceinte délai garantie
""")
"""What nobody wants to have to say twice, though it holds no number."""

DAYS: Final = _words("""
    monday tuesday wednesday thursday friday saturday sunday
    montag dienstag mittwoch donnerstag freitag samstag sonnabend sonntag
    lunes martes miércoles jueves viernes sábado domingo
    lundi mardi mercredi jeudi vendredi samedi dimanche
""")
SOON: Final = _words("""
    today tomorrow tonight heute morgen übermorgen hoy mañana demain aujourd'hui
""")
MONTHS: Final = _words("""
    january february march april may june july august september october november december
    januar februar märz mai juni juli oktober dezember
    enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre
    janvier février mars avril juin juillet août septembre octobre novembre décembre
""")
DAY_OF_MONTH: Final = re.compile(
    r"\b\d{1,2}(?:st|nd|rd|th|er|\.)?\s(?:of\s|de\s)?(?:%s)\b|\b(?:%s)\s\d{1,2}\b"
    % (("|".join(sorted(MONTHS)),) * 2),
    re.IGNORECASE,
)
MONEY: Final = _words("""
    euro euros dollar dollars pound pounds cent cents pence usd eur gbp chf franken pfund francs
    franc pesos peso rupees yen dólares libras livres
""")
CLOCK: Final = _words("o'clock o’clock uhr noon midnight mittags mediodía midi minuit")
COUNTED: Final = _words("""
    people persons guests adults children kids nights pieces units boxes bottles percent kilos
    personen leute gäste erwachsene kinder nächte stück kartons flaschen prozent kilo
    personas adultos niños noches piezas unidades cajas botellas kilos
    personnes adultes enfants nuits pièces unités cartons bouteilles
""")
DIGIT_WORDS: Final = {
    word: str(digit)
    for digit, words in enumerate(
        (
            "zero oh null cero zéro",
            "one eins uno un une",
            "two zwei zwo dos deux",
            "three drei tres trois",
            "four vier cuatro quatre",
            "five fünf cinco cinq",
            "six sechs seis",
            "seven sieben siete sept",
            "eight acht ocho huit",
            "nine neun nueve neuf",
        )
    )
    for word in words.split()
}
NUMBER_WORDS: Final = (frozenset(DIGIT_WORDS) - _words("oh null one un une uno eins")) | _words("""
    ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty
    forty fifty sixty seventy eighty ninety hundred thousand
    first third fourth fifth sixth seventh eighth ninth tenth
    zehn elf zwölf zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig hundert tausend
    diez once doce quince veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa cien
    dix onze douze quinze vingt trente quarante cinquante soixante cent mille
""")
NOT_NAMES: Final = DAYS | MONTHS | _words("i i'm i’m i'll i’ll i've i’ve i'd i’d ok okay tv")
GERMAN: Final = _words("der die das und ich ist nicht ein eine mit wir sie auf für den dem zu")
"""Where these stand a capital is a noun, not a name."""

EVERYDAY: Final = {
    "en": _words("the and is that you i it's my have was for with are this what"),
    "de": GERMAN | _words("mein haben war was"),
    "es": _words("el los y es que usted yo mi tengo para con una por está qué"),
    "fr": _words("le les et est que vous je mon j'ai pour avec une des c'est dans"),
}
"""Enough of a language to tell it from the other three."""

DOTS: Final = _words("dot punkt punto point")
LIVES: Final = _words("live wohne vivo habite j'habite j’habite")
NAMES: Final = _words("""
    name name's name’s called heiße heisse llamo nombre appelle m'appelle m’appelle nom
""")
IS: Final = _words("is are was ist sind lautet es son est sont")
"""Without one of these a text need not be searched for what they are part of."""

KEYED: Final = _pattern(
    r"\b(my|our|the|meine?|unsere?|der|die|das|mi|nuestr[oa]|el|la|mon|ma|notre|le)\s+"
    r"((?:[^\W\d_][\w'’-]*\s+){0,4}?[^\W\d_][\w'’-]*)(?:\s+(?:is|are|was|ist|sind|lautet|es|son|"
    r"est|sont)\b)"
)
OWN: Final = _words(
    "my our mein meine unser unsere mi nuestro nuestra mon ma notre your ihr ihre dein deine su tu"
    " votre ton ta"
)
ASKED_KEY: Final = _pattern(
    r"\b(your|ihre?|deine?|su|tu|votre|ton|ta)\s+((?:[^\W\d_][\w'’-]*\s+){0,4}?[^\W\d_][\w'’-]*)"
    r"\s*\?\s"
)
WRITTEN_KEY: Final = re.compile(r"([^\W\d_][^:?!.“”]{1,39}): +\S")
"""``order number: 4711``, as text models are asked to write."""
KEY_FILLERS: Final = _words("new neue neuer nueva nuevo nouveau nouvelle current correct right own")
STREETS: Final = _stems("""
    street avenue boulevard st ave road rd drive lane way square court place straße strasse str weg
    platz gasse allee calle avenida plaza paseo rue chemin impasse quai
""")
"""How a word ends in an address."""
ADDRESS: Final = re.compile(
    r"\b\d+[a-zA-Z]?,?\s(?:[^\W\d_a-z][\w'’.-]*\s){1,3}"
    r"(?:[Ss]treet|[Aa]venue|[Bb]oulevard|St\b|Ave\b|Road|Rd\b|Drive|Lane|Way|Square|Court|Place)"
    r"|\b[\w-]*(?:[Ss]tra(?:ß|ss)e|str\.|weg|platz|gasse|allee)\s\d+"
    r"|\b(?:[Cc]alle|[Aa]venida|[Pp]laza|[Pp]aseo)\s[^.?!\d]{2,40}\d+"
    r"|\b\d+,?\s(?:bis\s|ter\s)?(?:rue|avenue|boulevard|place|chemin|impasse|quai)\s"
)
HOME: Final = _pattern(r"\bi live (?:in|at|on)\b|\bich wohne\b|\bvivo en\b|\bj['’]habite\b")

NAME_SAID: Final = _pattern(
    r"\b(?:my (?:full )?name(?: is|['’]s)|i(?: am|['’]m) called|ich hei(?:ß|ss)e"
    r"|mein (?:voller )?name (?:ist|lautet)|me llamo|mi nombre(?: completo)? es|je m['’]appelle"
    r"|mon nom(?: complet)? est)\s+"
)
"""Whoever says so says their name."""
NAME_HINTED: Final = _pattern(
    r"\b(?:this is|i(?: am|['’]m)|the name(?: is|['’]s)|my (?:first |last |sur)name is"
    r"|hier (?:ist|spricht)|ich bin|le habla|soy|je suis|ici|c['’]est)\s+"
)
"""A name may follow, or something else."""
NAME_SPEAKING: Final = re.compile(
    r"(?:^|[,.] )((?:[^\W\d_a-z][\w'’-]+ ?){1,4}),? "
    r"(?:speaking|am Apparat|al habla|à l['’]appareil)\b"
)
NAME_ASKED: Final = _pattern(
    r"\b(?:name|who am i|hei(?:ß|ss)en|nombre|se llama|nom\b|appelez|wer spricht|qui est)"
)
NAME_PARTS: Final = _words("de la las los del der den von van zu da di du le el al bin y e")
NAME_STOPS: Final = _words("""
    and i calling from speaking here und ich aus von am y soy llamo et je de with not it but
""")

WANTS: Final = _pattern(
    r"\bi(?:['’]m| am) (?:calling|phoning|ringing)\b",
    r"\bi(?:['’]d| would) like\b|\bi (?:want|need)\b",
    r"\b(?:can|could) (?:i|you (?!believe|imagine))\b",
    r"\bi have (?:a|an|some) (?:problem|question|complaint|issue)\b",
    r"\bich (?:möchte|brauche|will|wollte|hätte)\b|\bich rufe\b.{0,20}\ban\b|\bes geht um\b",
    r"\bich habe (?:eine frage|ein problem|ein anliegen|eine beschwerde)\b",
    r"\b(?:quiero|quisiera|necesito|querría|me gustaría)\b|\bllamo (?:por|para|porque)\b",
    r"\btengo (?:un problema|una pregunta|una consulta|una queja)\b",
    r"\bje (?:veux|voudrais|souhaite|souhaiterais)\b|\bj['’](?:aimerais|appelle)\b",
    r"\bj['’]ai (?:besoin|un problème|une question)\b",
)
PROMISE: Final = _pattern(
    r"\b(?:i|we)(?:['’]ll| will| won['’]t| shall| promise| guarantee)\b",
    r"\b(?:i|we)(?:['’]m|['’]re| am| are) going to\b",
    r"\b(?:i|we)(?:['’]ve| have)(?: just| now| already| also)? (?:booked|reserved|ordered|"
    r"cancell?ed|arranged|scheduled|sent|noted|refunded|changed|added|placed|registered|confirmed|"
    r"moved|opened|credited|extended|forwarded|made)\b",
    r"\byou(?:['’]ll| will) (?:receive|get|have|be)\b",
    r"\bwill (?:call|ring|contact|e-?mail|deliver|arrive|be (?:delivered|refunded|sent|shipped))\b",
    r"\b(?:ich|wir) (?:werden?|verspreche|garantiere|schicken?|senden?|melden?|rufen?|buchen?|"
    r"reserviere|storniere|erstatten?|kümmern?|liefern?|notiere|veranlasse)\b",
    r"\bwerde ich\b|\bwerden wir\b|\bsie (?:erhalten|bekommen|werden)\b",
    r"\b(?:erhalten|bekommen) sie\b|\bwird (?:sich|sie|ihnen)\b",
    r"\b(?:ich habe|habe ich|wir haben|haben wir)\b.{0,80}\b(?:gebucht|reserviert|bestellt|"
    r"storniert|notiert|geschickt|gesendet|erstattet|geändert|eingetragen|veranlasst|vermerkt|"
    r"vereinbart)\b",
    r"\b(?:voy|vamos) a\b|\b\w{2,}(?:aré|eré|iré|aremos|eremos|iremos)\b|\bprometo\b",
    r"\b(?:he|hemos) (?:reservado|enviado|anotado|cancelado|pedido|cambiado|confirmado|programado|"
    r"registrado)\b|\b(?:recibirá|tendrá|llamará|llegará)s?\b",
    r"\b(?:je vais|nous allons|on va)\b",
    r"\b(?:je|nous)(?: vous| le| la| les| lui)* \w+(?:rai|rons)\b",
    r"\b(?:j['’]ai|nous avons)(?: bien| déjà)? (?:réservé|envoyé|noté|annulé|commandé|modifié|"
    r"confirmé|enregistré|programmé|remboursé)\b|\bvous (?:recevrez|aurez|serez)\b",
)
DEEDS: Final = _stems("""
    send sent call ring email mail refund book reserv deliver cancel transfer credit ship replac
    repair arrang schedul order confirm contact writ forward waiv charg receiv extend
    schick geschick gesend gesand ruf anruf zurückruf meld zurückmeld erstatt buch gebuch
    reservier liefer geliefer stornier veranlass erhalten überweis
    enviar envia llam devol reembols entreg confirm recib
    envo enverr appel rappel rembours réserv livr annul écri recevr
""")
"""How words begin that make a promise one the caller can hold the agent to."""
FILLER: Final = _pattern(
    r"\b(?:check|look|see|find|try|help|happy|glad|need|ask|tell|explain|let|wait|be right)\b",
    r"\b(?:prüfe?n?|schauen?|nachsehen|nachschauen|helfen|versuchen?|fragen?)\b",
    r"\b(?:mirar|ver|comprobar|ayudar|intentar|preguntar)\w*\b",
    r"\b(?:vérifi|regard|voir|aider|essay|demand)\w*\b",
)
"""Of a promise: what one says while one is busy."""
PUTS_OFF: Final = _pattern(
    r"\blet me (?:check|see|look|find|ask)|\b(?:one|just a|a) (?:moment|second)\b|\bhold on\b",
    r"\bi(?:['’]ll| will)(?: have to| need to)? (?:check|find out|look|ask|get back|come back)\b",
    r"\bi (?:do not|don['’]t) know\b|\bi(?:['’]m| am) not sure\b|\bget back to you\b",
    r"\beinen (?:moment|augenblick)\b|\bmoment bitte\b|\bich (?:prüfe|schaue|frage|kläre)\b",
    r"\bich melde mich\b|\bweiß ich (?:leider )?nicht\b|\bdas (?:kläre|prüfe) ich\b",
    r"\bun (?:momento|instant|moment)\b|\bdéjeme\b|\blo (?:consulto|miro|compruebo|averiguo)\b",
    r"\bno lo sé\b|\bje (?:vérifie|regarde|me renseigne)\b|\bje ne sais pas\b",
)
YES: Final = _pattern(
    r"\W*(?:yes|yeah|yep|correct|exactly|right|sure|that['’]s (?:right|correct|it)|ja|genau|richtig"
    r"|stimmt|sí|correcto|exacto|claro|oui|exactement|c['’]est (?:ça|exact))\b"
)
NO: Final = _pattern(r"\W*(?:no|nope|nein|non|not)\b")
