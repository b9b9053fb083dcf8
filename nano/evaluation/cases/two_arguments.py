"""Two arguments: a value to be copied, and a choice that the request names."""

from __future__ import annotations

from collections.abc import Iterator

from nano.evaluation.check import CallsWith, Check, user
from nano.evaluation.heldout import HELD_OUT, take
from nano.evaluation.toolsets import name_of, named

_VALUES = HELD_OUT.values

# Tool, a neighbour that is offered too, argument, choice; requests; values with the choice as the
# request spells it.
_CASES: tuple[
    tuple[tuple[str, str], tuple[str, str], tuple[str, ...], list[tuple[str, str]]], ...
] = (
    (
        ("get_dew_point", "get_fog_warning"),
        ("place", "scale"),
        ("What is the dew point in {} in {}?", "I need the dew point of {}, in {} please."),
        list(zip(take(HELD_OUT.places, 4, start=20), ("Kelvin", "celsius", "Rankine", "kelvin"), strict=True)),
    ),
    (
        ("play_anthem", "tune_harp"),
        ("place", "instrument"),
        ("Play the anthem of {} on the {}.", "How does the anthem of {} sound on a {}?"),
        list(zip(take(HELD_OUT.places, 4, start=24), ("bagpipe", "trombone", "zither", "accordion"), strict=True)),
    ),
    (
        ("assign_locker", "rent_kayak"),
        ("person", "size"),
        ("Assign {} a {} locker.", "{} is new here and wants a {} locker."),
        list(zip(take(HELD_OUT.people, 4, start=6), ("large", "Small", "medium", "SMALL"), strict=True)),
    ),
    (
        ("print_diploma", "enroll_apprentice"),
        ("graduate", "language"),
        ("Print the diploma of {} in {}.", "{} has graduated! Print the diploma, in {} this time."),
        list(zip(take(HELD_OUT.people, 4, start=36), ("Latin", "Welsh", "Basque", "latin"), strict=True)),
    ),
    (
        ("rent_kayak", "assign_locker"),
        ("guest", "kind"),
        ("Rent a kayak to {}, the {} kind.", "{} would like to rent a kayak, kind: {}."),
        list(zip(take(HELD_OUT.people, 4, start=16), ("tandem", "single", "Inflatable", "tandem"), strict=True)),
    ),
    (
        ("flag_dossier", "shred_dossier"),
        ("dossier", "severity"),
        ("Flag dossier {} as {}.", "The dossier {} must be marked: it is {}."),
        list(zip([_VALUES.codes[i] for i in (0, 4, 7, 11)], ("critical", "minor", "major", "Critical"), strict=True)),
    ),
    (
        ("export_blueprint", "digitize_manuscript"),
        ("path", "format"),
        ("Export the blueprint {} as {}.", "I need {} as a blueprint in {} format."),
        list(zip([_VALUES.paths[i] for i in (0, 3, 4, 7)], ("SVG", "dxf", "pdf", "DXF"), strict=True)),
    ),
    (
        ("quote_freight", "find_ferry"),
        ("destination", "mode"),
        ("Quote the freight to {} by {}.", "What does freight to {} cost if it goes by {}?"),
        list(zip(take(HELD_OUT.places, 4, start=40), ("rail", "barge", "truck", "Rail"), strict=True)),
    ),
    (
        ("enroll_apprentice", "print_diploma"),
        ("apprentice", "trade"),
        ("Enroll {} as an apprentice in {}.", "{} wants to learn {}. Enroll our new apprentice."),
        list(zip(take(HELD_OUT.people, 4, start=30), ("carpentry", "welding", "Plumbing", "masonry"), strict=True)),
    ),
    (
        ("glaze_pot", "engrave_trophy"),
        ("pot", "glaze"),
        ("Glaze pot {} in {}.", "Please give the pot {} a glaze of {}."),
        list(zip([_VALUES.codes[i] for i in (2, 3, 7, 8)], ("cobalt", "celadon", "Oxblood", "celadon"), strict=True)),
    ),
    (
        ("plan_pilgrimage", "get_visa_rule"),
        ("goal", "pace"),
        ("Plan a pilgrimage to {} at a {} pace.", "I dream of a pilgrimage to {}. A {} pace would suit me."),
        list(zip(take(HELD_OUT.places, 4, start=44), ("leisurely", "steady", "brisk", "Steady"), strict=True)),
    ),
    (
        ("engrave_trophy", "glaze_pot"),
        ("winner", "metal"),
        ("Engrave {} on the trophy, in {}.", "The winner is {}. Engrave the trophy in {}."),
        list(zip(take(HELD_OUT.people, 4, start=22), ("gold", "bronze", "Pewter", "silver"), strict=True)),
    ),
)  # fmt: skip


def checks() -> Iterator[Check]:
    for names, (argument, choice), requests, pairs in _CASES:
        tools = named(*names)
        for number, (value, spelled) in enumerate(pairs):
            yield Check(
                messages=[user(requests[number % len(requests)].format(value, spelled))],
                tools=tools if number < len(pairs) // 2 else tools[::-1],
                expected=CallsWith(name_of(tools[0]), {argument: value, choice: spelled.lower()}),
            )
