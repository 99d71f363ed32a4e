"""Makes a failed trial as small as it gets: fewer lists, fewer steps."""
import re
import time


def needed(maker, name, found):
    """The lists that a list stands on, and itself."""
    if name in found or name not in maker.lists:
        return found
    found.add(name)
    for other in re.findall(r"in_list\('(\w+)'\)", maker.lists[name].text):
        needed(maker, other, found)
    return found


def fewer(items, fails, deadline):
    """Leaves out as many items as it can, large pieces first."""
    size = max(len(items) // 2, 1)
    while size >= 1 and time.time() < deadline:
        at = 0
        while at < len(items) and time.time() < deadline:
            less = items[:at] + items[at + size:]
            if fails(less):
                items = less
            else:
                at += size
        size //= 2
    return items


def shrink(trial, seconds):
    """What is left of the trial, as text; empty if it does not fail again."""
    deadline = time.time() + seconds
    steps = list(trial.steps)
    lists = list(trial.lists)
    wrong = trial.replay(lists, steps)
    if wrong is None:
        return ""
    for name in trial.lists:
        just = sorted(needed(trial.maker, name, set()),
                      key=trial.lists.index)
        if time.time() < deadline and trial.replay(just, steps):
            lists = just
            break
    steps = fewer(steps, lambda less: trial.replay(lists, less), deadline)
    for i, step in enumerate(steps):
        if step[0] == "insert":
            rows = fewer(step[1], lambda less: trial.replay(
                lists, steps[:i] + [("insert", less)] + steps[i + 1:]),
                deadline)
            steps[i] = ("insert", rows)
    wrong = trial.replay(lists, steps) or wrong
    lines = [f"mautomate.timezone = '{trial.zone}'"]
    lines += [f"{name}: {trial.maker.lists[name].text}" for name in lists
              if name in trial.maker.lists]
    if "score" in wrong or not lists:
        lines += [f"score rule {rule[:4]}" for rule in trial.maker.score]
    lines += [" | ".join(map(str, step)) for step in steps] + [wrong]
    return "\n".join(lines)
