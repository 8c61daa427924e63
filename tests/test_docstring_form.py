# SPDX-License-Identifier: Apache-2.0
"""The form of docstrings: every public thing of the folders below has one; sections are those of
amaranth.lib, with ``name : type`` lines and indented descriptions, and name parameters that are there."""

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

SECTIONS = ("Parameters", "Attributes", "Returns", "Raises")
OPTIONAL = ("flwr", "torch")  # packages of extras that `make setup` does not install
ROOT = Path(__file__).parent.parent
MODULES = sorted(
    f"backspike.{'.'.join(path.relative_to(ROOT).with_suffix('').parts)}"
    for folder in ("spec", "golden", "host", "api", "cli")
    for path in (ROOT / folder).rglob("*.py")
    if path.stem not in ("__init__", "__main__")
)


def public_things(module):
    """Classes, functions and methods that a module defines, by name."""
    for name, thing in vars(module).items():
        if name.startswith("_") or getattr(thing, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(thing):
            yield name, thing
            for member, value in vars(thing).items():
                function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
                if not member.startswith("_") and inspect.isfunction(inspect.unwrap(function)):
                    yield f"{name}.{member}", getattr(thing, member)
        elif callable(thing) and hasattr(thing, "__qualname__"):
            yield name, thing


def sections(text):
    """Sections of a docstring: ``{title: lines}``, the line under a title left out."""
    lines, found, title = text.splitlines(), {}, None
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if below and set(below) == {"-"}:
            title = line
            assert title in SECTIONS, f"section must be one of {SECTIONS}, not {title!r}"
            assert len(below) == len(title), f"the line under {title} must be as long as the title"
            found[title] = []
        elif title and not (line and set(line) == {"-"}):
            found[title].append(line)
    return found


def parameters(thing):
    """Names of a function's or a class's parameters, with stars as they are documented."""
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return {stars.get(p.kind, "") + name for name, p in inspect.signature(thing).parameters.items()}


def problems(thing):
    """What is wrong with a docstring, in words."""
    text = inspect.getdoc(thing)
    if not text:
        yield "has none"
        return
    try:
        found = sections(text)
    except AssertionError as error:
        yield str(error)
        return
    for title, lines in found.items():
        items = [line for line in lines if line and not line.startswith(" ")]
        if not items:
            yield f"{title} is empty"
        for item in items:
            position = lines.index(item)
            described = position + 1 < len(lines) and lines[position + 1].startswith("    ")
            if ": " in item and " : " not in item:
                yield f"{title} must have 'name : type', not {item!r}"
            elif not described:
                yield f"{title} must describe {item!r} in indented lines"
        if title == "Parameters":
            names = {name for item in items for name in item.split(" : ")[0].split(", ")}
            if unknown := names - parameters(thing):
                yield f"there are no parameters {sorted(unknown)}"
        if title == "Raises":
            for item in items:
                if not re.fullmatch(r"\w+(, \w+)*", item):
                    yield f"Raises must name exceptions, not {item!r}"


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_have_one_form(name):
    try:
        module = import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in OPTIONAL:
            raise
        pytest.skip(f"{error.name} is not installed")
    assert module.__doc__, f"{name} must say what it is for"
    wrong = [f"{thing}: {problem}" for thing, value in public_things(module) for problem in problems(value)]
    assert not wrong, "\n".join(wrong)


def test_what_is_wrong_is_found():
    def function(size):
        """Do something.

        Parameters
        ----------
        size: a number
        other : int
            Not there.
        width : int

        Raises
        ------
        ValueError: it is wrong
        """

    found = list(problems(function))
    assert len(found) == 5
    for text in (
        "'size: a number'",
        "['other', 'size: a number', 'width']",
        "'width : int'",
        "'ValueError: it is wrong'",
    ):
        assert any(text in problem for problem in found), text
