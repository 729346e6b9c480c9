//! Texts that are almost queries.

use crate::dice::Dice;

const TOKENS: &[&str] = &[
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "=",
    "=~",
    "!=",
    "!~",
    "==",
    "<",
    ">=",
    "</",
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    "@",
    "5m",
    "0",
    "1",
    "1e3",
    "0x1g",
    "1..2",
    "5mm",
    "'x'",
    "\"a",
    "`b`",
    "a",
    "queue",
    "sum",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "bool",
    "offset",
    "start()",
    "end()",
    "step()",
    "range()",
    "rate(",
    "abs(",
    "[5m]",
    "[5m:1m]",
    "{job='api'}",
    "fill(1)",
    "fill_left",
    "and",
    "or",
    "unless",
    "anchored",
    "smoothed",
    "min_of(",
    "info(",
    "topk(1,",
    "time()",
    "#",
    "\n",
    "\u{e9}",
    "$",
    "!",
    "~",
    "\\",
    "Inf",
    "NaN",
    "atan2",
    "limitk",
    "count_values",
    "'\\x'",
    "1h30",
    "-5m",
    ".",
    "a:b",
    ":a",
    "__name__",
    "\t",
];

/// The text with some tokens lost, doubled, swapped, or replaced; or only tokens.
pub(crate) fn garbled(dice: &mut Dice, text: &str) -> String {
    if dice.one_in(6) {
        let count = 1 + dice.below(8);
        let tokens: Vec<&str> = (0..count).map(|_| dice.pick(TOKENS)).collect();
        return tokens.join(if dice.one_in(4) { "" } else { " " });
    }
    let mut tokens = split(text);
    for _ in 0..1 + dice.below(2) {
        let at = dice.below(tokens.len());
        match dice.below(6) {
            0 | 1 => {
                tokens.remove(at);
            }
            2 => tokens.insert(at, tokens[at].clone()),
            3 => {
                let other = dice.below(tokens.len());
                tokens.swap(at, other);
            }
            4 => tokens.insert(at, dice.pick(TOKENS).to_owned()),
            _ => tokens[at] = dice.pick(TOKENS).to_owned(),
        }
        if tokens.is_empty() {
            break;
        }
    }
    tokens.concat()
}

/// Words, and single characters between them.
fn split(text: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut in_word = false;
    for c in text.chars() {
        let is_word = c.is_ascii_alphanumeric() || c == '_';
        match tokens.last_mut() {
            Some(last) if is_word && in_word => last.push(c),
            _ => tokens.push(c.to_string()),
        }
        in_word = is_word;
    }
    tokens
}
