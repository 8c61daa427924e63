# SPDX-License-Identifier: Apache-2.0
"""Sphinx configuration: the pages, and a reference of every module made from its docstrings.

The sources are the whole checkout, so that links between README and pages are checked too: ``sphinx -c docs . SITE``.
"""

import importlib.util
import os
import pkgutil
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PARTS = {
    "spec": "what all others agree on",
    "golden": "golden model",
    "hw": "hardware generator",
    "host": "compiler, driver, training",
    "sim": "simulations",
    "fpga": "boards, bitstreams, standard cells",
    "api": "networks in Python",
    "cli": "command line",
}
REFERENCE = Path(__file__).with_name("reference")  # written anew by each build; not in git

project = "backspike"
author = "the backspike authors"
version = release = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

root_doc = "docs/index"
include_patterns = ["*.md", "docs/**"]
exclude_patterns = [".venv", "build"]
extensions = ["myst_nb", "sphinx.ext.autodoc"]
source_suffix = {".md": "myst-nb", ".rst": "restructuredtext"}
myst_heading_anchors = 4  # links to headings, as on code forges
nb_execution_mode = "force"  # tutorials are run each time, so that one that is broken is an error
nb_execution_raise_on_error = True
nb_execution_in_temp = True
suppress_warnings = ["misc.highlighting_failure"]  # of commands of IPython, where they are taken for Python
nb_merge_streams = True
nb_execution_timeout = 1800  # seconds a cell: a simulation may have to be compiled, beside other work
nb_execution_excludepatterns = [] if importlib.util.find_spec("torch") else ["docs/tutorials/pytorch.md"]
autodoc_member_order = "bysource"
autodoc_mock_imports = ["flwr", "liberty", "sympy", "torch"]  # of extras that are not needed for the pages
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
python_use_unqualified_type_names = True
html_theme = "furo"
html_title = f"backspike {version}"

_MARKUP = re.compile(r"(``.+?``|:\w+:`[^`]+`)", re.DOTALL)
_UNDERLINE = re.compile(r"-{3,}")
_BULLET = re.compile(r"([*-]|\d+\.) ")
_ENTRY = re.compile(r"([^:]+?):\s+(\S.*)")


def _plain(text):
    """Docstrings are plain text with ``literals`` and references such as :mod:`name`: nothing else is markup."""
    parts = _MARKUP.split(text)
    return "".join(part if index % 2 else re.sub(r"([\\*|_`])", r"\\\1", part) for index, part in enumerate(parts))


def _paragraph(lines):
    """A paragraph, a list, or else an indented text, which is shown as it is."""
    if _BULLET.match(lines[0]):
        marks = [_BULLET.match(line) for line in lines]
        return [
            mark[0] + _plain(line[mark.end() :]) if mark else _plain(line)
            for mark, line in zip(marks, lines, strict=True)
        ]
    if any(line.startswith(" ") for line in lines):
        return ["::", "", *(f"    {line}" for line in lines)]
    return _plain("\n".join(lines)).split("\n")


def _entries(lines):
    """The entries of a section, ``name : type`` with an indented text or ``name: text``, as a list."""
    text = []
    for line in lines:
        found = _ENTRY.fullmatch(line)
        if line.startswith(" "):
            text.append(f"  {_plain(line.strip())}")
        elif " : " in line or not found:
            text += ["", f"* {_plain(line)}", ""]
        else:
            text += ["", f"* {_plain(found[1])}: {_plain(found[2])}"]
    return text


def _as_rst(lines):
    """A docstring in the dialect of amaranth.lib as reStructuredText. A section ends at the first empty line."""
    text, blocks = [], [block.split("\n") for block in re.split(r"\n\s*\n", "\n".join(lines).strip("\n"))]
    for block in blocks:
        if len(block) > 2 and _UNDERLINE.fullmatch(block[1].strip()):
            free = block[0] in ("Returns", "Yields") and not block[-1].startswith(" ")
            text += [f"**{block[0]}**", "", *(_paragraph if free else _entries)(block[2:]), ""]
        elif any(block):
            text += [*_paragraph(block), ""]
    return text


def _process(app, what, name, obj, options, lines):
    lines[:] = _as_rst(lines)


def _signature(app, what, name, obj, options, signature, returns):
    """The parameters of a component are those of its ``__init__``; Amaranth's ``__new__`` hides them."""
    if what == "class" and signature and "src_loc_at" in signature:
        from sphinx.util import inspect as sphinx_inspect  # noqa: PLC0415 - tests read this file without Sphinx

        found = sphinx_inspect.signature(obj.__init__, bound_method=True)
        return sphinx_inspect.stringify_signature(found, unqualified_typehints=True), returns
    return None


def _modules(name):
    """Names of a package and of all modules in it, apart from cocotb benches, which only a simulator runs."""
    package = importlib.import_module(name)
    found = [name]
    for module in pkgutil.iter_modules(package.__path__, f"{name}."):
        if module.ispkg:
            found += _modules(module.name)
        elif not module.name.rsplit(".", 1)[1].startswith(("bench_", "__main__")):
            found.append(module.name)
    return found


def _write_reference(app):
    """A page for each part of the package."""
    REFERENCE.mkdir(exist_ok=True)
    for part, title in PARTS.items():
        lines = [f"``backspike.{part}``: {title}", "=" * (len(part) + len(title) + 16), ""]
        for module in _modules(f"backspike.{part}"):
            lines += [module, "-" * len(module), "", f".. automodule:: {module}", ""]
        text = "\n".join(lines)
        path = REFERENCE / f"{part}.rst"
        if not path.is_file() or path.read_text() != text:
            path.write_text(text)


def _tutorials(app, env, added, changed, removed):
    """Tutorials are always read, and so run: what they use may have changed."""
    return {name for name in env.found_docs if name.startswith("docs/tutorials/")} - added


def _redirect(app, exception):
    """The site begins at the index of the pages."""
    if exception is None and app.builder.format == "html":
        text = '<!doctype html><meta http-equiv="refresh" content="0; url=docs/index.html">\n'
        (Path(app.outdir) / "index.html").write_text(text)


def setup(app):
    sys.path.insert(0, str(ROOT))
    # For what tutorials run: the commands of this environment, and the examples
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "examples"), os.environ.get("PYTHONPATH", "")])
    app.connect("builder-inited", _write_reference)
    app.connect("env-get-outdated", _tutorials)
    app.connect("autodoc-process-docstring", _process)
    app.connect("autodoc-process-signature", _signature)
    app.connect("build-finished", _redirect)
