//! A reader of protobuf messages that borrows everything and trusts nothing.
//!
//! It knows the wire format only: fields with a number and one of four kinds of value. What a
//! number means is the caller's. Groups, long deprecated, are refused. A message is read field by
//! field; a nested message is the bytes of a field, read with another [`Fields`].
//!
//! Cost: a length-delimited field with a one-byte tag and length is two loads and a slice.

use crate::error::Corrupt;

/// The largest field number that protobuf allows.
pub const FIELD_NUMBER_MAX: u32 = (1 << 29) - 1;

/// Bytes of the longest varint.
const VARINT_LEN_MAX: usize = 10;

/// The wire type of length-delimited values.
const WIRE_BYTES: u8 = 2;

/// The value of one field, as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Wire type 0: int32, int64, uint32, uint64, sint32, sint64, bool and enum.
    Varint(u64),
    /// Wire type 1: fixed64, sfixed64 and double.
    Fixed64(u64),
    /// Wire type 2: string, bytes, a nested message, or packed repeated numbers.
    Bytes(&'a [u8]),
    /// Wire type 5: fixed32, sfixed32 and float.
    Fixed32(u32),
}

/// One field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its number, from 1 to [`FIELD_NUMBER_MAX`].
    pub number: u32,
    /// Its value.
    pub value: Value<'a>,
    /// Offset of its tag in the message, for errors.
    pub at: usize,
}

impl<'a> Field<'a> {
    /// The bytes of a length-delimited field.
    ///
    /// # Errors
    /// [`Corrupt`] for any other wire type.
    #[inline]
    pub fn bytes(&self, what: &'static str) -> Result<&'a [u8], Corrupt> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(self.unexpected(what, "length-delimited")),
        }
    }

    /// The number of a varint field.
    ///
    /// # Errors
    /// [`Corrupt`] for any other wire type.
    #[inline]
    pub fn varint(&self, what: &'static str) -> Result<u64, Corrupt> {
        match self.value {
            Value::Varint(v) => Ok(v),
            _ => Err(self.unexpected(what, "varint")),
        }
    }

    /// The number of a double field.
    ///
    /// # Errors
    /// [`Corrupt`] for any other wire type.
    #[inline]
    pub fn double(&self, what: &'static str) -> Result<f64, Corrupt> {
        match self.value {
            Value::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(self.unexpected(what, "fixed64")),
        }
    }

    /// The text of a string field.
    ///
    /// # Errors
    /// [`Corrupt`] for any other wire type, or if the bytes are not UTF-8.
    pub fn text(&self, what: &'static str) -> Result<&'a str, Corrupt> {
        std::str::from_utf8(self.bytes(what)?)
            .map_err(|e| Corrupt::new(what, self.at, "UTF-8", format!("a bad byte: {e}")))
    }

    #[cold]
    fn unexpected(&self, what: &'static str, expected: &str) -> Corrupt {
        let got = match self.value {
            Value::Varint(_) => "varint",
            Value::Fixed64(_) => "fixed64",
            Value::Bytes(_) => "length-delimited",
            Value::Fixed32(_) => "fixed32",
        };
        Corrupt::new(
            what,
            self.at,
            format!("field {} as {expected}", self.number),
            format!("wire type {got}"),
        )
    }
}

