//! Entries of what stands beside samples: metadata of metric families, and exemplars.

use m3rs_core::Corrupt;
use m3rs_core::model::{Labels, Metadata, MetricType};
use m3rs_core::wire::{Cursor, put_length_prefixed, put_varint, put_zigzag};

use super::{
    BATCH_SAMPLES_MAX, Entry, EntryDecoder, KIND_EXEMPLARS, KIND_METADATA, put_batch, read_count,
    read_u32,
};
use crate::exemplar::Exemplar;

const METADATA: &str = "log metadata";
const EXEMPLARS: &str = "log exemplars";

/// Appends the entry of one family's metadata.
pub fn encode_metadata(out: &mut Vec<u8>, namespace: u32, family: &str, metadata: &Metadata) {
    put_batch(out, KIND_METADATA, |out| {
        put_varint(out, u64::from(namespace));
        out.push(metadata.metric_type as u8);
        for text in [family, &metadata.help, &metadata.unit] {
            put_length_prefixed(out, text.as_bytes());
        }
    });
}

/// Appends the entries of exemplars of any series of a namespace, in their order; nothing for
/// none.
///
/// # Panics
/// If the columns differ in length, which is a bug of the caller.
pub fn encode_exemplars(out: &mut Vec<u8>, namespace: u32, refs: &[u32], exemplars: &[Exemplar]) {
    assert!(refs.len() == exemplars.len(), "BUG: columns differ in length");
    let batches = refs.chunks(BATCH_SAMPLES_MAX).zip(exemplars.chunks(BATCH_SAMPLES_MAX));
    for (refs, exemplars) in batches {
        put_batch(out, KIND_EXEMPLARS, |out| {
            put_varint(out, u64::from(namespace));
            put_varint(out, refs.len() as u64);
            let (mut ref_before, mut t_before) = (0, 0i64);
            for (&series, exemplar) in refs.iter().zip(exemplars) {
                put_zigzag(out, i64::from(series) - ref_before);
                put_zigzag(out, exemplar.t.wrapping_sub(t_before));
                (ref_before, t_before) = (i64::from(series), exemplar.t);
                out.extend_from_slice(&exemplar.value.to_bits().to_le_bytes());
                put_length_prefixed(out, exemplar.labels.as_bytes());
            }
        });
    }
}

pub(super) fn read_metadata(body: &[u8]) -> Result<Entry<'_>, Corrupt> {
    let mut cursor = Cursor::new(METADATA, body);
    let namespace = read_u32(&mut cursor, "a namespace of 32 bits")?;
    let metric_type = MetricType::from_wire(u64::from(cursor.u8()?));
    let mut text = || {
        let at = cursor.position();
        let bytes = cursor.length_prefixed()?;
        std::str::from_utf8(bytes).map_err(|e| Corrupt::new(METADATA, at, "UTF-8", e.to_string()))
    };
    let (family, help, unit) = (text()?, text()?.to_owned(), text()?.to_owned());
    check_end(METADATA, &cursor)?;
    Ok(Entry::Metadata { namespace, family, metadata: Metadata { metric_type, help, unit } })
}

impl EntryDecoder {
    pub(super) fn read_exemplars(&mut self, body: &[u8]) -> Result<Entry<'_>, Corrupt> {
        let mut cursor = Cursor::new(EXEMPLARS, body);
        let namespace = read_u32(&mut cursor, "a namespace of 32 bits")?;
        let count = read_count(&mut cursor)?;
        self.refs.clear();
        self.exemplars.clear();
        let (mut series, mut t) = (0i64, 0i64);
        for _ in 0..count {
            let at = cursor.position();
            series = series.wrapping_add(cursor.zigzag()?);
            t = t.wrapping_add(cursor.zigzag()?);
            let value = f64::from_bits(cursor.u64()?);
            let labels = Labels::from_canonical(cursor.length_prefixed()?)
                .map_err(|e| Corrupt::new(EXEMPLARS, at, "labels", e.to_string()))?;
            let series = u32::try_from(series).map_err(|_| {
                Corrupt::new(EXEMPLARS, at, "a reference of 32 bits", series.to_string())
            })?;
            self.refs.push(series);
            self.exemplars.push(Exemplar { t, value, labels });
        }
        check_end(EXEMPLARS, &cursor)?;
        Ok(Entry::Exemplars { namespace, refs: &self.refs, exemplars: &self.exemplars })
    }
}

fn check_end(what: &'static str, cursor: &Cursor<'_>) -> Result<(), Corrupt> {
    if cursor.is_empty() {
        return Ok(());
    }
    let got = format!("{} more bytes", cursor.remaining());
    Err(Corrupt::new(what, cursor.position(), "the end of the entry", got))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn exemplar() -> impl Strategy<Value = (u32, Exemplar)> {
        (any::<u32>(), any::<i64>(), any::<f64>(), "[a-z]{0,4}").prop_map(
            |(series, t, value, id)| {
                let labels = Labels::from_pairs([("trace", id)]).expect("valid");
                (series, Exemplar { t, value, labels })
            },
        )
    }

    proptest! {
        #[test]
        fn both_come_back_and_cut_ones_are_refused(
            rows in prop::collection::vec(exemplar(), 1..20),
            family in ".{0,9}", help in ".{0,9}",
            flip in (any::<prop::sample::Index>(), 0u8..8),
        ) {
            let metadata = Metadata { metric_type: MetricType::Summary, help, unit: "s".into() };
            let (refs, exemplars): (Vec<u32>, Vec<Exemplar>) = rows.into_iter().unzip();
            let mut bytes = Vec::new();
            encode_metadata(&mut bytes, 7, &family, &metadata);
            let first = bytes.len();
            encode_exemplars(&mut bytes, 7, &refs, &exemplars);
            let (mut decoder, mut cursor) = (EntryDecoder::new(), Cursor::new("t", &bytes));
            let read = decoder.next(&mut cursor).expect("sound");
            let wanted = Entry::Metadata { namespace: 7, family: &family, metadata };
            prop_assert_eq!(read, Some(wanted));
            let read = decoder.next(&mut cursor).expect("sound");
            let wanted = Entry::Exemplars { namespace: 7, refs: &refs, exemplars: &exemplars };
            prop_assert_eq!(read, Some(wanted));
            for end in (1..first).chain(first + 1..bytes.len()) {
                let begin = if end < first { 0 } else { first };
                let mut cursor = Cursor::new("t", &bytes[begin..end]);
                prop_assert!(EntryDecoder::new().next(&mut cursor).is_err(), "cut at {}", end);
            }
            let at = flip.0.index(bytes.len());
            bytes[at] ^= 1 << flip.1;
            let (mut decoder, mut cursor) = (EntryDecoder::new(), Cursor::new("t", &bytes));
            while let Ok(Some(_)) = decoder.next(&mut cursor) {}
        }
    }
}
