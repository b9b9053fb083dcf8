"""Which of 2 to 8 tools a request is for."""

from __future__ import annotations

from collections.abc import Iterator

from nano.evaluation.check import JSON, CallsTool, Check, system, user
from nano.evaluation.toolsets import (
    APIARY,
    ARCHIVE,
    BAKERY,
    BOOKS,
    CODE,
    GREENHOUSE,
    HARBOUR,
    MUSEUM,
    MUSIC,
    OBSERVATORY,
    OPERATIONS,
    OUTDOORS,
    PHARMACY,
    PLUMBING,
    TRAVEL,
    ZOO,
    named,
)

_HARBOUR_MASTER = "You are the assistant of a harbour office. Use the tools."

_REQUESTS: tuple[tuple[tuple[JSON, ...], tuple[tuple[str, str], ...]], ...] = (
    (
        HARBOUR,
        (
            ("Which moorings are free in Dubrovnik?", "list_moorings"),
            ("Please reserve a berth for the Quetzalcoatlus, three nights.", "reserve_berth"),
            ("When is high tide in Mombasa?", "get_tide_table"),
            ("We need a pilot boat for the Vega.", "hail_pilot"),
            ("I want to report a wreck two miles off Tromsø.", "report_wreck"),
        ),
    ),
    (
        APIARY,
        (
            ("Show me the last inspection of hive-0937.", "inspect_hive"),
            ("A swarm just left the apiary in Plovdiv, can you log it?", "log_swarm"),
            ("How heavy is the honeycomb of hive-0937?", "weigh_honeycomb"),
            ("The colony in MT/7741 needs a new queen, Barbara.", "requeen_colony"),
        ),
    ),
    (
        OBSERVATORY,
        (
            ("Where is comet Swift-Tuttle tonight?", "locate_comet"),
            ("Point the telescope at Vega for 20 minutes.", "aim_telescope"),
            ("What eclipses are there in 2031?", "list_eclipses"),
            ("How many meteors can I see from Isfahan?", "count_meteors"),
        ),
    ),
    (
        MUSEUM,
        (
            ("In which room is the sculpture The Weeping Heron?", "locate_sculpture"),
            ("Lend the painting Lady with a Marmot to the museum in Aarhus.", "lend_painting"),
            ("Tell me about the fossil B7F-22E.", "describe_fossil"),
            ("The tapestry Nine Lanterns is torn. Restore it for 4000 euros.", "restore_tapestry"),
        ),
    ),
    (
        MUSIC,
        (
            ("I'd like to read the lyrics of Moonlit Tandoor.", "fetch_lyrics"),
            ("Move the melody Kalevala March up by five semitones.", "transpose_melody"),
            ("Can you book the Łódź choir for 2027-05-08?", "book_choir"),
            ("Someone should tune Ingeborg's harp.", "tune_harp"),
        ),
    ),
    (
        PLUMBING,
        (
            ("Open valve TRC-88.", "open_valve"),
            ("Please close the valve R2D-5510 at once.", "close_valve"),
            ("What state is valve TRC-88 in? Inspect it.", "inspect_valve"),
            ("Flush boiler B7F-22E with 40 litres of water.", "flush_boiler"),
        ),
    ),
    (
        OPERATIONS,
        (
            ("Rotate the credential of the service okapi.", "rotateCredential"),
            ("node-eu-47 is going down for repair, drain the node.", "drainNode"),
            ("Show me the journal of unit.nebula-9.", "tailJournal"),
            ("Mute the alarm VCH-2209-17 for half an hour, 30 minutes.", "muteAlarm"),
            ("Resize the volume tamarin to 500 gigabytes.", "resizeVolume"),
        ),
    ),
    (
        BOOKS,
        (
            ("Find voucher VCH-2209-17.", "ledger.find_voucher"),
            ("Post an accrual of 250000 cents for 2026-10.", "ledger.post_accrual"),
            ("Where is the tractor R2D-5510 now?", "fleet.locate_tractor"),
            ("Plan an overhaul of PL-60432-Z on 2027-01-15.", "fleet.plan_overhaul"),
            ("I need the payslip of Olga Petrenko.", "payroll.get_payslip"),
        ),
    ),
    (
        (*ZOO, *OUTDOORS),
        (
            ("Feed the penguins 12 kilograms of fish.", "feed_penguins"),
            ("Xiomara wants to adopt the lemur Biscuit.", "adopt_lemur"),
            ("What is the pollen count in Saskatoon?", "get_pollen_count"),
            ("How high is the Zambezi? I need the river level.", "get_river_level"),
            ("Is there a risk of avalanches on Elbrus?", "get_avalanche_risk"),
        ),
    ),
    (
        OUTDOORS,
        (
            ("Is there a fog warning for the airport in Ljubljana?", "get_fog_warning"),
            ("When does the sun rise in Honolulu? Get me the sunrise.", "get_sunrise"),
            ("I sneeze all day. How much pollen is there in Hobart?", "get_pollen_count"),
        ),
    ),
    (
        PHARMACY,
        (
            ("Can I take ibuprofen and warfarin together?", "check_interaction"),
            ("What is the usual dosage of amoxicillin?", "get_dosage"),
            ("Renew the prescription of Mehmet, please.", "renew_prescription"),
        ),
    ),
    (
        (*CODE, *BAKERY),
        (
            ("How many stargazers does tokio-rs/axum have?", "count_stargazers"),
            ("Which milestones are open in gohugoio/hugo?", "list_milestones"),
            ("Who is to blame for src/widgets/zipper.py?", "show_blame"),
            ("What do 24 pretzels cost?", "price_pretzels"),
            ("Which allergens are in the Pumpernickel?", "list_allergens"),
        ),
    ),
    (
        (*ARCHIVE, *TRAVEL),
        (
            ("Trace the ancestors of Gwendolyn Pryce.", "trace_ancestor"),
            ("List four generations of descendants of Kofi Mensah.", "list_descendants"),
            ("Digitize the manuscript ~/scans/vellum_12.tiff.", "digitize_manuscript"),
            ("Search the parchments for the Treaty of Tordesillas.", "search_parchments"),
            ("When is the next ferry from Málaga to Honolulu?", "find_ferry"),
        ),
    ),
    (
        named("find_ferry", "call_rickshaw"),
        (
            ("Please call a rickshaw to 14 Mill Lane.", "call_rickshaw"),
            ("I need a ferry from Gdańsk to Aarhus.", "find_ferry"),
        ),
    ),
    (
        (*GREENHOUSE, *named("get_visa_rule", "bake_sourdough")),
        (
            ("Water the orchids in greenhouse PL-60432-Z with 8 litres.", "water_orchids"),
            ("Do I need a visa for Samarkand?", "get_visa_rule"),
            ("Bake 30 loaves of sourdough.", "bake_sourdough"),
            ("What seedling is this? The photo is ./build/kestrel.svg", "identify_seedling"),
        ),
    ),
    (  # the verb stands in several names, the noun in several descriptions
        named("list_moorings", "list_eclipses", "list_milestones", "list_allergens"),
        (
            ("List the eclipses of 2029.", "list_eclipses"),
            ("List the moorings in Québec.", "list_moorings"),
        ),
    ),
    (
        named("shred_dossier", "flag_dossier", "digitize_manuscript"),
        (
            ("Mark the dossier QX-48213-LK as critical.", "flag_dossier"),
            ("Destroy the dossier inv_90xk31 for good.", "shred_dossier"),
        ),
    ),
    (
        named("weigh_tortoise", "weigh_honeycomb"),
        (
            ("How much does the tortoise Lulu weigh?", "weigh_tortoise"),
            ("Weigh the honeycomb of hive-0937.", "weigh_honeycomb"),
        ),
    ),
)


def checks() -> Iterator[Check]:
    for tools, requests in _REQUESTS:
        for request, name in requests:
            told = [system(_HARBOUR_MASTER)] if tools is HARBOUR else []
            yield Check(messages=[*told, user(request)], tools=tools, expected=CallsTool(name))
