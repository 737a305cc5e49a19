"""Texts of other kinds than reviews, from grammars written for this project.

In a grammar `{name}` stands for one of the phrases of that name, which may hold others, and `{1-9}` for a number.
"""

import random
import re
from collections.abc import Iterator, Mapping

Grammar = Mapping[str, str]
"""Phrases by name, divided by `|` or a line's end; `sentence` are those that a text is made of."""

SENTENCES = (3, 8)

SUPPORT: Grammar = {
    "sentence": """
        My {device} {fails} {when}, and I have already {tried}
        The {device} worked for {2-9} weeks; now it {fails} {when}
        Order number {1000-9999} arrived without the {part} that goes into the {device}
        I followed chapter {2-19} of the manual and {tried}, but the display shows error code {10-99}
        Please send a replacement {part} to the address on the invoice
        Can I use the {part} of the older {device} as well?
        After {tried_noun} the {light} light on the {device} blinks {2-9} times
        The warranty card says {12-36} months, so who pays for shipping?
        Your technician asked for the serial number, which ends in {100-999}
        Is there a firmware newer than version {1-9}.{0-9} for this {device}?
        Battery life dropped from {8-14} hours to {1-4} hours after {tried_noun}
        We bought {2-6} units for the office and only one of them {fails}
        The {part} gets hot when the {device} is plugged into the {port}
        Support ticket {10000-99999} is still open; please tell me what to do next
    """,
    "device": """
        printer|router|laptop|headset|scanner|keyboard|monitor|tablet|vacuum cleaner|camera|dishwasher
        thermostat|phone|speaker|projector|coffee machine
    """,
    "part": """
        charger|power adapter|battery|cable|cartridge|screen|remote control|memory card|hinge|filter|antenna|fan
        mounting bracket|spare key
    """,
    "fails": """
        freezes|shuts down|loses the connection|refuses to start|prints blank pages|makes a clicking noise
        will not charge|overheats|restarts by itself|drops the signal
    """,
    "when": """
        whenever I open the settings|after ten minutes of use|as soon as the cable is connected
        during every update|in the morning|when two users log in at once|on battery power|at full volume
    """,
    "tried": """
        reset it twice|replaced the {part}|installed the latest driver|reinstalled the software
        cleaned the contacts|called the hotline|checked every cable|tried another {port}
    """,
    "tried_noun": "the update|a factory reset|changing the {part}|the repair|moving it to another room|cleaning it",
    "port": "socket|docking station|left port|extension lead|car adapter",
    "light": "green|red|orange|blue|status",
}

WEATHER: Grammar = {
    "sentence": """
        {sky} over the {region} {time}, with highs near {4-31} degrees
        {wind} winds from the {direction} will reach {20-90} kilometres an hour on the {place}
        A {front} moves in from the {direction} and brings {rain} to the {region} {time}
        Temperatures fall to {1-14} degrees {time}, with {ground} in sheltered valleys
        Expect {2-40} millimetres of {rain} {time}, locally more in the {region}
        Humidity stays around {40-98} percent and visibility drops below {1-9} kilometres in {fog}
        The outlook for {day}: {sky} at first, {rain} later, then clearing from the {direction}
        Barometric pressure rises to {1005-1035} hectopascals as the {front} weakens
        Sea temperature {9-22} degrees, waves of {1-5} metres off the {place}
        Drivers in the {region} should allow for {ground} {time}
        Sunrise is at {5-7}:{10-59} and sunset at {17-21}:{10-59}, with {1-11} hours of sunshine
        A warning for gusts of {60-130} kilometres an hour is in force on the {place} until {day}
    """,
    "sky": """
        Scattered clouds|Mostly clear skies|Overcast conditions|Broken cloud|Hazy sunshine|Thick cloud
        Bright spells
    """,
    "wind": "Moderate|Fresh|Gusty|Strong|Light|Gale force|Variable",
    "direction": "north|south|west|east|northwest|southwest|northeast|southeast",
    "front": "cold front|warm front|band of showers|ridge of high pressure|trough|deep low|weak disturbance",
    "rain": "drizzle|heavy rain|light snow|sleet|scattered showers|thunderstorms|hail|freezing rain|steady rain",
    "fog": "morning fog|patchy mist|low cloud|coastal fog",
    "ground": "ground frost|icy roads|standing water|drifting snow|black ice|heavy dew",
    "region": """
        northern hills|coastal plain|river valley|eastern lowlands|islands|southern counties|lake district
        mountain passes|western moors|capital area
    """,
    "place": "outer banks|high ridges|north coast|open plain|estuary|peninsula|summits",
    "time": """
        this afternoon|overnight|by early evening|tomorrow morning|towards midnight|on {day}|around noon
        before dawn
    """,
    "day": "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday",
}

