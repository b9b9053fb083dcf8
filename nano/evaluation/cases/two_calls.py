"""Two things are asked, each needs a call, and the answer needs both results."""

from __future__ import annotations

import json
from collections.abc import Iterator

from nano.evaluation.check import JSON, Call, CallsThenSays, Check, Result, user
from nano.evaluation.toolsets import named

_Step = tuple[str, JSON, JSON, str]
"""A tool, its arguments, what it returns, the value of it that the answer must hold."""


def _pollen(place: str, grains: int) -> _Step:
    return "get_pollen_count", {"place": place}, {"grains": grains}, str(grains)


def _river(river: str, level: int) -> _Step:
    return "get_river_level", {"river": river}, {"level_cm": level}, str(level)


def _risk(mountain: str, risk: str) -> _Step:
    return "get_avalanche_risk", {"mountain": mountain}, {"risk": risk}, risk


def _sunrise(place: str, time: str) -> _Step:
    return "get_sunrise", {"place": place}, {"sunrise": time}, time


def _meteors(place: str, count: int) -> _Step:
    return "count_meteors", {"place": place}, {"per_hour": count}, str(count)


def _stars(repository: str, count: int) -> _Step:
    return "count_stargazers", {"repository": repository}, {"stargazers": count}, str(count)


def _tractor(tractor: str, place: str) -> _Step:
    return "fleet.locate_tractor", {"tractor": tractor}, {"place": place}, place


def _voucher(voucher: str, amount: int) -> _Step:
    return "ledger.find_voucher", {"voucher": voucher}, {"amount": amount}, str(amount)


def _dosage(medicine: str, dose: str) -> _Step:
    return "get_dosage", {"medicine": medicine}, {"dose": dose}, dose


def _tortoise(tortoise: str, weight: int) -> _Step:
    return "weigh_tortoise", {"tortoise": tortoise}, {"kg": weight}, str(weight)


def _honeycomb(hive: str, grams: int) -> _Step:
    return "weigh_honeycomb", {"hive": hive}, {"grams": grams}, str(grams)


def _sculpture(title: str, room: str) -> _Step:
    return "locate_sculpture", {"title": title}, {"room": room}, room


