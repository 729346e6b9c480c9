//! String literals: the text that a quoted one stands for.

/// Removes quotes and escapes from a literal that the lexer has accepted.
///
/// `None` if the escapes do not give valid UTF-8.
pub(super) fn unquote(literal: &str) -> Option<String> {
    String::from_utf8(unquote_bytes(literal)?).ok()
}

/// The same for bytes of any kind.
pub(super) fn unquote_bytes(literal: &str) -> Option<Vec<u8>> {
    let inner = literal.get(1..literal.len().checked_sub(1)?)?;
    if literal.starts_with('`') || !inner.contains('\\') {
        return Some(inner.as_bytes().to_vec());
    }
    let mut bytes = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(found) = chars.next() {
        if found != '\\' {
            push_char(&mut bytes, found);
            continue;
        }
        let escape = chars.next()?;
        match escape {
            'a' => bytes.push(0x07),
            'b' => bytes.push(0x08),
            'f' => bytes.push(0x0c),
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            't' => bytes.push(b'\t'),
            'v' => bytes.push(0x0b),
            'x' => bytes.push(u8::try_from(digits(&mut chars, 0, 2, 16)?).ok()?),
            'u' => push_char(&mut bytes, char::from_u32(digits(&mut chars, 0, 4, 16)?)?),
            'U' => push_char(&mut bytes, char::from_u32(digits(&mut chars, 0, 8, 16)?)?),
            '0'..='7' => {
                let first = escape.to_digit(8)?;
                bytes.push(u8::try_from(digits(&mut chars, first, 2, 8)?).ok()?);
            }
            other => push_char(&mut bytes, other),
        }
    }
    Some(bytes)
}

fn push_char(bytes: &mut Vec<u8>, found: char) {
    bytes.extend_from_slice(found.encode_utf8(&mut [0; 4]).as_bytes());
}

fn digits(chars: &mut std::str::Chars<'_>, first: u32, count: u32, radix: u32) -> Option<u32> {
    let mut value = first;
    for _ in 0..count {
        value = value.checked_mul(radix)?.checked_add(chars.next()?.to_digit(radix)?)?;
    }
    Some(value)
}
