"""The tools that checks offer, in sets as a real server might hold them."""

from __future__ import annotations

from nano.evaluation.check import JSON


def text(name: str, description: str = "") -> JSON:
    """Returns a property of type string."""
    return _property(name, {"type": "string"}, description)


def integer(name: str, description: str = "") -> JSON:
    """Returns a property of type integer."""
    return _property(name, {"type": "integer"}, description)


def choice(name: str, *values: str, description: str = "") -> JSON:
    """Returns a property that is one of these strings."""
    return _property(name, {"type": "string", "enum": list(values)}, description)


def optional(property_: JSON) -> JSON:
    """Returns the property as one that a call may leave out."""
    return {**property_, "optional": True}


def tool(name: str, description: str, *properties: JSON) -> JSON:
    """Returns a function tool in the chat wire format."""
    required = [one["name"] for one in properties if not one.get("optional")]
    parameters = {
        "type": "object",
        "properties": {one["name"]: one["schema"] for one in properties},
        "required": required,
    }
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


def _property(name: str, schema: JSON, description: str) -> JSON:
    described = {**schema, "description": description} if description else schema
    return {"name": name, "schema": described}


def name_of(offered: JSON) -> str:
    """Returns the name of a tool."""
    name: str = offered["function"]["name"]
    return name


def named(*names: str) -> tuple[JSON, ...]:
    """Returns the tools of these names."""
    return tuple(_BY_NAME[name] for name in names)


HARBOUR = (
    tool(
        "list_moorings",
        "List the free moorings in a harbour.",
        text("harbour", "Name of the harbour"),
    ),
    tool(
        "reserve_berth",
        "Reserve a berth for a vessel.",
        text("vessel", "Name of the vessel"),
        integer("nights", "How many nights it stays"),
    ),
    tool(
        "get_tide_table",
        "Get the times of high and low tide at a port.",
        text("port", "Name of the port"),
        optional(text("date", "Day as YYYY-MM-DD; today if left out")),
    ),
    tool("hail_pilot", "Call a pilot boat to guide a vessel in.", text("vessel")),
    tool(
        "report_wreck",
        "Report a wreck or another danger to shipping.",
        text("position", "Where it lies"),
        optional(text("remarks")),
    ),
)

APIARY = (
    tool("inspect_hive", "Show the last inspection of a hive.", text("hive", "Label of the hive")),
    tool(
        "log_swarm",
        "Record that a swarm of bees has left.",
        text("apiary"),
        optional(integer("bees", "Rough number of bees")),
    ),
    tool("weigh_honeycomb", "Weigh the honeycomb of a hive, in grams.", text("hive")),
    tool(
        "requeen_colony",
        "Give a colony of bees a new queen.",
        text("hive"),
        text("queen", "Name or number of the new queen"),
    ),
)

OBSERVATORY = (
    tool("locate_comet", "Tell where in the sky a comet stands tonight.", text("comet")),
    tool(
        "aim_telescope",
        "Point the telescope at a target.",
        text("target", "A star, planet or galaxy"),
        integer("minutes", "How long to observe it"),
    ),
    tool("list_eclipses", "List the solar and lunar eclipses of a year.", integer("year")),
    tool(
        "count_meteors",
        "Tell how many meteors an hour can be seen from a place.",
        text("place", "City or region"),
    ),
)

MUSEUM = (
    tool("locate_sculpture", "Tell in which room a sculpture stands.", text("title")),
    tool(
        "lend_painting",
        "Lend a painting to another museum.",
        text("title", "Title of the painting"),
        text("borrower", "The museum that receives it"),
        optional(integer("months")),
    ),
    tool("describe_fossil", "Describe a fossil of the collection.", text("specimen")),
    tool(
        "restore_tapestry",
        "Order the restoration of a damaged tapestry.",
        text("title"),
        integer("budget", "In euros"),
    ),
)

