//! The least question that is still answered differently.

use crate::pair::Pair;
use crate::question::Question;
use crate::verdict::Verdict;

/// How many smaller questions are asked to make one less.
const QUESTIONS_MAX: usize = 600;

/// Takes parts out of `question` while the answers still differ.
pub(crate) fn shrink(pair: &mut Pair, question: Question) -> Question {
    let mut least = question;
    let mut left = QUESTIONS_MAX;
    loop {
        let smaller = least.smaller().into_iter().take(left);
        let mut asked = 0;
        let found = smaller.into_iter().find(|question| {
            asked += 1;
            matches!(pair.judge(question), Verdict::Different(_))
        });
        left -= asked;
        match found {
            Some(question) => least = question,
            None => return least,
        }
    }
}
