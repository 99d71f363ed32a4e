#!/usr/bin/env python3
"""Dependencies go one way: a file of src/ includes own headers of lower
layers only. Prints what does not; STYLE: if A needs B and B needs A, a third
noun is missing."""
import pathlib
import re

# The bottom first; within a layer anything goes but a circle. A name stands
# for its family: predicate for predicate_names, but not for predicate_store.
LAYERS = [
    """compat sql guc zone clock inval error wake arm address batch setting
    argument lease guard columns calendar""",
    """cell value vocabulary signal predicate document program workflow liquid
    channel template mime transport""",
    """definition predicate_store state outbox gate""",
    """refresh entry model contact merge attribute event""",
    """capture track identify kind list score grant explain verify enrollment
    workflow_store journey delivery send letter preview inbound""",
    """launcher worker mautomate""",
]
RANK = {name: rank for rank, names in enumerate(LAYERS)
        for name in names.split()}


def rank(stem):
    """The layer of a file: that of the longest known stem it starts with."""
    names = [n for n in RANK if stem == n or stem.startswith(n + "_")]
    return RANK[max(names, key=len)] if names else None


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
        if rank(file.stem) is None:
            print(f"{file}: name its layer in test/tool/layers.py")
            continue
        for name in re.findall(r'^#include "(\w+)\.h"', file.read_text(),
                               re.M):
            if not pathlib.Path(f"src/{name}.h").exists():
                continue  # PostgreSQL's
            if rank(name) is not None and rank(name) > rank(file.stem):
                print(f"{file} includes {name}.h of a higher layer")
            one, other = (stem.removesuffix("_private")
                          for stem in (file.stem, name))
            if one != other:
                includes.setdefault(one, set()).add(other)
    for stem in sorted(includes):
        path = circle(stem, includes, [stem])
        if path and stem == min(path):
            print("a circle of headers: " + " -> ".join(path))


main()
