//! Finds out what a regular expression amounts to.

use m3rs_core::regexp::{AnchoredRegex, PATTERN_DEPTH_MAX, RegexpError, translate};
use regex_syntax::hir::literal::{Extractor, Seq};
use regex_syntax::hir::{Class, Hir, HirKind, Look};

use super::glob::{Gap, Glob};
use super::{Regexp, ValueTest};

/// Prefixes that are kept for a general pattern.
const PREFIXES_MAX: usize = 64;

/// Bytes of one literal that are looked at; longer than any pattern.
const LITERAL_LEN_MAX: usize = 1 << 20;

/// A part of a top-level sequence.
enum Item<'h> {
    Literal(&'h [u8]),
    Gap(Gap),
    /// The end of the text: redundant at the end of the pattern.
    End(&'h Hir),
    Other(&'h Hir),
}

pub(super) fn classify(pattern: &str, literals_max: usize) -> Result<ValueTest, RegexpError> {
    let translated = translate(pattern)?;
    let parsed = regex_syntax::ParserBuilder::new()
        .nest_limit(PATTERN_DEPTH_MAX + 4)
        .build()
        .parse(&translated);
    let hir = match parsed {
        Ok(hir) => hir,
        // The compiler meets the same error and says it in the words of all other callers.
        Err(_) => return general(pattern, None),
    };
    let mut items = Vec::new();
    flatten(&hir, &mut items);
    while matches!(items.last(), Some(Item::End(_))) {
        items.pop();
    }
    if let Some(test) = literals_and_gaps(&items) {
        return Ok(test);
    }
    let whole = Hir::concat(items.iter().map(Item::to_hir).collect());
    match literal_set(&whole, literals_max) {
        Some(mut set) if set.len() == 1 => Ok(ValueTest::Literal(set.remove(0))),
        Some(set) => Ok(ValueTest::Set(set)),
        None => general(pattern, Some(&whole)),
    }
}

fn general(pattern: &str, hir: Option<&Hir>) -> Result<ValueTest, RegexpError> {
    let regex = AnchoredRegex::new(pattern)?;
    let prefixes = hir.map(prefixes).unwrap_or_default();
    Ok(ValueTest::Regex(Box::new(Regexp::new(regex, prefixes))))
}

/// Lays groups and sequences out flat; nesting is bounded by the parser.
fn flatten<'h>(hir: &'h Hir, items: &mut Vec<Item<'h>>) {
    match hir.kind() {
        HirKind::Empty => {}
        HirKind::Literal(literal) => items.push(Item::Literal(&literal.0)),
        HirKind::Capture(capture) => flatten(&capture.sub, items),
        HirKind::Concat(subs) => subs.iter().for_each(|sub| flatten(sub, items)),
        HirKind::Look(Look::Start) if items.is_empty() => {}
        HirKind::Look(Look::End) => items.push(Item::End(hir)),
        HirKind::Repetition(repetition) if is_any(&repetition.sub) => {
            match (repetition.min, repetition.max) {
                (0, None) => items.push(Item::Gap(Gap::Any)),
                (1, None) => items.push(Item::Gap(Gap::Some)),
                _ => items.push(Item::Other(hir)),
            }
        }
        _ => items.push(Item::Other(hir)),
    }
}

/// Whether the expression is one character of any kind.
fn is_any(hir: &Hir) -> bool {
    let HirKind::Class(Class::Unicode(class)) = hir.kind() else { return false };
    matches!(class.ranges(), [all] if all.start() == '\0' && all.end() == char::MAX)
}

impl Item<'_> {
    fn to_hir(&self) -> Hir {
        match self {
            Self::Literal(bytes) => Hir::literal(*bytes),
            Self::Gap(gap) => {
                let dot = Hir::dot(regex_syntax::hir::Dot::AnyChar);
                Hir::repetition(regex_syntax::hir::Repetition {
                    min: if *gap == Gap::Any { 0 } else { 1 },
                    max: None,
                    greedy: true,
                    sub: Box::new(dot),
                })
            }
            Self::End(hir) | Self::Other(hir) => (*hir).clone(),
        }
    }
}

