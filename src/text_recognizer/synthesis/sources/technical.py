"""Lines of technical notes: code and pseudo-code, Markdown, sums and equations, headings of worked problems."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from text_recognizer.synthesis.sources.choices import Random, pick, split

_NOUNS = split(
    "value index count total item key name node list queue stack table row column line word letter file path "
    "user price weight height width length size result answer output input number sum limit start end left "
    "right first second last next current previous head tail root leaf child parent edge graph point vector "
    "matrix map set data text string char digit array buffer page image score rate time date year day half "
    "middle max min mean x y n i j k a b c temp tmp flag error message token cache record field buyer order "
    "stock balance level depth step",
)
_VERBS = split(
    "get set find add remove insert delete count sort search push pop append merge split swap reverse check "
    "compare update read write open close load save print parse build make copy move join is_empty contains "
    "visit compute sum shift rotate replace filter map reduce convert format validate send receive draw",
)
_TYPES = split(
    "int float str string bool list dict char double void array object number Node List Map",
)
_HEADINGS = split(
    "Problem|Example|Examples|Algorithm|Pseudocode|Code|Testing|Tests|Test cases|Edge "
    "cases|Complexity|Inputs|Outputs|Input|Output|Notes|Definition|Theorem|Proof|Lemma|Summary|Overview|Goals|Open "
    "questions|To "
    "do|Ideas|Data|Method|Results|Setup|Usage|Install|API|Design|Requirements|References|Introduction|Conclusion|Step "
    "by step|Questions|Homework|Exam topics|Properties|Corollary|Remarks|Formulas|Constants|Units",
    "|",
)
_STEPS = split(
    "take in a {n} and a {n}|return the {n}|return true if the {n} is found|loop over the {n}|compare the {n} "
    "to the {n}|create an empty {n}|add the {n} to the {n}|find the {n} of the {n}|if {n} is greater than {n}, "
    "swap|keep a {n} for the {n}|what happens if the {n} is empty?|is the {n} sorted?|negative {n}s|repeat "
    "until the {n} is reached|stop at the {n}|declare {n} and {n}|start from the {n}|walk the {n} depth "
    "first|the {n} of a {n} is unique|each {n} has at most two {n}s|by definition, the {n} is zero|let {n} be a "
    "{n}|multiply both sides by {n}|sort by {n}, then by {n}|the {n} has no {n}|store the {n} in the {n}|the "
    "smallest {n} wins|twice the {n}, half the {n}",
    "|",
)


def _name(rng: Random) -> str:
    """An identifier in one of the common styles."""
    noun = pick(_NOUNS, rng)
    style = rng.random()
    if style < 0.4:
        return noun
    first = pick(_VERBS if rng.random() < 0.4 else _NOUNS, rng)
    if style < 0.72:
        return f"{first}_{noun}"
    if style < 0.86:
        return first + noun[0].upper() + noun[1:]
    if style < 0.93:
        return f"{noun}{int(rng.integers(1, 10))}"
    return first.capitalize() + noun.capitalize()


def _number(rng: Random) -> str:
    n = int(rng.integers(0, 10 ** int(rng.integers(1, 4))))
    return f"-{n}" if rng.random() < 0.15 else str(n)


def _literal(rng: Random) -> str:
    kind = rng.random()
    if kind < 0.6:
        return _number(rng)
    if kind < 0.75:
        quote = "\"'"[int(rng.integers(2))]
        return f"{quote}{pick(_NOUNS, rng)}{quote}"
    return pick(("None", "null", "True", "False", "true", "false", "[]", "{}", '""', "0"), rng)


def _list(rng: Random) -> str:
    gap = ", " if rng.random() < 0.7 else ","
    ends = "[]" if rng.random() < 0.8 else "(){}"[2 * int(rng.integers(2)) :][:2]
    return ends[0] + gap.join(_number(rng) for _ in range(int(rng.integers(2, 7)))) + ends[1]


def _index(rng: Random) -> str:
    kind, name, n = rng.random(), pick(_NOUNS, rng), int(rng.integers(10))
    if kind < 0.35:
        return f"[{pick(('i', 'j', 'n', str(n), f'i+{n}', f'n-{n}', name), rng)}]"
    if kind < 0.6:
        return f"[{n}:]" if rng.random() < 0.5 else f"[:{n}]"
    if kind < 0.8:
        return f"[{n}:{name}]"
    return f"[:{name}]" if rng.random() < 0.5 else f"[{name}:-{n}]"


def _term(rng: Random) -> str:
    kind = rng.random()
    if kind < 0.35:
        return _name(rng)
    if kind < 0.5:
        return _literal(rng)
    if kind < 0.62:
        return f"{_name(rng)}{_index(rng)}"
    if kind < 0.76:
        return f"{pick(_NOUNS, rng)}.{_name(rng)}" + (f".{pick(_NOUNS, rng)}" if rng.random() < 0.25 else "")
    if kind < 0.9:
        return f"{pick(('len', 'max', 'min', 'int', 'str', 'sum', 'range', 'abs'), rng)}({_name(rng)})"
    return f"{pick(_NOUNS, rng)}.{pick(_VERBS, rng)}({_name(rng) if rng.random() < 0.6 else ''})"


def _expression(rng: Random) -> str:
    gap = " " if rng.random() < 0.75 else ""
    text = _term(rng)
    for _ in range(int(rng.choice(3, p=(0.45, 0.4, 0.15)))):
        text += f"{gap}{pick(('+', '+', '-', '*', '/', '//', '%'), rng)}{gap}{_term(rng)}"
    return text


def _condition(rng: Random) -> str:
    gap = " " if rng.random() < 0.8 else ""
    sign = pick(("<", ">", "<=", ">=", "==", "!=", "="), rng)
    text = f"{_term(rng)}{gap}{sign}{gap}{_term(rng)}"
    if rng.random() < 0.2:
        text += f" {pick(('and', 'or', '&&', '||'), rng)} {_name(rng)}"
    return f"not {_name(rng)}" if rng.random() < 0.1 else text


def _arguments(rng: Random) -> str:
    return ", ".join(_name(rng) for _ in range(int(rng.integers(0, 4))))


def _assignment(rng: Random) -> str:
    sign = pick((" = ", " = ", "=", " += ", " ← ", " := ", " == "), rng)
    end = ";" if rng.random() < 0.12 else ""
    return f"{_name(rng)}{sign}{_list(rng) if rng.random() < 0.15 else _expression(rng)}{end}"


def _flow(rng: Random) -> str:
    end = pick((":", ":", ":", "", " {", ", do:", " then"), rng)
    kind = int(rng.integers(8))
    if kind < 3:
        word = pick(("if", "if", "elif", "else if", "while", "until"), rng)
        round_it = rng.random() < 0.15
        return f"{word} ({_condition(rng)}){end}" if round_it else f"{word} {_condition(rng)}{end}"
    if kind == 3:
        return f"for {pick(('i', 'j', 'x', 'item', 'node', 'key', 'line'), rng)} in {_term(rng)}{end}"
    if kind == 4:
        return f"for ({pick(_TYPES, rng)} i = 0; i < {_name(rng)}; i++)"
    if kind == 5:
        return pick(("else:", "else", "pass", "break", "continue", "}", "{", "end", "try:", "return", "else {"), rng)
    return f"return {_expression(rng)}"


def _signature(rng: Random) -> str:
    word = pick(("def", "def", "function", "algorithm", "class", "func", "fn", "void", "public int"), rng)
    return f"{word} {_name(rng)}({_arguments(rng)}){pick((':', ':', '', ' {'), rng)}"


def _comment(rng: Random) -> str:
    mark = pick(("// ", "# ", "/* ", "-- "), rng)
    return f"{mark}{_step(rng)}"


def _call(rng: Random) -> str:
    kind = rng.random()
    if kind < 0.3:
        return f'print("{pick(_HEADINGS, rng)}{pick(("", "!", ":", "?"), rng)}")'
    if kind < 0.45:
        return f"import {pick(_NOUNS, rng)}"
    if kind < 0.55:
        return f"from {pick(_NOUNS, rng)} import {_name(rng)}"
    if kind < 0.65:
        return f"#include <{pick(_NOUNS, rng)}.h>"
    return f"{pick(_NOUNS, rng)}.{pick(_VERBS, rng)}({_expression(rng)})"


def _step(rng: Random) -> str:
    text = pick(_STEPS, rng)
    while "{n}" in text:
        text = text.replace("{n}", pick(_NOUNS, rng), 1)
    return text


def _listed(rng: Random) -> str:
    mark = pick(("- ", "- ", "• ", "* ", "→ ", "→ ", f"{int(rng.integers(1, 10))}. ", "+ "), rng)
    return f"{mark}{_step(rng)}"


def _markdown(rng: Random) -> str:
    kind = int(rng.integers(7))
    if kind < 3:
        return f"{'#' * int(rng.integers(1, 5))} {pick(_HEADINGS, rng)}"
    if kind == 3:
        return f"**{pick(_NOUNS, rng)}**: {_step(rng)}"
    if kind == 4:
        return f"the *{pick(_NOUNS, rng)}* is **{pick(_NOUNS, rng)}**"
    if kind == 5:
        return pick(("```", "'''", '"""', "---"), rng) + pick(("", "python", "Python", "bash", "java", "sql"), rng)
    return f"`{_name(rng)}` {pick(('is', 'or', 'and', '→', '='), rng)} `{_name(rng)}`"


