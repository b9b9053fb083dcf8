"""Three fields under a strict schema, from a text that may hold more than is asked."""

from __future__ import annotations

from collections.abc import Iterator

from nano.evaluation.check import JSON, Check, SaysJSON, system, user

_Value = str | int

# A schema's name and types; texts with places for its values; records.
_CASES: tuple[
    tuple[str, dict[str, type[_Value]], tuple[str, ...], tuple[tuple[_Value, ...], ...]], ...
] = (
    (
        "voyage",
        {"skipper": str, "harbour": str, "crew": int},
        (
            "The skipper {0} left {1} this morning with a crew of {2}.",
            "From {1} we hear that skipper {0} sails with {2} people as crew, in good weather.",
        ),
        (
            ("Sven Lindqvist", "Tromsø", 14),
            ("Anastasia", "Port Moresby", 6),
            ("Tariq Mahmood", "Mombasa", 231),
            ("Ingeborg", "Gdańsk", 9),
        ),
    ),
    (
        "premiere",
        {"composer": str, "opera": str, "year": int},
        (
            "The opera {1} by the composer {0} was first heard in {2}.",
            "In {2} the composer {0} finished an opera called {1}.",
        ),
        (
            ("Tchaikovsky", "Lohengrin", 1868),
            ("Noémie Leclerc", "Turandot", 2019),
            ("Leila Haddad", "Nabucco", 1842),
            ("Kanako Mori", "Rigoletto", 2003),
        ),
    ),
    (
        "animal",
        {"species": str, "enclosure": str, "weight_kg": int},
        (
            "The {0} lives in enclosure {1} and weighs {2} kg.",
            "Enclosure {1}: one {0}, {2} kg, fed twice a day.",
        ),
        (
            ("pangolin", "B7F-22E", 12),
            ("capybara", "R2D-5510", 55),
            ("axolotl", "MT/7741", 1),
            ("wombat", "TRC-88", 31),
        ),
    ),
    (
        "admission",
        {"patient": str, "allergy": str, "ward": int},
        (
            "{0} is in ward {2}. Allergy: {1}.",
            "The patient {0} was brought to ward {2} and has an allergy to {1}.",
        ),
        (
            ("Chidi Okonkwo", "penicillin", 4),
            ("Zsófia", "latex", 12),
            ("Juan Pablo", "ibuprofen", 7),
            ("Rajeshwari", "hibiscus", 21),
        ),
    ),
    (
        "application",
        {"applicant": str, "university": str, "score": int},
        (
            "{0} applied to the university of {1} with a score of {2}.",
            "With {2} points as score, {0} hopes for a place at the university of {1}.",
        ),
        (
            ("Fatoumata", "Ouagadougou", 87),
            ("Bao Tran", "Hyderabad", 1410),
            ("Yevgenia", "Novosibirsk", 95),
            ("Mary Ellen", "Hobart", 640),
        ),
    ),
    (
        "climb",
        {"mountain": str, "country": str, "height_m": int},
        (
            "{0} in {1} is {2} metres high.",
            "At {2} m, {0} is the highest mountain of {1} and popular with hikers.",
        ),
        (
            ("Kilimanjaro", "Tanzania", 5895),
            ("Aconcagua", "Argentina", 6961),
            ("Popocatépetl", "Mexico", 5393),
            ("Elbrus", "Russia", 5642),
        ),
    ),
    (
        "patent",
        {"inventor": str, "invention": str, "patent": str},
        (
            "{0} invented the {1} and holds patent {2}.",
            "Patent {2} was granted to {0} for an invention, the {1}.",
        ),
        (
            ("Gwendolyn Pryce", "zipper", "PL-60432-Z"),
            ("Wolfgang", "barometer", "QX-48213-LK"),
            ("Kwame", "zipper", "VCH-2209-17"),
            ("Marta Kowalczyk", "barometer", "inv_90xk31"),
        ),
    ),
    (
        "lease",
        {"tenant": str, "street": str, "rent": int},
        (
            "Our tenant {0} lives in {1} and pays a rent of {2} euros.",
            "The rent for the flat in {1} is {2} euros a month; the tenant is called {0}.",
        ),
        (
            ("Jürgen Vogt", "Limpopo Street", 845),
            ("Ximena", "Orinoco Lane", 1200),
            ("Dmitri", "Zambezi Road", 590),
            ("Lakshmi", "Irrawaddy Avenue", 2375),
        ),
    ),
    (
        "season",
        {"striker": str, "club": str, "goals": int},
        (
            "{0} scored {2} goals for {1} this season.",
            "The striker of {1}, {0}, has {2} goals and two assists.",
        ),
        (
            ("Kofi Mensah", "Aarhus United", 23),
            ("Mehmet", "Plovdiv Rovers", 8),
            ("Ana Lucía Vega", "Guadalajara", 31),
            ("Coco Mbemba", "Paramaribo City", 17),
        ),
    ),
    (
        "bakery",
        {"baker": str, "village": str, "loaves": int},
        (
            "{0}, the baker of {1}, sells {2} loaves a day.",
            "In the village of {1} a baker named {0} made {2} loaves before sunrise.",
        ),
        (
            ("Ioannis", "Titicaca", 140),
            ("Aurélie", "Aix-en-Provence", 75),
            ("Bjørn", "Isfahan", 310),
            ("Mimi", "Walla Walla", 42),
        ),
    ),
    (
        "departure",
        {"train": str, "destination": str, "platform": int},
        (
            "Train {0} to {1} leaves from platform {2}.",
            "Attention please: on platform {2}, the train {0}, destination {1}, is delayed.",
        ),
        (
            ("TRC-88", "Łódź", 3),
            ("B7F-22E", "Samarkand", 11),
            ("R2D-5510", "Ljubljana", 6),
            ("MT/7741", "São Paulo", 18),
        ),
    ),
    (
        "book",
        {"author": str, "novel": str, "pages": int},
        (
            "{0} wrote the novel {1}, which has {2} pages.",
            "I read {1}, a novel of {2} pages. Its author is {0}.",
        ),
        (
            ("Thandiwe", "Salt without Sorrow", 412),
            ("Olga Petrenko", "Nine Lanterns", 268),
            ("Hiroshi", "Seven Wet Umbrellas", 1033),
            ("Xiomara", "A Ladder for the Moon", 190),
        ),
    ),
    (
        "statement",
        {"witness": str, "vehicle": str, "speed": int},
        (
            "The witness {0} saw a {1} drive at {2} km/h.",
            "A {1} passed at a speed of {2} km/h, says {0}, a witness from the house next door.",
        ),
        (
            ("Priya Raghunathan", "tractor", 48),
            ("Søren", "rickshaw", 35),
            ("Siobhan O'Connor", "motorcycle", 112),
            ("Lulu", "delivery van", 77),
        ),
    ),
    (
        "plant",
        {"botanist": str, "flower": str, "petals": int},
        (
            "The botanist {0} found a {1} with {2} petals.",
            "It has {2} petals: the {1} that {0} described, a botanist of the old school.",
        ),
        (
            ("Zoë", "hibiscus", 5),
            ("Bartholomew", "edelweiss", 9),
            ("Guadalupe", "bougainvillea", 3),
            ("Chiamaka", "gentian", 10),
        ),
    ),
)  # fmt: skip

_REQUESTS = (
    "Extract the {fields} from the following sentence: '{text}'",
    "{text}\n\nReturn {fields} as JSON.",
    "Read this and give me the {fields}: {text}",
    "Fill in {fields}. Text: {text}",
)
_SYSTEM = "You are a helpful assistant designed to output JSON."


def checks() -> Iterator[Check]:
    for name, types, texts, records in _CASES:
        for number, record in enumerate(records):
            text = texts[number % len(texts)].format(*record)
            request = _REQUESTS[number].format(fields=_listed(list(types)), text=text)
            told = [system(_SYSTEM)] if number % 2 == 0 else []
            yield Check(
                messages=[*told, user(request)],
                response_format=_format(name, types),
                expected=SaysJSON(dict(zip(types, record, strict=True))),
            )


def _listed(fields: list[str]) -> str:
    *first, last = (field.replace("_", " ") for field in fields)
    return f"{', '.join(first)} and {last}"


def _format(name: str, types: dict[str, type[_Value]]) -> JSON:
    properties = {
        field: {"type": "integer" if type_ is int else "string"} for field, type_ in types.items()
    }
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(types),
        "additionalProperties": False,
    }
    return {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": schema}}
