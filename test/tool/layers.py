#!/usr/bin/env python3
"""Dependencies go one way: a file of src/ includes own headers of lower
layers only. Prints what does not; STYLE: if A needs B and B needs A, a third
noun is missing."""
import pathlib
import re

# The bottom first; within a layer anything goes but a circle. A name stands
# for its family: predicate for predicate_names, but not for predicate_store;
# within a family everything goes.
LAYERS = [
    """compat sql guc zone clock inval error wake arm address batch setting
    argument lease guard columns calendar window table index json nearest
    rename secret token utf8 edit number horizon""",
    """anniversary value vocabulary signal cell predicate document program
    workflow liquid html pace channel template mime transport payload""",
    """log_sql log_signal log_set definition predicate_store state deferred outbox gate
    rate pause traffic""",
    """refresh entry model contact merge erase attribute event""",
    """capture track identify kind use known list score grant owner explain verify
    enrollment workflow_store journey delivery send letter preview link
    inbound""",
    """launcher worker mautomate""",
]
RANK = {name: rank for rank, names in enumerate(LAYERS)
        for name in names.split()}


def family(stem):
    """The module of a file: the longest known name it starts with, or None."""
    names = [n for n in RANK if stem == n or stem.startswith(n + "_")]
    return max(names, key=len, default=None)


def circle(start, includes, path):
    """The first way from start through includes back to start, or None."""
    for stem in sorted(includes.get(path[-1], ())):
        if stem == start:
            return path + [stem]
        if stem not in path:
            found = circle(start, includes, path + [stem])
            if found:
                return found
    return None


def main():
    includes = {}
    for file in sorted(pathlib.Path("src").glob("*.[ch]")):
        module = family(file.stem)
        if module is None:
            print(f"{file}: name its layer in test/tool/layers.py")
            continue
        for name in re.findall(r'^#include "(\w+)\.h"', file.read_text(),
                               re.M):
            if not pathlib.Path(f"src/{name}.h").exists():
                continue  # PostgreSQL's
            other = family(name)
            if other is not None and RANK[other] > RANK[module]:
                print(f"{file} includes {name}.h of a higher layer")
            if other not in (None, module):
                includes.setdefault(file.stem, set()).add(name)
    for stem in sorted(includes):
        path = circle(stem, includes, [stem])
        if path and stem == min(path):
            print("a circle of headers: " + " -> ".join(path))


main()