/// Walks over the fields of one message.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    what: &'static str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    /// Starts at the first field; `what` names the message in errors.
    #[inline]
    #[must_use]
    pub fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, bytes, at: 0 }
    }

    /// Bytes read so far.
    #[inline]
    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }

    /// Whether all fields were read.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// What was not read yet.
    #[inline]
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// Reads the next field if it is length-delimited, its tag is the one byte `tag`, and its
    /// length takes one or two bytes, as most fields of repeated messages do. Else nothing is
    /// read: [`Fields::next_field`] takes any.
    #[inline]
    pub fn take_short(&mut self, tag: u8) -> Option<&'a [u8]> {
        let rest = self.rest();
        let (len, from) = match *rest {
            [t, len @ 0..0x80, ..] if t == tag => (usize::from(len), 2),
            [t, low, high @ 0..0x80, ..] if t == tag => {
                (usize::from(low & 0x7f) | usize::from(high) << 7, 3)
            }
            _ => return None,
        };
        let bytes = rest.get(from..from + len)?;
        self.at += from + len;
        Some(bytes)
    }

    /// The next field's number if it has this tag and takes at most two bytes; else nothing is
    /// read.
    ///
    /// For varints that are mostly small. `tag` is that of a field below 16 of varints.
    #[inline]
    pub fn take_short_varint(&mut self, tag: u8) -> Option<u64> {
        let (number, len) = match *self.rest() {
            [t, number @ 0..0x80, ..] if t == tag => (u64::from(number), 2),
            [t, low, high @ 0..0x80, ..] if t == tag => {
                (u64::from(low & 0x7f) | u64::from(high) << 7, 3)
            }
            _ => return None,
        };
        self.at += len;
        Some(number)
    }

    /// Reads the next field; `None` at the end of the message.
    ///
    /// # Errors
    /// [`Corrupt`] if the bytes are no field; the position is then unspecified.
    #[inline]
    pub fn next_field(&mut self) -> Result<Option<Field<'a>>, Corrupt> {
        let at = self.at;
        if at == self.bytes.len() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).unwrap_or(0);
        if number == 0 || number > FIELD_NUMBER_MAX {
            return Err(self.corrupt(at, "a field number from 1 to 2^29-1", format!("tag {tag}")));
        }
        let value = match (tag & 7) as u8 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            WIRE_BYTES => Value::Bytes(self.length_delimited()?),
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            other => {
                return Err(self.corrupt(at, "wire type 0, 1, 2 or 5", other.to_string()));
            }
        };
        Ok(Some(Field { number, value, at }))
    }

    /// Takes the run of length-delimited fields `number` that starts here: all of its bytes, tags
    /// and lengths included. The run is empty if another field, or the end, comes next.
    ///
    /// The fields are delimited, not looked into. `number` is from 1 to 15.
    ///
    /// # Errors
    /// [`Corrupt`] if such a field is longer than what is left.
    #[inline]
    pub fn take_run(&mut self, number: u8) -> Result<&'a [u8], Corrupt> {
        debug_assert!((1..16).contains(&number), "BUG: tags of a run are one byte long");
        let tag = (number << 3) | WIRE_BYTES;
        let start = self.at;
        while self.bytes.get(self.at) == Some(&tag) {
            self.at += 1;
            self.length_delimited()?;
        }
        Ok(&self.bytes[start..self.at])
    }

    #[inline]
    fn length_delimited(&mut self) -> Result<&'a [u8], Corrupt> {
        let start = self.at;
        let len = self.varint()?;
        let slice = usize::try_from(len).ok().and_then(|n| self.rest().get(..n));
        match slice {
            Some(slice) => {
                self.at += slice.len();
                Ok(slice)
            }
            None => {
                let left = self.bytes.len() - self.at;
                Err(self.corrupt(start, format!("{len} bytes"), format!("{left} left")))
            }
        }
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Corrupt> {
        match self.bytes.get(self.at) {
            Some(&first) if first < 0x80 => {
                self.at += 1;
                Ok(u64::from(first))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Corrupt> {
        let mut value = 0u64;
        for (i, &byte) in self.rest().iter().take(VARINT_LEN_MAX).enumerate() {
            if i + 1 == VARINT_LEN_MAX && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                self.at += i + 1;
                return Ok(value);
            }
        }
        Err(self.corrupt(self.at, "a varint of at most 64 bits", "none"))
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Corrupt> {
        match self.rest().first_chunk::<N>() {
            Some(array) => {
                self.at += N;
                Ok(*array)
            }
            None => {
                let left = self.bytes.len() - self.at;
                Err(self.corrupt(self.at, format!("{N} bytes"), format!("{left} left")))
            }
        }
    }

    #[cold]
    fn corrupt(&self, at: usize, expected: impl Into<String>, got: impl Into<String>) -> Corrupt {
        Corrupt::new(self.what, at, expected, got)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::put_varint;

    fn put_field(out: &mut Vec<u8>, number: u32, value: &Value<'_>) {
        let wire = match value {
            Value::Varint(_) => 0,
            Value::Fixed64(_) => 1,
            Value::Bytes(_) => 2,
            Value::Fixed32(_) => 5,
        };
        put_varint(out, u64::from(number) << 3 | wire);
        match value {
            Value::Varint(v) => put_varint(out, *v),
            Value::Fixed64(v) => out.extend_from_slice(&v.to_le_bytes()),
            Value::Bytes(b) => {
                put_varint(out, b.len() as u64);
                out.extend_from_slice(b);
            }
            Value::Fixed32(v) => out.extend_from_slice(&v.to_le_bytes()),
        }
    }

    fn read_all(bytes: &[u8]) -> Result<Vec<(u32, Value<'_>)>, Corrupt> {
        let mut fields = Fields::new("t", bytes);
        let mut all = Vec::new();
        while let Some(field) = fields.next_field()? {
            all.push((field.number, field.value));
        }
        Ok(all)
    }

    #[test]
    fn every_wire_type_is_read() {
        let wanted = [
            (1, Value::Varint(u64::MAX)),
            (15, Value::Fixed64(f64::NAN.to_bits())),
            (16, Value::Bytes(b"abc")),
            (FIELD_NUMBER_MAX, Value::Fixed32(7)),
            (2, Value::Bytes(b"")),
        ];
        let mut bytes = Vec::new();
        for (number, value) in &wanted {
            put_field(&mut bytes, *number, value);
        }
        assert_eq!(read_all(&bytes).as_deref(), Ok(&wanted[..]));
    }

    proptest! {
        /// What the short way takes, the long way reads as the same field and to the same place.
        #[test]
        fn the_short_way_is_a_field(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..400),
            (tag, len) in (prop_oneof![Just(0x0a), Just(0x12), any::<u8>()], 0u64..500),
        ) {
            let mut length = Vec::new();
            put_varint(&mut length, len);
            bytes.splice(0..0, [vec![tag], length].concat());
            let (mut short, mut long) = (Fields::new("t", &bytes), Fields::new("t", &bytes));
            match short.take_short(0x0a) {
                Some(taken) => {
                    let field = long.next_field().expect("a field").expect("not the end");
                    prop_assert_eq!((field.number, field.value), (1, Value::Bytes(taken)));
                    prop_assert_eq!(short.position(), long.position());
                }
                None => prop_assert_eq!(short.position(), 0),
            }
        }

        #[test]
        fn short_varints_are_fields_like_others(
            tag in prop_oneof![Just(0x08u8), any::<u8>()],
            rest in proptest::collection::vec(any::<u8>(), 0..4),
        ) {
            let mut message = vec![tag];
            message.extend_from_slice(&rest);
            let mut long = Fields::new("test", &message);
            let mut short = long.clone();
            match short.take_short_varint(0x08) {
                Some(number) => {
                    let field = long.next_field().expect("a field").expect("not the end");
                    prop_assert_eq!((field.number, field.value), (1, Value::Varint(number)));
                    prop_assert_eq!(short.position(), long.position());
                }
                None => prop_assert_eq!(short.position(), 0),
            }
        }
    }

    #[test]
    fn hostile_bytes_are_refused() {
        for bytes in [
            &[0x0b][..],                           // group start
            &[0x0c],                               // group end
            &[0x0e],                               // wire type 6
            &[0x00, 0x01],                         // field number 0
            &[0x80, 0x80, 0x80, 0x80, 0x10, 0x00], // field number 2^29
            &[0x80],                               // tag ends early
            &[0x08],                               // no varint
            &[0x0a, 0x05, 1],                      // shorter than its length
            &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            &[0x09, 1, 2, 3], // fixed64 ends early
            &[0x0d, 1],       // fixed32 ends early
            &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
        ] {
            assert!(read_all(bytes).is_err(), "{bytes:x?}");
        }
    }

    #[test]
    fn a_run_stops_at_another_field() {
        let bytes = [0x0a, 1, b'x', 0x0a, 0, 0x12, 1, b'y', 0x0a, 1, b'z'];
        let mut fields = Fields::new("t", &bytes);
        assert_eq!(fields.take_run(2), Ok(&[][..]));
        assert_eq!(fields.take_run(1), Ok(&bytes[..5]));
        assert_eq!(fields.take_run(2), Ok(&bytes[5..8]));
        assert_eq!(fields.position(), 8);
        assert!(Fields::new("t", &[0x0a, 2, 1]).take_run(1).is_err());
    }

    #[test]
    fn kinds_are_checked() {
        let field = Field { number: 3, value: Value::Varint(1), at: 9 };
        assert_eq!(field.varint("t"), Ok(1));
        let refused = field.bytes("t").expect_err("not bytes");
        assert_eq!(refused.at, 9);
        assert!(field.double("t").is_err());
        let field = Field { number: 3, value: Value::Bytes(&[0xff]), at: 0 };
        assert!(field.text("t").is_err());
    }

    proptest! {
        #[test]
        fn written_fields_are_read_back(
            fields in proptest::collection::vec((1u32..=FIELD_NUMBER_MAX, any::<u64>(), 0u8..4,
                proptest::collection::vec(any::<u8>(), 0..200)), 0..20)
        ) {
            let wanted: Vec<(u32, Value<'_>)> = fields
                .iter()
                .map(|(number, v, kind, bytes)| (*number, match kind {
                    0 => Value::Varint(*v),
                    1 => Value::Fixed64(*v),
                    2 => Value::Bytes(bytes),
                    _ => Value::Fixed32(*v as u32),
                }))
                .collect();
            let mut bytes = Vec::new();
            for (number, value) in &wanted {
                put_field(&mut bytes, *number, value);
            }
            prop_assert_eq!(read_all(&bytes), Ok(wanted));
        }

        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read_all(&bytes);
            let _ = Fields::new("t", &bytes).take_run(1);
        }
    }
}
