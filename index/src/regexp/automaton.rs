//! A dense automaton that walks an fst term dictionary.

use std::cell::Cell;

use m3rs_core::regexp::translate;
use regex_automata::Anchored;
use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;

/// A regular expression anchored at both ends, one state per step.
#[derive(Debug)]
pub(crate) struct Automaton {
    dfa: dense::DFA<Vec<u32>>,
    start: StateID,
}

impl Automaton {
    /// Builds the automaton; `None` if it does not fit `bytes_max`, or if the engine cannot.
    pub(super) fn new(pattern: &str, bytes_max: usize) -> Option<Self> {
        let pattern = format!(r"\A{}\z", translate(pattern).ok()?);
        let config = dense::Config::new()
            .start_kind(StartKind::Anchored)
            .accelerate(false)
            .dfa_size_limit(Some(bytes_max))
            .determinize_size_limit(Some(bytes_max));
        let dfa = dense::Builder::new()
            .configure(config)
            .thompson(thompson::Config::new().nfa_size_limit(Some(bytes_max)))
            .build(&pattern)
            .ok()?;
        let start = dfa.start_state(&start::Config::new().anchored(Anchored::Yes)).ok()?;
        Some(Self { dfa, start })
    }
}

/// A walk that gives up after a number of steps, when a plain scan has become the better choice.
#[derive(Debug)]
pub(crate) struct Budgeted<'a> {
    automaton: &'a Automaton,
    steps_left: Cell<u64>,
}

impl<'a> Budgeted<'a> {
    pub(crate) fn new(automaton: &'a Automaton, steps_max: u64) -> Self {
        Self { automaton, steps_left: Cell::new(steps_max) }
    }

    /// Whether the walk gave up, so that its result is not whole.
    pub(crate) fn is_spent(&self) -> bool {
        self.steps_left.get() == 0
    }
}

impl fst::Automaton for &Budgeted<'_> {
    type State = StateID;

    fn start(&self) -> StateID {
        self.automaton.start
    }

    fn is_match(&self, state: &StateID) -> bool {
        let dfa = &self.automaton.dfa;
        dfa.is_match_state(dfa.next_eoi_state(*state))
    }

    fn can_match(&self, state: &StateID) -> bool {
        !self.is_spent() && !self.automaton.dfa.is_dead_state(*state)
    }

    fn accept(&self, state: &StateID, byte: u8) -> StateID {
        self.steps_left.set(self.steps_left.get().saturating_sub(1));
        self.automaton.dfa.next_state(*state, byte)
    }
}