/// The test for a pattern of nothing but literals and gaps.
fn literals_and_gaps(items: &[Item<'_>]) -> Option<ValueTest> {
    let mut first = String::new();
    let mut rest: Vec<(Gap, String)> = Vec::new();
    let mut last_was_gap = false;
    for item in items {
        match item {
            Item::Literal(bytes) => {
                let text = std::str::from_utf8(bytes).ok()?;
                rest.last_mut().map_or(&mut first, |(_, literal)| literal).push_str(text);
                last_was_gap = false;
            }
            Item::Gap(gap) if last_was_gap => {
                let (before, _) = rest.last_mut()?;
                if (*before, *gap) == (Gap::Some, Gap::Some) {
                    return None;
                }
                if *gap == Gap::Some {
                    *before = Gap::Some;
                }
            }
            Item::Gap(gap) => {
                rest.push((*gap, String::new()));
                last_was_gap = true;
            }
            Item::End(_) | Item::Other(_) => return None,
        }
    }
    match rest.as_slice() {
        [] => Some(ValueTest::Literal(first)),
        [(gap, last)] if first.is_empty() && last.is_empty() => Some(match gap {
            Gap::Any => ValueTest::Any,
            Gap::Some => ValueTest::NonEmpty,
        }),
        _ => Glob::new(first, rest).map(ValueTest::Glob),
    }
}

/// All texts that match, sorted, if they are few.
fn literal_set(hir: &Hir, literals_max: usize) -> Option<Vec<String>> {
    // The extractor takes assertions for empty texts, which would widen the set.
    if !hir.properties().look_set().is_empty() {
        return None;
    }
    let seq = extractor(literals_max).extract(hir);
    if !seq.is_exact() {
        return None;
    }
    texts(&seq)
}

/// Texts of which each match starts with one; empty if that is not known.
fn prefixes(hir: &Hir) -> Vec<String> {
    /// What is tried in turn: whole texts, and ever shorter ones while there are too many.
    const LENS: [usize; 4] = [LITERAL_LEN_MAX, 3, 2, 1];
    let all = LENS.iter().find_map(|&len| {
        let seq = extractor(PREFIXES_MAX).limit_literal_len(len).extract(hir);
        texts(&seq).filter(|all| !all.iter().any(String::is_empty))
    });
    let Some(all) = all else { return Vec::new() };
    let mut kept: Vec<String> = Vec::with_capacity(all.len());
    for prefix in all {
        if kept.last().is_none_or(|last| !prefix.starts_with(last.as_str())) {
            kept.push(prefix);
        }
    }
    kept
}

fn extractor(literals_max: usize) -> Extractor {
    let mut extractor = Extractor::new();
    extractor
        .limit_class(16)
        .limit_repeat(16)
        .limit_literal_len(LITERAL_LEN_MAX)
        .limit_total(literals_max);
    extractor
}

fn texts(seq: &Seq) -> Option<Vec<String>> {
    let mut all = seq
        .literals()?
        .iter()
        .map(|l| std::str::from_utf8(l.as_bytes()).ok().map(str::to_owned))
        .collect::<Option<Vec<_>>>()?;
    all.sort_unstable();
    all.dedup();
    Some(all)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kind(pattern: &str) -> &'static str {
        match ValueTest::of_regexp(pattern, 100).expect("valid pattern") {
            ValueTest::Any => "any",
            ValueTest::NonEmpty => "non-empty",
            ValueTest::Literal(_) => "literal",
            ValueTest::Set(_) => "set",
            ValueTest::Glob(_) => "glob",
            ValueTest::Regex(r) if r.prefixes.is_empty() => "regex",
            ValueTest::Regex(_) => "prefixed regex",
        }
    }

    #[test]
    fn patterns_fall_into_their_class() {
        let table = [
            ("", "literal"),
            ("^$", "literal"),
            ("()", "literal"),
            ("abc", "literal"),
            ("^abc$", "literal"),
            ("a(b)c", "literal"),
            (r"a\.b", "literal"),
            (".*", "any"),
            ("^.*$", "any"),
            ("(.*)", "any"),
            (".*.*", "any"),
            (r"[\s\S]*", "any"),
            ("(?-s).*", "regex"),
            (".+", "non-empty"),
            (".*.+", "non-empty"),
            (".+.+", "regex"),
            ("a|b|c", "set"),
            ("a|", "set"),
            ("a?", "set"),
            ("x(a|b)y[cd]", "set"),
            ("(?i)ab", "set"),
            ("a.*", "glob"),
            ("a.+", "glob"),
            (".*a", "glob"),
            (".*a.*", "glob"),
            ("a.*b.+c", "glob"),
            ("a[0-9]+", "prefixed regex"),
            ("(a|b)[0-9]+", "prefixed regex"),
            ("(a|b).*", "prefixed regex"),
            (r"\w+", "regex"),
            (r"a\b", "prefixed regex"),
            ("a$b", "prefixed regex"),
            ("b(^a)", "prefixed regex"),
            (".", "regex"),
            ("[0-9]{3}", "prefixed regex"),
            ("[0-9a-z]{3}", "regex"),
            ("(abc1|abd2|abe3).x[0-9]*", "prefixed regex"),
        ];
        for (pattern, want) in table {
            assert_eq!(kind(pattern), want, "{pattern}");
        }
    }

    #[test]
    fn a_set_has_a_limit() {
        let alternation = |n: usize| {
            let all: Vec<String> = (0..n).map(|i| format!("v{i}")).collect();
            all.join("|")
        };
        assert_eq!(kind(&alternation(100)), "set");
        assert_eq!(kind(&alternation(101)), "prefixed regex");
    }

    #[test]
    fn too_many_prefixes_are_cut_short() {
        let prefixes = |pattern: &str| match ValueTest::of_regexp(pattern, 100).expect("valid") {
            ValueTest::Regex(regexp) => regexp.prefixes,
            other => panic!("{pattern} is {other:?}"),
        };
        let all = |range: std::ops::Range<u32>, make: &dyn Fn(u32) -> String| {
            format!("({})[0-9]+", range.map(make).collect::<Vec<_>>().join("|"))
        };
        let few = prefixes(&all(10..74, &|i| format!("host-{i}")));
        assert_eq!((few.len(), &*few[0]), (64, "host-10"));
        let many = prefixes(&all(100..200, &|i| format!("host-{i}")));
        assert_eq!(many, ["host"]);
        let spread = prefixes(&all(100..200, &|i| format!("{i}-host")));
        assert_eq!((spread.len(), &*spread[0]), (10, "10"));
        let wide = prefixes(&all(0..100, &|i| {
            char::from_u32(0x100 + i).map_or_else(String::new, |c| c.to_string())
        }));
        assert_eq!(wide, Vec::<String>::new(), "a cut inside a character is no prefix");
    }

    #[test]
    fn bad_patterns_are_refused_whatever_their_class() {
        for pattern in ["(", "a**", "[b-a]", r"\pX", "(?x)a"] {
            assert!(ValueTest::of_regexp(pattern, 100).is_err(), "{pattern}");
        }
    }

    fn pattern() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("a"),
            Just("b"),
            Just("ab"),
            Just(".*"),
            Just(".+"),
            Just("."),
            Just("|"),
            Just("(a|b)"),
            Just("(|a)"),
            Just("[ab]"),
            Just("[^a]"),
            Just("a?"),
            Just("b*"),
            Just("(ab)+"),
            Just("^"),
            Just("$"),
            Just("(?i)"),
            Just(r"\b"),
            Just(r"\n"),
            Just("(a.*|b)"),
            Just("(?-s:.)"),
            Just("\u{e9}"),
            Just(r"\d"),
        ];
        proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
    }

    fn text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("a"),
            Just("b"),
            Just("A"),
            Just("\n"),
            Just("\u{e9}"),
            Just("1"),
            Just("-"),
        ];
        proptest::collection::vec(piece, 0..7).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn each_class_equals_the_plain_expression(
            pattern in pattern(),
            texts in proptest::collection::vec(text(), 12),
        ) {
            let Ok(regex) = AnchoredRegex::new(&pattern) else {
                prop_assert!(ValueTest::of_regexp(&pattern, 100).is_err());
                return Ok(());
            };
            let test = ValueTest::of_regexp(&pattern, 100).expect("valid");
            for text in &texts {
                let want = regex.is_match(text);
                prop_assert_eq!(test.is_match(text), want, "{} on {:?}: {:?}", pattern, text, test);
                if want && !test.prefixes().is_empty() {
                    prop_assert!(test.prefixes().iter().any(|p| text.starts_with(p.as_str())));
                }
                if let ValueTest::Regex(regexp) = &test {
                    let automaton = regexp.automaton(1 << 20).expect("fits");
                    prop_assert_eq!(walk(automaton, text), want, "{} on {:?}", pattern, text);
                }
            }
        }
    }

    fn walk(automaton: &super::super::Automaton, text: &str) -> bool {
        use fst::Automaton as _;
        let walk = &super::super::Budgeted::new(automaton, 1_000);
        let mut state = walk.start();
        for byte in text.bytes() {
            if !walk.can_match(&state) {
                return false;
            }
            state = walk.accept(&state, byte);
        }
        walk.is_match(&state)
    }
}
