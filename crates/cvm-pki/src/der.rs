//! DER as X.690 has it: a strict reader, a canonical-form check with bounds, and a small encoder
//! for what rcgen cannot write.
//!
//! The check visits each byte once per level and at most [`DEPTH_MAX`] levels, so that a hostile
//! input costs no more than its size. The order of a `SET OF` (X.690 §11.6) is deliberately not
//! checked: what we read is never encoded again, and small TLS stacks get it wrong.

/// Deeper than any certificate or request that is meant seriously.
pub(crate) const DEPTH_MAX: usize = 16;

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
#[cfg(test)]
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const NULL: u8 = 0x05;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const UTF8_STRING: u8 = 0x0C;
pub(crate) const PRINTABLE_STRING: u8 = 0x13;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

const CONSTRUCTED: u8 = 0x20;

/// What is wrong with an encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DerError(pub(crate) &'static str);

/// One element: tag, content, and the bytes of both with the length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    pub(crate) raw: &'a [u8],
}

/// Reads elements one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next element, whatever it is.
    pub(crate) fn any(&mut self) -> Result<Element<'a>, DerError> {
        let (tag, after_tag) = self.rest.split_first().ok_or(DerError("an element is missing"))?;
        if tag & 0x1F == 0x1F {
            return Err(DerError("a tag number above 30"));
        }
        let (length, header) = length(after_tag)?;
        let total = 1 + header + length;
        let (raw, rest) =
            self.rest.split_at_checked(total).ok_or(DerError("an element is cut off"))?;
        let content = raw.get(1 + header..).unwrap_or_default();
        self.rest = rest;
        Ok(Element { tag: *tag, content, raw })
    }

    /// The next element, which must have this tag.
    pub(crate) fn expect(
        &mut self,
        tag: u8,
        otherwise: &'static str,
    ) -> Result<Element<'a>, DerError> {
        let element = self.any()?;
        if element.tag == tag { Ok(element) } else { Err(DerError(otherwise)) }
    }

    /// The next element if it has this tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, DerError> {
        if self.rest.first() == Some(&tag) { self.any().map(Some) } else { Ok(None) }
    }

    /// What was not read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Nothing may follow.
    pub(crate) fn end(&self) -> Result<(), DerError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DerError("there are trailing bytes")) }
    }
}

/// The single element that `bytes` are.
pub(crate) fn single<'a>(
    bytes: &'a [u8],
    tag: u8,
    otherwise: &'static str,
) -> Result<Reader<'a>, DerError> {
    let mut outer = Reader::new(bytes);
    let element = outer.expect(tag, otherwise)?;
    outer.end()?;
    Ok(Reader::new(element.content))
}

/// X.690 §8.1.3 and §10.1: a definite length in the fewest octets. Returns it with the number of
/// octets it took.
fn length(bytes: &[u8]) -> Result<(usize, usize), DerError> {
    match bytes {
        [short @ 0..=0x7F, ..] => Ok((usize::from(*short), 1)),
        [0x80, ..] => Err(DerError("an indefinite length")),
        [0x81, one, ..] if *one >= 0x80 => Ok((usize::from(*one), 2)),
        [0x82, high, low, ..] if *high != 0 => {
            Ok((usize::from(u16::from_be_bytes([*high, *low])), 3))
        }
        [0x83, high, middle, low, ..] if *high != 0 => {
            Ok((usize::try_from(u32::from_be_bytes([0, *high, *middle, *low])).unwrap_or(0), 4))
        }
        // Nothing we read has 16 MiB; CRLs of the largest fleets come near.
        [0x81..=0x83, ..] => Err(DerError("a length that is not in its shortest form")),
        _ => Err(DerError("a length that cannot be")),
    }
}

/// Whether `bytes` are exactly one element in DER, all the way down.
pub(crate) fn check(bytes: &[u8]) -> Result<(), DerError> {
    let mut reader = Reader::new(bytes);
    let element = reader.any()?;
    reader.end()?;
    check_element(element, DEPTH_MAX)
}