def _heading(rng: Random) -> str:
    n, text = int(rng.integers(1, 10)), pick(_HEADINGS, rng)
    return pick((f"{n}. {text}", f"{n}) {text}", f"{n} {text}", f"({n}) {text}", f"{text}:", text, f"{text}: {n}"), rng)


def _equation(rng: Random) -> str:
    a, b, c = (pick(tuple("abcdfhkmnprstuvwxyzABCFNRV"), rng) for _ in range(3))
    n, m = (int(v) for v in rng.integers(2, 100, 2))
    return pick(
        (
            f"{a} = {n}{b} + {m}", f"{a}({b}) = {b}^2 - {n}{b} + {m}", f"{a}({b}) = {n}{b}² + {m}", f"{a} = {b} / {c}",
            f"{a}' = {b}{c}", f"O({a})", f"O({a} log {a})", f"O({a}^2)", "O(1)", f"time: O({a})", f"space = O({b})",
            f"time ← O({a}), space ← O(1)", f"{n} + {m} = {n + m}", f"{n} × {m} = {n * m}", f"{n * m} ÷ {m} = {n}",
            f"{a} < {b} <= {c}", f"{a} + {b} > {c}", f"{a} × {b} = {n}", f"|{a}| = {n}",
            f"({a}, {b}) → ({b}, {a})", f"{a} → {b}", f"{a}_1 + {a}_2 = {n}", f"{a} = ({n}, {m})", f"{a}{b} - {c} = 0",
            f"{_list(rng)} → {_list(rng)}", _list(rng), f"{a} != {b}", f"{n}% of {m * 10}", f"{a} = {n / 10} {b}/{c}",
            f"sin({a}) = {b}/{c}", f"log {n} = {m / 10}", f"{a} ~ {n}", f"f: {a} → {b}", f"{{{a}, {b}, {c}}}",
        ),
        rng,
    )  # fmt: skip


_KINDS: tuple[tuple[float, Callable[[Random], str]], ...] = (
    (0.14, _assignment), (0.14, _flow), (0.08, _signature), (0.07, _comment), (0.07, _call), (0.10, _step),
    (0.10, _listed), (0.10, _markdown), (0.08, _heading), (0.12, _equation),
)  # fmt: skip
_EDGES = np.cumsum([share for share, _ in _KINDS])


def technical_line(rng: Random) -> str:
    """A line of code, pseudo-code, Markdown or mathematics, or a heading or step of a worked problem."""
    return _KINDS[min(int(np.searchsorted(_EDGES, rng.random())), len(_KINDS) - 1)][1](rng)
