"""The value that was asked for, out of what a tool returned."""

from __future__ import annotations

import json
from collections.abc import Iterator

from nano.evaluation.check import (
    JSON,
    Check,
    Says,
    called,
    calling,
    system,
    tool_result,
    user,
)
from nano.evaluation.toolsets import named

# Question, tool, its arguments, what it returned, the value that answers the question.
_CASES: tuple[tuple[str, str, JSON, JSON | str, str], ...] = (
    ("How high is the Zambezi?", "get_river_level", {"river": "Zambezi"}, {"level_m": 3.4}, "3.4"),
    ("What is the level of the Orinoco?", "get_river_level", {"river": "Orinoco"}, {"level_cm": 871, "trend": "falling", "alarm": False}, "871"),
    ("What is the trend of the Irrawaddy?", "get_river_level", {"river": "Irrawaddy"}, {"level_cm": 402, "trend": "rising"}, "rising"),
    ("What is the water level of the Limpopo?", "get_river_level", {"river": "Limpopo"}, "The Limpopo stands at 615 cm and is steady.", "615"),
    ("How much pollen is there in Saskatoon?", "get_pollen_count", {"place": "Saskatoon"}, {"place": "Saskatoon", "grains": 148}, "148"),
    ("Which pollen is the worst in Málaga?", "get_pollen_count", {"place": "Málaga"}, {"grains": 92, "worst": "olive", "season": "spring"}, "olive"),
    ("Pollen count for Hobart?", "get_pollen_count", {"place": "Hobart"}, {"count": 27}, "27"),
    ("How many meteors can I see from Isfahan?", "count_meteors", {"place": "Isfahan"}, {"per_hour": 63}, "63"),
    ("From Tromsø, how many meteors an hour?", "count_meteors", {"place": "Tromsø"}, {"shower": "Leonids", "per_hour": 18, "clouds": "few"}, "18"),
    ("Which meteor shower can be seen from Quito?", "count_meteors", {"place": "Quito"}, {"shower": "Geminids", "per_hour": 110}, "Geminids"),
    ("When does the sun rise in Honolulu?", "get_sunrise", {"place": "Honolulu"}, {"sunrise": "06:14", "sunset": "19:02"}, "06:14"),
    ("Sunrise in Kyoto, please.", "get_sunrise", {"place": "Kyoto"}, {"sunrise": "05:47"}, "05:47"),
    ("What time is sunrise in Nouakchott?", "get_sunrise", {"place": "Nouakchott"}, "The sun rises in Nouakchott at 07:21.", "07:21"),
    ("Is there fog at the airport of Ljubljana?", "get_fog_warning", {"airport": "Ljubljana"}, {"warning": "dense fog", "until": "11:00"}, "dense fog"),
    ("Until when does the fog warning in Québec last?", "get_fog_warning", {"airport": "Québec"}, {"warning": "light fog", "until": "09:30"}, "09:30"),
    ("What is the avalanche risk on Elbrus?", "get_avalanche_risk", {"mountain": "Elbrus"}, {"risk": "considerable"}, "considerable"),
    ("Avalanche risk on Aconcagua?", "get_avalanche_risk", {"mountain": "Aconcagua"}, {"mountain": "Aconcagua", "level": 4, "snow_cm": 135}, "4"),
    ("How much snow lies on Popocatépetl?", "get_avalanche_risk", {"mountain": "Popocatépetl"}, {"level": 2, "snow_cm": 58, "wind_kmh": 71}, "58"),
    ("When is high tide in Mombasa?", "get_tide_table", {"port": "Mombasa"}, {"high": "14:52", "low": "08:31"}, "14:52"),
    ("When is low tide in Dubrovnik?", "get_tide_table", {"port": "Dubrovnik"}, {"high": "03:15", "low": "09:40"}, "09:40"),
    ("How many moorings are free in Gdańsk?", "list_moorings", {"harbour": "Gdańsk"}, {"free": 11, "total": 240}, "11"),
    ("How many moorings does Aarhus have in total?", "list_moorings", {"harbour": "Aarhus"}, {"free": 3, "total": 418}, "418"),
    ("Who inspected hive-0937 last?", "inspect_hive", {"hive": "hive-0937"}, {"inspector": "Fatoumata", "date": "2026-08-30"}, "Fatoumata"),
    ("When was hive-0937 inspected?", "inspect_hive", {"hive": "hive-0937"}, {"inspector": "Ximena", "date": "2026-09-14", "mites": 2}, "2026-09-14"),
    ("How heavy is the honeycomb of MT/7741?", "weigh_honeycomb", {"hive": "MT/7741"}, {"grams": 1830}, "1830"),
    ("In which room is The Weeping Heron?", "locate_sculpture", {"title": "The Weeping Heron"}, {"room": "C17", "floor": 2}, "C17"),
    ("On which floor is Lady with a Marmot?", "locate_sculpture", {"title": "Lady with a Marmot"}, {"room": "A4", "floor": 13}, "13"),
    ("How old is the fossil B7F-22E?", "describe_fossil", {"specimen": "B7F-22E"}, {"species": "Quetzalcoatlus", "age": "68 million years"}, "68 million"),
    ("Which species is the fossil R2D-5510?", "describe_fossil", {"specimen": "R2D-5510"}, {"species": "Quetzalcoatlus", "found_by": "Bao Tran"}, "Quetzalcoatlus"),
    ("Who found the fossil TRC-88?", "describe_fossil", {"specimen": "TRC-88"}, {"species": "pangolin", "found_by": "Leila Haddad"}, "Leila Haddad"),
    ("Where is the tractor PL-60432-Z?", "fleet.locate_tractor", {"tractor": "PL-60432-Z"}, {"place": "Cochabamba", "fuel": 44}, "Cochabamba"),
    ("How much fuel has the tractor R2D-5510?", "fleet.locate_tractor", {"tractor": "R2D-5510"}, {"place": "Minsk", "fuel": 81}, "81"),
    ("Where is the tractor TRC-88 right now?", "fleet.locate_tractor", {"tractor": "TRC-88"}, "It is parked in Kalamazoo.", "Kalamazoo"),
    ("Who issued voucher VCH-2209-17?", "ledger.find_voucher", {"voucher": "VCH-2209-17"}, {"issuer": "Sven Lindqvist", "amount": 4120, "currency": "SEK"}, "Sven Lindqvist"),
    ("What is the amount of voucher inv_90xk31?", "ledger.find_voucher", {"voucher": "inv_90xk31"}, {"issuer": "Mimi", "amount": 9955}, "9955"),
    ("What does Olga Petrenko earn?", "payroll.get_payslip", {"employee": "Olga Petrenko"}, {"month": "October", "net": 3187}, "3187"),
    ("For which month is the payslip of Juan Pablo?", "payroll.get_payslip", {"employee": "Juan Pablo"}, {"month": "February", "net": 2740}, "February"),
    ("What is the dosage of amoxicillin?", "get_dosage", {"medicine": "amoxicillin"}, {"dose": "500 mg", "times_a_day": 3}, "500 mg"),
    ("How many hours apart do I take warfarin?", "get_dosage", {"medicine": "warfarin"}, {"dose": "5 mg", "hours_apart": 12}, "12"),
    ("How many stargazers has tokio-rs/axum?", "count_stargazers", {"repository": "tokio-rs/axum"}, {"stargazers": 21874}, "21874"),
    ("How many people starred sveltejs/kit?", "count_stargazers", {"repository": "sveltejs/kit"}, {"repository": "sveltejs/kit", "stargazers": 19302, "watchers": 164}, "19302"),
    ("Who changed ./build/kestrel.svg last?", "show_blame", {"path": "./build/kestrel.svg"}, {"author": "Noémie Leclerc", "line": 12}, "Noémie Leclerc"),
    ("What do 36 pretzels cost?", "price_pretzels", {"quantity": 36}, {"price": 54, "currency": "euro"}, "54"),
    ("Which allergens are in the Pumpernickel?", "list_allergens", {"product": "Pumpernickel"}, "It contains sesame.", "sesame"),
    ("How much does the tortoise Biscuit weigh?", "weigh_tortoise", {"tortoise": "Biscuit"}, {"kg": 87, "age": 112}, "87"),
    ("How old is the tortoise Lulu?", "weigh_tortoise", {"tortoise": "Lulu"}, {"kg": 41, "age": 59, "diet": "hay"}, "59"),
    ("Who was the grandfather of Kofi Mensah?", "trace_ancestor", {"person": "Kofi Mensah"}, {"father": "Kwame", "grandfather": "Ioannis"}, "Ioannis"),
    ("When does the next ferry from Aarhus to Gdańsk leave?", "find_ferry", {"origin": "Aarhus", "destination": "Gdańsk"}, {"ship": "Vega", "leaves": "22:45", "price": 79}, "22:45"),
    ("What is the price of the ferry from Málaga to Timbuktu?", "find_ferry", {"origin": "Málaga", "destination": "Timbuktu"}, {"ship": "Lohengrin", "leaves": "13:20", "price": 64}, "64"),
    ("What is the name of the ship from Hobart to Honolulu?", "find_ferry", {"origin": "Hobart", "destination": "Honolulu"}, {"ship": "Turandot", "leaves": "06:00"}, "Turandot"),
    ("How much is the visa fee for Samarkand?", "get_visa_rule", {"country": "Samarkand"}, {"visa": "required", "fee": 55}, "55"),
    ("What is the dew point in Tbilisi in kelvin?", "get_dew_point", {"place": "Tbilisi", "scale": "kelvin"}, {"dew_point": 281.6}, "281.6"),
)  # fmt: skip

_SYSTEM = "Answer in one sentence."


def checks() -> Iterator[Check]:
    for number, (question, name, arguments, result, value) in enumerate(_CASES):
        told = [system(_SYSTEM)] if number % 4 == 3 else []
        answer = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
        yield Check(
            messages=[
                *told,
                user(question),
                calling(called("call_1", name, json.dumps(arguments, ensure_ascii=False))),
                tool_result("call_1", answer),
            ],
            tools=named(name),
            expected=Says((value,)),
        )