fn check_element(element: Element<'_>, depth: usize) -> Result<(), DerError> {
    if element.tag & CONSTRUCTED == 0 {
        return check_primitive(element.tag, element.content);
    }
    // X.690 §10.2: strings are primitive; of the universal types these two alone are constructed.
    if element.tag & 0xC0 == 0 && element.tag != SEQUENCE && element.tag != SET {
        return Err(DerError("a constructed string"));
    }
    let deeper = depth.checked_sub(1).ok_or(DerError("it is nested too deeply"))?;
    let mut children = Reader::new(element.content);
    while !children.is_empty() {
        check_element(children.any()?, deeper)?;
    }
    Ok(())
}

fn check_primitive(tag: u8, content: &[u8]) -> Result<(), DerError> {
    match (tag, content) {
        (BOOLEAN, [0x00 | 0xFF]) | (NULL, []) => Ok(()),
        (BOOLEAN, _) => Err(DerError("a BOOLEAN that is neither 00 nor FF")),
        (NULL, _) => Err(DerError("a NULL with content")),
        (INTEGER, _) => check_integer(content),
        (BIT_STRING, _) => check_bit_string(content),
        (OBJECT_IDENTIFIER, _) => check_oid(content),
        (UTF8_STRING, _) if std::str::from_utf8(content).is_err() => {
            Err(DerError("a UTF8String that is not UTF-8"))
        }
        (0x00 | 0x10 | 0x11, _) => Err(DerError("a tag that cannot be")),
        _ => Ok(()),
    }
}

/// X.690 §8.3.2: the first nine bits are neither all zero nor all one.
fn check_integer(content: &[u8]) -> Result<(), DerError> {
    match content {
        [] => Err(DerError("an empty INTEGER")),
        [0x00, second, ..] if second & 0x80 == 0 => Err(DerError("an INTEGER with a spare zero")),
        [0xFF, second, ..] if second & 0x80 != 0 => Err(DerError("an INTEGER with a spare octet")),
        _ => Ok(()),
    }
}

/// X.690 §8.6.2 and §11.2.1: at most seven unused bits, all of them zero.
fn check_bit_string(content: &[u8]) -> Result<(), DerError> {
    let (unused, bits) = content.split_first().ok_or(DerError("an empty BIT STRING"))?;
    let mask = match unused {
        0..=7 => (1_u8 << unused) - 1,
        _ => return Err(DerError("a BIT STRING with more than seven unused bits")),
    };
    match bits.last() {
        Some(last) if last & mask == 0 => Ok(()),
        None if *unused == 0 => Ok(()),
        _ => Err(DerError("a BIT STRING whose unused bits are not zero")),
    }
}

/// X.690 §8.19.2: each component in the fewest octets, and the last one whole.
fn check_oid(content: &[u8]) -> Result<(), DerError> {
    let mut starts_component = true;
    for octet in content {
        if starts_component && *octet == 0x80 {
            return Err(DerError("an OBJECT IDENTIFIER with a spare octet"));
        }
        starts_component = octet & 0x80 == 0;
    }
    if starts_component && !content.is_empty() {
        Ok(())
    } else {
        Err(DerError("an OBJECT IDENTIFIER that is cut off"))
    }
}

/// The element with this tag whose content is `parts`, one after the other.
pub(crate) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let octets = length.to_be_bytes();
    let skip = octets.iter().take_while(|octet| **octet == 0).count();
    let significant = octets.get(skip..).unwrap_or_default();
    let mut out = Vec::with_capacity(length + 2 + significant.len());
    out.push(tag);
    match significant {
        [] => out.push(0),
        [short @ 0..=0x7F] => out.push(*short),
        // At most eight octets: the sum cannot overflow.
        long => {
            out.push(0x80 | u8::try_from(long.len()).unwrap_or(8));
            out.extend_from_slice(long);
        }
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

#[cfg(test)]
mod tests;
