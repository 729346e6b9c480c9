//! An answer that lists label sets, written batch by batch while it is sent: a list of a million
//! series takes the memory of the labels, and that of a batch as JSON.

use std::io;

use axum::response::Response;
use bytes::Bytes;
use m3rs_core::model::Labels;

use crate::http::response::{HEAD, streamed, tail, whole};
use crate::read::AnswerRest;

/// Series in a batch: some 1 MiB of JSON. Most answers are one.
const BATCH: usize = 8192;

/// Series that are not written yet, and what follows them.
pub(crate) struct SeriesList {
    series: std::vec::IntoIter<Labels>,
    has_begun: bool,
    /// Gone once all is written.
    tail: Option<Vec<u8>>,
}

impl SeriesList {
    pub(crate) fn new(series: Vec<Labels>, warnings: &[String]) -> Self {
        Self { series: series.into_iter(), has_begun: false, tail: Some(tail(warnings)) }
    }

    /// The answer with the first batch, which was made already.
    pub(crate) fn answer(self, first: Vec<Bytes>) -> Response {
        if self.tail.is_none() { whole(first) } else { streamed(first, Box::new(self)) }
    }
}

impl AnswerRest for SeriesList {
    fn next_pieces(&mut self) -> io::Result<Vec<Bytes>> {
        Ok(self.pieces())
    }
}

impl SeriesList {
    /// The next batch; none at the end.
    pub(crate) fn pieces(&mut self) -> Vec<Bytes> {
        if self.tail.is_none() {
            return Vec::new();
        }
        let mut out = Vec::with_capacity(self.series.len().min(BATCH) * 128 + HEAD.len());
        if !self.has_begun {
            out.extend_from_slice(HEAD);
            out.push(b'[');
        }
        for labels in self.series.by_ref().take(BATCH) {
            if self.has_begun {
                out.push(b',');
            }
            self.has_begun = true;
            push_labels(&mut out, &labels);
        }
        if self.series.len() == 0
            && let Some(tail) = self.tail.take()
        {
            out.push(b']');
            out.extend_from_slice(&tail);
        }
        vec![Bytes::from(out)]
    }
}

/// `{"name":"value",…}`
fn push_labels(out: &mut Vec<u8>, labels: &Labels) {
    out.push(b'{');
    let mut rest = labels.iter();
    let mut is_first = true;
    while let Some((name, value)) = rest.next_bytes() {
        if !std::mem::take(&mut is_first) {
            out.push(b',');
        }
        push_json_string(out, name);
        out.push(b':');
        push_json_string(out, value);
    }
    out.push(b'}');
}

/// A text of labels, which is UTF-8 always.
pub(crate) fn push_json_string(out: &mut Vec<u8>, text: &[u8]) {
    let is_plain = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\';
    if text.iter().fold(true, |all, byte| all & is_plain(byte)) {
        out.push(b'"');
        out.extend_from_slice(text);
        out.push(b'"');
        return;
    }
    let text = String::from_utf8_lossy(text);
    serde_json::to_writer(out, &*text).expect("BUG: writing a string to memory cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(series: Vec<Labels>, warnings: &[String]) -> (usize, Vec<u8>) {
        let mut list = SeriesList::new(series, warnings);
        let mut all = Vec::new();
        let mut batches = 0;
        loop {
            let pieces = list.pieces();
            if pieces.is_empty() {
                return (batches, all);
            }
            batches += 1;
            all.extend(pieces.into_iter().flatten());
        }
    }

    #[test]
    fn series_are_written_with_escapes() {
        let labels = Labels::from_pairs([("a", "q\"\n"), ("b", "\u{e9}")]).expect("valid");
        let (batches, json) = written(vec![labels.clone(), labels], &[]);
        let one = "{\"a\":\"q\\\"\\n\",\"b\":\"\u{e9}\"}";
        let want = format!("{{\"status\":\"success\",\"data\":[{one},{one}]}}");
        assert_eq!((batches, String::from_utf8(json).expect("UTF-8")), (1, want));
        let (batches, json) = written(Vec::new(), &["w".to_owned()]);
        let want = b"{\"status\":\"success\",\"data\":[],\"warnings\":[\"w\"]}";
        assert_eq!((batches, &json[..]), (1, &want[..]));
    }

    #[test]
    fn long_lists_are_written_in_batches() {
        for count in [BATCH - 1, BATCH, BATCH + 1, 3 * BATCH] {
            let labels = |i: usize| Labels::from_pairs([("n", i.to_string())]).expect("valid");
            let (batches, json) = written((0..count).map(labels).collect(), &[]);
            assert_eq!(batches, count.div_ceil(BATCH));
            let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
            let list = json["data"].as_array().expect("a list");
            assert_eq!(list.len(), count);
            let is_right =
                |(i, l): (usize, &serde_json::Value)| l["n"].as_str() == Some(&*i.to_string());
            assert!(list.iter().enumerate().all(is_right));
        }
    }
}