RECIPES: Grammar = {
    "sentence": """
        {cut} the {vegetable} and {2-6} cloves of garlic
        Preheat the oven to {160-230} degrees and grease a {dish} with butter
        Whisk {2-6} eggs with {100-400} grams of {dry} until smooth
        Add {1-4} tablespoons of {liquid} and a pinch of {spice}, then stir for {2-15} minutes
        Simmer the {main} with the {vegetable} over low heat for {10-90} minutes
        Fold in the {dry} and let the dough rest for {15-60} minutes in a bowl
        Season with {spice} and {spice}, and {finish}
        Drain the {main}, keep a cup of the cooking water, and toss with {liquid}
        Bake in the {dish} for {12-75} minutes until golden brown
        Brown the {main} in {liquid} on all sides and set aside
        Serves {2-8}; {finish}
        Bring {1-3} litres of water to the boil, add salt and the {vegetable}
        Knead {200-900} grams of {dry} with {liquid} and a packet of yeast
    """,
    "cut": "Chop|Peel and dice|Slice|Grate|Mince|Roughly chop|Trim and halve",
    "vegetable": """
        onions|carrots|tomatoes|leeks|potatoes|mushrooms|courgettes|spinach|red peppers|celery|cabbage|beetroot
        pumpkin|green beans
    """,
    "main": """
        chicken thighs|lentils|chickpeas|minced beef|salmon fillets|tofu|pasta|rice|lamb shoulder|prawns
        white beans|pork belly
    """,
    "dry": "flour|sugar|oats|cornmeal|ground almonds|breadcrumbs|grated cheese|semolina|cocoa powder",
    "liquid": """
        olive oil|vegetable stock|milk|cream|coconut milk|lemon juice|white wine|soy sauce|buttermilk
        melted butter|vinegar
    """,
    "spice": """
        cumin|paprika|nutmeg|thyme|oregano|turmeric|black pepper|ginger|cinnamon|chilli flakes|coriander
        rosemary|bay leaves
    """,
    "dish": "baking tray|casserole|shallow dish|loaf tin|cake tin|cast iron pan|ceramic dish",
    "finish": """
        sprinkle with chopped parsley|garnish with fresh basil|serve with crusty bread|leave to cool on a rack
        top with yoghurt|serve at once|scatter over toasted seeds|chill before serving
    """,
}

SPORTS: Grammar = {
    "sentence": """
        {team} {0-5}, {team} {0-5}: {scorer} scored in minute {1-90}
        {team} climb to place {1-18} with {10-80} points from {12-34} matches
        At the bottom of the table {team} stay on {4-20} points, {1-9} behind {team}
        {team} won {2-4} sets to {0-1} and meet {team} in the {stage}
        {scorer} finished the {race} in {1-3} hours and {10-59} minutes, {2-58} seconds ahead of {scorer}
        Goal difference: {team} plus {1-40}, {team} minus {1-40}
        The {stage} between {team} and {team} was postponed to {day}
        Attendance at the {venue} was {1000-48000}; the referee showed {1-8} yellow cards
        {scorer} leads the scoring list with {8-31} goals, ahead of {scorer} with {3-7}
        In round {2-34}, {team} drew away to {team} and lost {2-4} players to injury
        {scorer} signed a contract with {team} for {2-5} seasons
        Standings in the {division}: {team} {30-60}, {team} {20-29}, {team} {5-19} points
        The relay team of {team} broke the league record in the {race}
        {team} kept a clean sheet for the {4-9}th match in a row at the {venue}
    """,
    "team": "{town} {club}",
    "town": """
        Northfield|Riverton|Ashby|Kingsport|Milbrook|Eastvale|Harrowgate|Lakeside|Stonebridge|Westmarch|Oakley
        Brunswick|Fairhaven|Redhill
    """,
    "club": "United|Rovers|City|Athletic|Wanderers|Rangers|Town|Albion",
    "scorer": "{initial}. {surname}",
    "initial": "A|B|C|D|E|F|J|K|L|M|R|S|T",
    "surname": "Keller|Okafor|Lindqvist|Moreno|Tanaka|Novak|Barnes|Fischer|Haddad|Petrov|Silva|Doyle|Jensen|Marsh",
    "stage": "quarter final|semi final|group match|play off|qualifier|cup tie|opening game",
    "race": "marathon|cycling stage|cross country race|triathlon|road race|relay",
    "venue": "harbour stadium|city arena|old racecourse|national stadium|north ground",
    "division": "first division|second division|eastern conference|premier group|regional league",
    "day": WEATHER["day"],
}

KINDS: Mapping[str, Grammar] = {
    "product support": SUPPORT,
    "weather": WEATHER,
    "recipes": RECIPES,
    "sports tables": SPORTS,
}

_DIVIDER = re.compile(r"\s*[|\n]\s*")
_SLOT = re.compile(r"\{(?:(?P<least>\d+)-(?P<most>\d+)|(?P<name>\w+))\}")


def generate(seed: int) -> Iterator[tuple[str, str]]:
    """Yield kinds and texts of `SENTENCES` sentences each, without end; the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - texts are to vary, not to be secret
    phrases = {
        kind: {name: _DIVIDER.split(alternatives.strip()) for name, alternatives in grammar.items()}
        for kind, grammar in KINDS.items()
    }
    while True:
        kind = chance.choice(list(KINDS))
        sentences = chance.sample(phrases[kind]["sentence"], chance.randint(*SENTENCES))
        yield kind, " ".join(_sentence(sentence, phrases[kind], chance) for sentence in sentences)


def _sentence(pattern: str, phrases: Mapping[str, list[str]], chance: random.Random) -> str:
    text = _expand(pattern, phrases, chance)
    return text if text.endswith("?") else f"{text}."


def _expand(pattern: str, phrases: Mapping[str, list[str]], chance: random.Random) -> str:
    def fill(slot: re.Match[str]) -> str:
        if name := slot["name"]:
            return _expand(chance.choice(phrases[name]), phrases, chance)
        return str(chance.randint(int(slot["least"]), int(slot["most"])))

    return _SLOT.sub(fill, pattern)