MUSIC = (
    tool("fetch_lyrics", "Fetch the words of a song.", text("song", "Title of the song")),
    tool(
        "transpose_melody",
        "Move a melody up or down.",
        text("melody"),
        integer("semitones", "Negative is down"),
    ),
    tool("book_choir", "Book a choir for a concert.", text("choir"), text("date")),
    tool("tune_harp", "Send a technician to tune a harp.", text("owner", "Whose harp it is")),
)

PLUMBING = (
    tool("open_valve", "Open a valve.", text("valve", "Number of the valve")),
    tool("close_valve", "Close a valve.", text("valve", "Number of the valve")),
    tool("inspect_valve", "Report the state and the last service of a valve.", text("valve")),
    tool("flush_boiler", "Flush a boiler with clean water.", text("boiler"), integer("litres")),
)

OPERATIONS = (
    tool("rotateCredential", "Replace a service's credential by a new one.", text("service")),
    tool("drainNode", "Move all work away from a node.", text("node", "Name of the node")),
    tool(
        "tailJournal",
        "Show the last lines of a unit's journal.",
        text("unit", "Name of the unit"),
        optional(integer("lines", "How many lines")),
    ),
    tool(
        "muteAlarm",
        "Silence an alarm for some minutes.",
        text("alarm"),
        integer("minutes"),
    ),
    tool("resizeVolume", "Make a volume larger.", text("volume"), integer("gigabytes")),
)

BOOKS = (
    tool("ledger.find_voucher", "Look up a voucher by its number.", text("voucher")),
    tool(
        "ledger.post_accrual",
        "Post an accrual for a period.",
        integer("amount", "In cents"),
        text("period", "Month as YYYY-MM"),
    ),
    tool("fleet.locate_tractor", "Tell where a tractor is right now.", text("tractor")),
    tool(
        "fleet.plan_overhaul",
        "Plan the overhaul of a machine.",
        text("machine"),
        text("date", "Day as YYYY-MM-DD"),
    ),
    tool(
        "payroll.get_payslip",
        "Get the latest payslip of an employee.",
        text("employee", "Full name"),
    ),
)

ZOO = (
    tool("feed_penguins", "Feed the penguins.", integer("kilograms", "Kilograms of fish")),
    tool("weigh_tortoise", "Weigh a tortoise.", text("tortoise", "Its name")),
    tool("adopt_lemur", "Become the sponsor of a lemur.", text("sponsor"), text("lemur")),
)

OUTDOORS = (
    tool("get_pollen_count", "Get the pollen count of a place.", text("place", "City or region")),
    tool("get_river_level", "Get the water level of a river.", text("river")),
    tool("get_avalanche_risk", "Get the risk of avalanches on a mountain.", text("mountain")),
    tool("get_fog_warning", "Get the fog warning for an airport.", text("airport", "Its city")),
    tool(
        "get_sunrise",
        "Get the time of sunrise.",
        text("place", "City or region"),
        optional(text("date", "Day as YYYY-MM-DD")),
    ),
)

PHARMACY = (
    tool(
        "check_interaction",
        "Check whether two medicines may be taken together.",
        text("first"),
        text("second"),
    ),
    tool("get_dosage", "Get the usual dosage of a medicine.", text("medicine")),
    tool("renew_prescription", "Renew a patient's prescription.", text("patient", "Full name")),
)

CODE = (
    tool(
        "count_stargazers",
        "Count the people who starred a repository.",
        text("repository", "As owner/name"),
    ),
    tool(
        "list_milestones",
        "List the open milestones of a repository.",
        text("repository", "As owner/name"),
    ),
    tool(
        "show_blame",
        "Show who last changed each line of a file.",
        text("path", "Path of the file"),
        optional(text("branch")),
    ),
)

BAKERY = (
    tool("price_pretzels", "Tell the price of a number of pretzels.", integer("quantity")),
    tool("bake_sourdough", "Put loaves of sourdough into the oven.", integer("loaves")),
    tool("list_allergens", "List the allergens in a product.", text("product")),
)

