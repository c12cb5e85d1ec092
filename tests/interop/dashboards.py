"""Holds ops/grafana/*.json against Grafana's own schema, as its typed library for Python has it:

    pip install grafana-foundation-sdk && python3 tests/interop/dashboards.py

Each file is read into the types of the library, every value is compared with the type that it stands in,
and what the library writes again must have all that the file has: a key that the schema does not know is
lost on the way. Exit code 1, and the place, when something does not hold.
"""

import enum
import json
import pathlib
import sys
import types
import typing

from grafana_foundation_sdk.cog import encoder, plugins
from grafana_foundation_sdk.models import dashboard

# The library has no type for what annotations ask of a data source: Grafana hands it through.
HANDED_THROUGH = {"annotations.list.0.expr", "annotations.list.0.titleFormat"}


def lost(mine, theirs, at=""):
    """What the file has and the library did not keep, by its place."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        for key, value in mine.items():
            place = f"{at}.{key}".lstrip(".")
            if key not in theirs:
                # The library leaves out what is empty or null.
                if value not in (None, [], {}) and place not in HANDED_THROUGH:
                    yield f"{place}: unknown to the schema"
            else:
                yield from lost(value, theirs[key], place)
    elif isinstance(mine, list) and isinstance(theirs, list) and len(mine) == len(theirs):
        for index, (one, other) in enumerate(zip(mine, theirs)):
            yield from lost(one, other, f"{at}.{index}")
    elif mine != theirs:
        yield f"{at}: {mine!r} was read as {theirs!r}"


def fits(value, kind):
    """Whether a value may stand where this type is."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is typing.Any or kind is object or isinstance(kind, typing.TypeVar):
        return True
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, one) for one in inner)
    if origin is typing.Literal:
        return value in inner
    if origin is list:
        return isinstance(value, list) and all(fits(one, inner[0]) for one in value)
    if origin is dict:
        return isinstance(value, dict) and all(fits(one, inner[1]) for one in value.values())
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return value in [member.value for member in kind]
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    # Some parts stay dictionaries: the class that they are meant for reads them now.
    if isinstance(value, dict) and hasattr(kind, "from_json"):
        return not list(misfits(kind.from_json(value), ""))
    return isinstance(value, kind)


def misfits(value, at):
    """The fields below a value of the library that hold what their types do not allow."""
    if isinstance(value, (list, tuple)):
        for index, one in enumerate(value):
            yield from misfits(one, f"{at}.{index}")
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from misfits(one, f"{at}.{key}")
    elif hasattr(value, "to_json"):
        hints = typing.get_type_hints(type(value))
        for name, held in vars(value).items():
            if name in hints and held is not None and not fits(held, hints[name]):
                yield f"{at}.{name}: {held!r} is no {hints[name]}"
            yield from misfits(held, f"{at}.{name}")


def check(text):
    mine = json.loads(text)
    read = dashboard.Dashboard.from_json(mine)
    written = json.loads(encoder.JSONEncoder(sort_keys=True).encode(read))
    return [*lost(mine, written), *misfits(read, "")]


def main():
    plugins.register_default_plugins()
    files = sorted(pathlib.Path(__file__).parents[2].glob("ops/grafana/*.json"))
    # A check that finds nothing in what is wrong would be none.
    sample = files[0].read_text()
    for right, wrong in [('"drawStyle"', '"drawstyle"'), ('"line"', '"wavy"'), ('"w": 12', '"w": "12"')]:
        assert right in sample and check(sample.replace(right, wrong)), f"{wrong} was not found"
    found = [f"{file.name}: {fault}" for file in files for fault in check(file.read_text())]
    print(*found, f"dashboards: {len(files)} read, {len(found)} faults", sep="\n")
    return 1 if found or not files else 0


sys.exit(main())
