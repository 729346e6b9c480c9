//! Notes of an operator that tells only the last at each step.

use parking_lot::Mutex;

use super::Context;
use crate::promql::annotation::Note;
use crate::promql::ast::Span;

/// The notes of an operator whose rows are read in any order; told when it is dropped.
///
/// PARITY(prometheus): a binary operator keeps one fault for each step, that of its last row.
pub(crate) struct LastNotes<'a> {
    span: Span,
    ctx: &'a Context<'a>,
    /// By step: the row, and what is to be told of it. Empty without any note.
    by_step: Mutex<Vec<Option<(usize, Note<'static>)>>>,
    steps: usize,
}

impl<'a> LastNotes<'a> {
    pub(crate) fn new(span: Span, steps: usize, ctx: &'a Context<'a>) -> Self {
        Self { span, ctx, by_step: Mutex::default(), steps }
    }

    pub(crate) fn add(&self, row: usize, step: usize, note: Note<'static>) {
        let mut by_step = self.by_step.lock();
        if by_step.is_empty() {
            by_step.resize_with(self.steps, || None);
        }
        match &mut by_step[step] {
            Some((last, _)) if *last > row => {}
            last => *last = Some((row, note)),
        }
    }
}

impl Drop for LastNotes<'_> {
    fn drop(&mut self) {
        for (_, note) in self.by_step.get_mut().drain(..).flatten() {
            self.ctx.note(self.span, note);
        }
    }
}
