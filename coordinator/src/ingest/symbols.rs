//! The symbol table of a Remote Write 2.0 request, and labels as references to it.
//!
//! What a known series is found by must be the same in all requests, whatever their symbol tables
//! look like, and cost little for each reference. So each symbol is hashed once a request, keyed by
//! the process, and the labels of a series are two multilinear sums over the halves of those
//! fingerprints (Carter, Wegman: Universal Classes of Hash Functions, 1979), with a factor for each
//! place. Two series have equal sums with a probability of about 2^-128, and nobody outside can
//! look for such. Cost: two multiplications a reference.

use m3rs_core::Corrupt;
use m3rs_core::model::METRIC_NAME;
use m3rs_core::wire::proto::{Fields, Value};
use m3rs_core::wire::{Cursor, put_length_prefixed};

use crate::ingest::labels::{LabelPolicy, LabelRefusal, describe_canonical};
use crate::write::{WriteRefusal, WriteSession};

/// What keys made of sums begin with.
pub(super) const SUM_MARK: u8 = 2;

/// The length of such a key without the mark: two sums and the number of references.
const KEY_BYTES: usize = 20;

/// Field of `TimeSeries`: references to names and values by turns.
pub(super) const SERIES_LABEL_REFS: u32 = 1;

const SERIES: &str = "TimeSeries";

/// The texts that all references of a request mean.
#[derive(Default)]
pub(super) struct Symbols<'a> {
    texts: Vec<&'a [u8]>,
    fingerprints: Vec<[u64; 2]>,
    /// The reference of `__name__`.
    metric_name: Option<u32>,
}

impl<'a> Symbols<'a> {
    pub(super) fn push<W: WriteSession>(&mut self, symbol: &'a [u8], session: &W) {
        if self.metric_name.is_none() && symbol == METRIC_NAME.as_bytes() {
            self.metric_name = u32::try_from(self.texts.len()).ok();
        }
        self.texts.push(symbol);
        self.fingerprints.push(session.fingerprint(symbol));
    }

    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    pub(super) fn get(&self, reference: u32) -> Option<&'a [u8]> {
        self.texts.get(reference as usize).copied()
    }

    /// The text of metadata.
    pub(super) fn text(&self, reference: u32) -> Result<&'a str, WriteRefusal> {
        let bytes = self.get(reference).ok_or_else(|| self.unknown(reference))?;
        std::str::from_utf8(bytes)
            .map_err(|_| WriteRefusal::Symbols("metadata is not valid UTF-8".to_owned()))
    }

    /// Tells for people which labels the `TimeSeries` `message` has, without unknown references.
    pub(super) fn describe(&self, message: &[u8]) -> String {
        let mut labels = Vec::new();
        // Told is what stands before any damage.
        let _ = for_each_ref(message, |reference| {
            if let Some(text) = self.get(reference)
                && labels.len() < LABELS_TOLD_BYTES_MAX
            {
                put_length_prefixed(&mut labels, text);
            }
        });
        describe_canonical(&labels)
    }

    /// The labels of `message`, each text with its length before it.
    ///
    /// # Errors
    /// [`LabelRefusal::SetTooLong`], before anything is copied.
    pub(super) fn labels(
        &self,
        message: &[u8],
        policy: &LabelPolicy,
    ) -> Result<Vec<u8>, LabelRefusal> {
        let (mut len, mut count) = (0, 0);
        for_each_ref(message, |reference| {
            len += self.get(reference).map_or(0, <[u8]>::len);
            count += 1;
        })?;
        policy.check_set_len(len)?;
        let mut labels = Vec::with_capacity(len + 2 * count);
        for_each_ref(message, |reference| {
            put_length_prefixed(&mut labels, self.get(reference).unwrap_or_default());
        })?;
        Ok(labels)
    }

    #[cold]
    fn unknown(&self, reference: u32) -> WriteRefusal {
        let known = self.texts.len();
        WriteRefusal::Symbols(format!("reference to symbol {reference}, there are {known}"))
    }
}

/// Bytes of labels after which no further one is gathered for people.
const LABELS_TOLD_BYTES_MAX: usize = 1 << 16;

