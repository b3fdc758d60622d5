"""Values against shapes: by botocore's own validator, and by the limits that it leaves to AWS."""

import re

from botocore.validate import ParamValidator

# Java's classes of characters, which Python does not know, as far as the models name them.
CLASSES = {r"\p{C}": r"\x00-\x1f\x7f", r"\p{L}": r"\w", r"\p{N}": r"\d", r"\p{Z}": r"\s"}
CLASSES |= {r"\p{Graph}": r"!-~", r"\p{Print}": r" -~", r"\p{Cntrl}": r"\x00-\x1f\x7f"}


def problems(value, shape):
    """Everything about `value` that `shape` does not allow, as text."""
    report = ParamValidator().validate(value, shape)
    found = [report.generate_report()] if report.has_errors() else []
    return found + list(_beyond(value, shape, shape.name))


def _beyond(value, shape, where):
    kind = shape.type_name
    if kind == "structure":
        for name, member in value.items():
            if name in shape.members:
                yield from _beyond(member, shape.members[name], f"{where}.{name}")
            else:
                yield f"{where} has no member {name}"
    elif kind == "list":
        yield from _within(len(value), shape, where)
        for member in value:
            yield from _beyond(member, shape.member, where)
    elif kind == "map":
        yield from _within(len(value), shape, where)
        for key, member in value.items():
            yield from _beyond(key, shape.key, f"{where} (a key)")
            yield from _beyond(member, shape.value, f"{where}[{key}]")
    elif kind == "string" and isinstance(value, str):
        yield from _within(len(value), shape, where)
        yield from _spelled(value, shape, where)
    elif kind in ("integer", "long"):
        yield from _within(value, shape, where)


def _within(number, shape, where):
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and number < least:
        yield f"{where}: {number} is below {least}"
    if most is not None and number > most:
        yield f"{where}: {number} is above {most}"


def _spelled(value, shape, where):
    allowed = shape.metadata.get("enum")
    if allowed and value not in allowed:
        yield f"{where}: {value} is none of {', '.join(allowed)}"
    pattern = shape.metadata.get("pattern")
    if pattern and not _compiled(pattern).fullmatch(value):
        yield f"{where}: does not match {pattern}"


def _compiled(pattern):
    for java, python in CLASSES.items():
        pattern = pattern.replace(java, python)
    return re.compile(pattern)