# A request, and the two calls that it needs.
_CASES: tuple[tuple[str, _Step, _Step], ...] = (
    ("What is the pollen count in Hobart and in Quito?", _pollen("Hobart", 31), _pollen("Quito", 87)),
    ("Compare the pollen in Ljubljana and Zürich.", _pollen("Ljubljana", 152), _pollen("Zürich", 64)),
    ("How much pollen is there in Kyoto? And in Minsk?", _pollen("Kyoto", 19), _pollen("Minsk", 240)),
    ("Pollen counts for Buenos Aires and São Paulo, please.", _pollen("Buenos Aires", 75), _pollen("São Paulo", 38)),
    ("How high are the Zambezi and the Limpopo?", _river("Zambezi", 318), _river("Limpopo", 92)),
    ("Get the river levels of the Orinoco and the Irrawaddy.", _river("Orinoco", 774), _river("Irrawaddy", 451)),
    ("What is the level of the Irrawaddy, and that of the Zambezi?", _river("Irrawaddy", 266), _river("Zambezi", 503)),
    ("What is the avalanche risk on Elbrus and on Aconcagua?", _risk("Elbrus", "moderate"), _risk("Aconcagua", "extreme")),
    ("Tell me the avalanche risk on Kilimanjaro and Popocatépetl.", _risk("Kilimanjaro", "low"), _risk("Popocatépetl", "high")),
    ("When does the sun rise in Honolulu and in Tromsø?", _sunrise("Honolulu", "06:21"), _sunrise("Tromsø", "09:48")),
    ("Sunrise in Mombasa and Nouakchott?", _sunrise("Mombasa", "06:05"), _sunrise("Nouakchott", "07:14")),
    ("I fly from Québec to Hyderabad. When is sunrise in each of them?", _sunrise("Québec", "05:33"), _sunrise("Hyderabad", "06:42")),
    ("How many meteors can be seen from Isfahan and from Tbilisi?", _meteors("Isfahan", 63), _meteors("Tbilisi", 21)),
    ("Count the meteors over Walla Walla and over Bora Bora.", _meteors("Walla Walla", 14), _meteors("Bora Bora", 97)),
    ("How many stargazers have tokio-rs/axum and gohugoio/hugo?", _stars("tokio-rs/axum", 21874), _stars("gohugoio/hugo", 78120)),
    ("Compare the stargazers of sveltejs/kit and helix-editor/helix.", _stars("sveltejs/kit", 19302), _stars("helix-editor/helix", 38455)),
    ("Where are the tractors TRC-88 and R2D-5510?", _tractor("TRC-88", "Plovdiv"), _tractor("R2D-5510", "Samarkand")),
    ("Locate tractor PL-60432-Z and tractor B7F-22E.", _tractor("PL-60432-Z", "Kalamazoo"), _tractor("B7F-22E", "Saskatoon")),
    ("What are the amounts of the vouchers VCH-2209-17 and inv_90xk31?", _voucher("VCH-2209-17", 4120), _voucher("inv_90xk31", 885)),
    ("Look up voucher QX-48213-LK and voucher PL-60432-Z.", _voucher("QX-48213-LK", 1370), _voucher("PL-60432-Z", 96)),
    ("What are the dosages of warfarin and ibuprofen?", _dosage("warfarin", "5 mg"), _dosage("ibuprofen", "400 mg")),
    ("How much do the tortoises Lulu and Biscuit weigh?", _tortoise("Lulu", 41), _tortoise("Biscuit", 187)),
    ("How heavy are the honeycombs of hive-0937 and MT/7741?", _honeycomb("hive-0937", 1830), _honeycomb("MT/7741", 2405)),
    # two different tools
    ("What is the pollen count in Málaga and when does the sun rise there?", _pollen("Málaga", 58), _sunrise("Málaga", "07:02")),
    ("How high is the Orinoco, and what is the avalanche risk on Aconcagua?", _river("Orinoco", 639), _risk("Aconcagua", "considerable")),
    ("When is sunrise in Reykjavik and how many meteors can I see from there?", _sunrise("Reykjavik", "10:12"), _meteors("Reykjavik", 35)),
    ("Get the dosage of amoxicillin and find voucher VCH-2209-17.", _dosage("amoxicillin", "250 mg"), _voucher("VCH-2209-17", 719)),
    ("Where is tractor TRC-88, and what is the level of the Limpopo?", _tractor("TRC-88", "Cochabamba"), _river("Limpopo", 144)),
    ("How much does the tortoise Mimi weigh, and the honeycomb of hive-0937?", _tortoise("Mimi", 76), _honeycomb("hive-0937", 1145)),
    ("In which room is The Weeping Heron, and how many meteors are seen from Kyoto?", _sculpture("The Weeping Heron", "C17"), _meteors("Kyoto", 48)),
    ("Count the stargazers of gohugoio/hugo, then locate tractor B7F-22E.", _stars("gohugoio/hugo", 78120), _tractor("B7F-22E", "Aarhus")),
    ("First the sunrise in Hobart, then the pollen count in Łódź.", _sunrise("Hobart", "05:29"), _pollen("Łódź", 113)),
    ("Is there pollen in Addis Ababa, and how high is the Zambezi?", _pollen("Addis Ababa", 26), _river("Zambezi", 355)),
    ("Avalanche risk on Elbrus and level of the Irrawaddy, please.", _risk("Elbrus", "high"), _river("Irrawaddy", 580)),
    ("I need the amount of voucher inv_90xk31 and the dosage of ibuprofen.", _voucher("inv_90xk31", 5210), _dosage("ibuprofen", "200 mg")),
    ("Find the sculpture Lady with a Marmot and weigh the tortoise Lulu.", _sculpture("Lady with a Marmot", "A4"), _tortoise("Lulu", 39)),
    ("When does the sun rise in Dubrovnik? Also, how much pollen is in Gdańsk?", _sunrise("Dubrovnik", "06:37"), _pollen("Gdańsk", 81)),
    ("How many meteors over Valparaíso, and what is the risk on Popocatépetl?", _meteors("Valparaíso", 52), _risk("Popocatépetl", "moderate")),
    ("Tell me the river level of the Limpopo and the sunrise in Mombasa.", _river("Limpopo", 207), _sunrise("Mombasa", "06:11")),
    ("Where is tractor PL-60432-Z and how much is voucher QX-48213-LK?", _tractor("PL-60432-Z", "Timbuktu"), _voucher("QX-48213-LK", 3345)),
    ("Please check the pollen in Kuala Lumpur and the stargazers of tokio-rs/axum.", _pollen("Kuala Lumpur", 44), _stars("tokio-rs/axum", 21874)),
    ("How heavy is the honeycomb of MT/7741, and how high is the Orinoco?", _honeycomb("MT/7741", 960), _river("Orinoco", 812)),
)  # fmt: skip
_OTHERS = ("report_wreck", "find_ferry")


def checks() -> Iterator[Check]:
    for number, (request, *steps) in enumerate(_CASES):
        names = dict.fromkeys(name for name, *_ in steps)
        offered = named(*names, *_OTHERS[: 1 + number % 2])
        yield Check(
            messages=[user(request)],
            tools=offered if number % 3 else offered[::-1],
            results=tuple(
                Result(name, arguments, json.dumps(result)) for name, arguments, result, _ in steps
            ),
            expected=CallsThenSays(
                calls=tuple(Call(name, arguments) for name, arguments, *_ in steps),
                values=tuple(value for *_, value in steps),
            ),
        )