/// Calls `f` with all references to labels of a `TimeSeries`, packed or a field for each.
fn for_each_ref(message: &[u8], mut f: impl FnMut(u32)) -> Result<(), Corrupt> {
    let mut fields = Fields::new(SERIES, message);
    while let Some(field) = fields.next_field()? {
        match (field.number, field.value) {
            // Protobuf keeps the low 32 bits of a varint of that type.
            (SERIES_LABEL_REFS, Value::Varint(reference)) => f(reference as u32),
            (SERIES_LABEL_REFS, _) => {
                let mut packed = Cursor::new(SERIES, field.bytes(SERIES)?);
                while !packed.is_empty() {
                    f(packed.varint()? as u32);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Reads as many packed varints as there is room for; tells how many, and what is left.
#[inline]
fn unpack<'a>(packed: &'a [u8], to: &mut [u32; 64]) -> Result<(usize, &'a [u8]), Corrupt> {
    let (mut count, mut rest) = (0, packed);
    while let Some(slot) = to.get_mut(count) {
        (*slot, rest) = match *rest {
            [] => break,
            [low @ 0..0x80, ref rest @ ..] => (u32::from(low), rest),
            [low, high @ 0..0x80, ref rest @ ..] => {
                (u32::from(low & 0x7f) | u32::from(high) << 7, rest)
            }
            _ => {
                let mut cursor = Cursor::new(SERIES, rest);
                (cursor.varint()? as u32, cursor.rest())
            }
        };
        count += 1;
    }
    Ok((count, rest))
}

/// The sum over the labels of one series after the other.
pub(super) struct LabelSum {
    /// Of references by their number; odd, so that no bit of a fingerprint is without weight.
    factors: Vec<[u64; 2]>,
    /// What factors are made of; nobody outside can guess it.
    seed: [u64; 2],
    refs_max: usize,
    sums: [u64; 2],
    count: usize,
    last: Option<u32>,
    metric_name: Option<u32>,
    unknown: Option<u32>,
}

impl LabelSum {
    pub(super) fn new<W: WriteSession>(labels_max: usize, session: &W) -> Self {
        Self {
            factors: Vec::new(),
            seed: session.fingerprint(b"factors of sums over labels"),
            refs_max: labels_max.saturating_mul(2),
            sums: [0; 2],
            count: 0,
            last: None,
            metric_name: None,
            unknown: None,
        }
    }

    pub(super) fn clear(&mut self) {
        (self.sums, self.count) = ([0; 2], 0);
        (self.last, self.metric_name, self.unknown) = (None, None, None);
    }

    /// Makes factors for `more` further references.
    #[inline]
    pub(super) fn reserve(&mut self, more: usize, fingerprint: impl Fn(&[u8]) -> [u64; 2]) {
        let wanted = (self.count + more).min(self.refs_max);
        while self.factors.len() < wanted {
            let [a, b] = self.seed.map(u64::to_le_bytes);
            let number = (self.factors.len() as u64).to_le_bytes();
            self.factors.push(fingerprint(&[a, b, number].concat()).map(|factor| factor | 1));
        }
    }

    /// Adds references, packed varints of each of which the low 32 bits count. There must be
    /// factors.
    #[inline]
    pub(super) fn add_packed(
        &mut self,
        packed: &[u8],
        symbols: &Symbols<'_>,
    ) -> Result<(), Corrupt> {
        let mut references = [0; 64];
        let mut rest = packed;
        while !rest.is_empty() {
            let count;
            (count, rest) = unpack(rest, &mut references)?;
            self.add(&references[..count], symbols);
        }
        Ok(())
    }

    /// Adds references, for which there must be factors.
    #[inline]
    pub(super) fn add(&mut self, references: &[u32], symbols: &Symbols<'_>) {
        let number = self.count;
        self.count += references.len();
        // Of what is beyond the limit only the number matters.
        let Some(factors) = self.factors.get(number..self.count) else { return };
        let ([mut first, mut second], fingerprints) = (self.sums, &symbols.fingerprints[..]);
        for (&reference, factor) in references.iter().zip(factors) {
            let Some(fingerprint) = fingerprints.get(reference as usize) else {
                self.unknown.get_or_insert(reference);
                return;
            };
            first = first.wrapping_add(fingerprint[0].wrapping_mul(factor[0]));
            second = second.wrapping_add(fingerprint[1].wrapping_mul(factor[1]));
        }
        self.sums = [first, second];
        self.look_for_name(number, references, symbols);
    }

    /// Looks for the metric's name in `references`, the first of which has this `number`.
    #[inline]
    fn look_for_name(&mut self, number: usize, references: &[u32], symbols: &Symbols<'_>) {
        let mut pairs = references;
        if number % 2 == 1
            && let [value, rest @ ..] = references
        {
            pairs = rest;
            if self.last.is_some() && self.last == symbols.metric_name {
                self.metric_name = Some(*value);
            }
        }
        self.last = references.last().copied();
        let name = pairs.chunks_exact(2).find(|pair| Some(pair[0]) == symbols.metric_name);
        self.metric_name = self.metric_name.or(name.map(|pair| pair[1]));
    }

    /// The reference of the metric's name.
    pub(super) fn metric_name(&self) -> Option<u32> {
        self.metric_name
    }

    /// What stands for the labels.
    ///
    /// # Errors
    /// References that are no labels, or too many.
    #[inline]
    pub(super) fn key(&self, symbols: &Symbols<'_>) -> Result<[u8; KEY_BYTES], WriteRefusal> {
        let (unknown, count) = (self.unknown, self.count);
        if unknown.is_some() || !count.is_multiple_of(2) || count > self.refs_max {
            return Err(self.refusal(symbols));
        }
        let mut key = [0; KEY_BYTES];
        let (first, rest) = key.split_at_mut(8);
        let (second, number) = rest.split_at_mut(8);
        first.copy_from_slice(&self.sums[0].to_le_bytes());
        second.copy_from_slice(&self.sums[1].to_le_bytes());
        number.copy_from_slice(&(count as u32).to_le_bytes());
        Ok(key)
    }

    #[cold]
    fn refusal(&self, symbols: &Symbols<'_>) -> WriteRefusal {
        if let Some(reference) = self.unknown {
            return symbols.unknown(reference);
        }
        if !self.count.is_multiple_of(2) {
            return WriteRefusal::Symbols("an odd number of references to labels".to_owned());
        }
        LabelRefusal::TooMany { count: self.count / 2, limit: self.refs_max / 2 }.into()
    }
}
