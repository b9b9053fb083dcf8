"""One argument, copied exactly as the request has it."""

from __future__ import annotations

from collections.abc import Iterator

from nano.evaluation.check import JSON, CallsWith, Check, user
from nano.evaluation.heldout import HELD_OUT, take
from nano.evaluation.toolsets import named

_VALUES = HELD_OUT.values

# Tools that are offered (the first is the right one), its argument, requests, values.
_TEXTS: tuple[tuple[tuple[JSON, ...], str, tuple[str, ...], list[str]], ...] = (
    (
        named("get_pollen_count", "get_river_level"),
        "place",
        (
            "What is the pollen count in {}?",
            "I'm travelling to {} tomorrow. How much pollen is there?",
            "Pollen count for {}, please.",
        ),
        take(HELD_OUT.places, 12),
    ),
    (
        named("count_meteors", "locate_comet", "list_eclipses"),
        "place",
        (
            "How many meteors can be seen from {} tonight?",
            "We are camping near {}. Count the meteors we will see.",
        ),
        take(HELD_OUT.places, 8, start=12),
    ),
    (
        named("list_moorings"),
        "harbour",
        ("Are there free moorings in {}?", "List the moorings in {} for me."),
        take(HELD_OUT.places, 6, start=36),
    ),
    (
        named("payroll.get_payslip", "ledger.find_voucher"),
        "employee",
        (
            "Get the payslip of {}.",
            "{} has lost a payslip. Can you fetch it?",
            "I need the latest payslip for {}, thanks.",
        ),
        take(HELD_OUT.people, 9, start=28),
    ),
    (
        named("renew_prescription", "get_dosage", "check_interaction"),
        "patient",
        ("Renew the prescription of {}.", "Could you renew {}'s prescription?"),
        take(HELD_OUT.people, 6),
    ),
    (
        named("ledger.find_voucher", "payroll.get_payslip"),
        "voucher",
        ("Find voucher {}.", "Look up the voucher with number {} please."),
        [_VALUES.codes[i] for i in (0, 2, 4, 11)],
    ),
    (
        named("drainNode", "rotateCredential", "tailJournal"),
        "node",
        ("Drain node {}.", "Move everything away from the node {}."),
        [_VALUES.codes[i] for i in (6, 8, 9)],
    ),
    (
        named("show_blame", "count_stargazers"),
        "path",
        (
            "Who changed {} last? Show the blame.",
            "Show the blame of the file {}.",
        ),
        list(_VALUES.paths[:5]),
    ),
    (
        named("digitize_manuscript", "shred_dossier"),
        "path",
        ("Digitize the manuscript at {}.", "Read the scanned manuscript {} for me."),
        [_VALUES.paths[i] for i in (2, 5, 6, 7)],
    ),
    (
        named("count_stargazers", "list_milestones"),
        "repository",
        ("How many stargazers has {}?", "Count the stargazers of the repository {}."),
        list(HELD_OUT.repositories),
    ),
    (
        named("search_parchments", "trace_ancestor"),
        "query",
        (
            'Search the parchments for "{}".',
            'Is there a parchment about "{}"? Search for it.',
        ),
        list(_VALUES.phrases[:6]),
    ),
    (
        named("locate_comet", "count_meteors"),
        "comet",
        ("Where in the sky is comet {}?", "Locate the comet {}."),
        list(_VALUES.things[:2]),
    ),
)

_NUMBERS: tuple[tuple[tuple[JSON, ...], str, tuple[str, ...], tuple[int, ...]], ...] = (
    (
        named("list_eclipses", "locate_comet"),
        "year",
        ("List the eclipses of {}.", "Which eclipses happen in the year {}?"),
        (2031, 2047, 1986),
    ),
    (
        named("price_pretzels", "bake_sourdough"),
        "quantity",
        ("What is the price of {} pretzels?", "I want {} pretzels. How much is that?"),
        (7, 36, 144),
    ),
    (
        named("bake_sourdough", "list_allergens"),
        "loaves",
        ("Bake {} loaves of sourdough.", "We need {} sourdough loaves in the oven."),
        (18, 260),
    ),
)


def checks() -> Iterator[Check]:
    for tools, argument, requests, values in (*_TEXTS, *_NUMBERS):
        right = tools[0]["function"]["name"]
        for number, value in enumerate(values):
            yield Check(
                messages=[user(requests[number % len(requests)].format(value))],
                tools=tools if number % 2 else tools[::-1],
                expected=CallsWith(right, {argument: value}),
            )