ARCHIVE = (
    tool("trace_ancestor", "Trace the ancestors of a person.", text("person", "Full name")),
    tool(
        "list_descendants",
        "List the descendants of a person.",
        text("person"),
        integer("generations", "How many generations"),
    ),
    tool("digitize_manuscript", "Read a scanned manuscript.", text("path", "Path of the scan")),
    tool("shred_dossier", "Destroy a dossier for good.", text("dossier", "Number of the dossier")),
    tool("search_parchments", "Search the parchments for words.", text("query")),
)

GREENHOUSE = (
    tool(
        "water_orchids",
        "Water the orchids in a greenhouse.",
        text("greenhouse"),
        integer("litres", "Litres of water"),
    ),
    tool("identify_seedling", "Tell from a photo what a seedling is.", text("photo", "Path")),
)

TRAVEL = (
    tool(
        "find_ferry",
        "Find the next ferry between two ports.",
        text("origin", "Where the trip begins"),
        text("destination", "Where it ends"),
    ),
    tool("get_visa_rule", "Tell whether a traveller needs a visa.", text("country")),
    tool("call_rickshaw", "Send a rickshaw to an address.", text("address")),
)

CHOICES = (
    tool(
        "get_dew_point",
        "Get the dew point of a place.",
        text("place", "City or region"),
        choice("scale", "kelvin", "rankine", "celsius"),
    ),
    tool(
        "play_anthem",
        "Play the anthem of a place on an instrument.",
        text("place"),
        choice("instrument", "bagpipe", "trombone", "accordion", "zither"),
    ),
    tool(
        "assign_locker",
        "Give a person a locker.",
        text("person", "Who gets it"),
        choice("size", "small", "medium", "large"),
    ),
    tool(
        "print_diploma",
        "Print a diploma for a graduate.",
        text("graduate", "Full name"),
        choice("language", "latin", "welsh", "basque"),
    ),
    tool(
        "rent_kayak",
        "Rent a kayak to a guest.",
        text("guest"),
        choice("kind", "single", "tandem", "inflatable"),
    ),
    tool(
        "flag_dossier",
        "Mark a dossier as urgent to a degree.",
        text("dossier", "Its number"),
        choice("severity", "minor", "major", "critical"),
    ),
    tool(
        "export_blueprint",
        "Write a blueprint in another format.",
        text("path", "Path of the blueprint"),
        choice("format", "svg", "dxf", "pdf"),
    ),
    tool(
        "quote_freight",
        "Quote a price for freight.",
        text("destination"),
        choice("mode", "rail", "barge", "truck", description="Means of transport"),
    ),
    tool(
        "enroll_apprentice",
        "Enroll an apprentice in a trade.",
        text("apprentice", "Full name"),
        choice("trade", "carpentry", "plumbing", "welding", "masonry"),
    ),
    tool(
        "glaze_pot",
        "Glaze a pot in a colour.",
        text("pot", "Number of the pot"),
        choice("glaze", "celadon", "cobalt", "oxblood"),
    ),
    tool(
        "plan_pilgrimage",
        "Plan a pilgrimage.",
        text("goal", "Where it leads"),
        choice("pace", "leisurely", "steady", "brisk"),
    ),
    tool(
        "engrave_trophy",
        "Engrave a winner's name on a trophy.",
        text("winner"),
        choice("metal", "bronze", "silver", "gold", "pewter"),
    ),
)

SETS = (
    *(HARBOUR, APIARY, OBSERVATORY, MUSEUM, MUSIC, PLUMBING, OPERATIONS, BOOKS, ZOO, OUTDOORS),
    *(PHARMACY, CODE, BAKERY, ARCHIVE, GREENHOUSE, TRAVEL, CHOICES),
)
EVERY = tuple(offered for tools in SETS for offered in tools)
_BY_NAME = {name_of(offered): offered for offered in EVERY}
