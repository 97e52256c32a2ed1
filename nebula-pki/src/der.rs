//! DER (ITU-T X.690), as strict as Go's `cryptobyte`: definite, minimal lengths of at most four
//! bytes, one-byte tags.

use crate::Error;
use crate::error::CertificateDefect;

/// Takes elements off the front of its input.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the next element has this tag.
    pub(crate) fn next_is(&self, tag: u8) -> bool {
        self.0.first() == Some(&tag)
    }

    /// The content of the next element, if it has this tag.
    pub(crate) fn read(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (header, _) = self.measure(tag)?;
        self.element(tag)?.get(header..)
    }

    /// The next element with tag and length, if it has this tag.
    pub(crate) fn element(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (header, content) = self.measure(tag)?;
        let (element, rest) = self.0.split_at_checked(header.checked_add(content)?)?;
        self.0 = rest;
        Some(element)
    }

    /// The content of the next element, which must have this tag.
    pub(crate) fn required(&mut self, tag: u8, what: CertificateDefect) -> Result<&'a [u8], Error> {
        self.read(tag).ok_or(Error::Malformed { defect: what })
    }

    /// The content of the next element, if it has this tag; an error if it has and is malformed.
    pub(crate) fn optional(
        &mut self,
        tag: u8,
        what: CertificateDefect,
    ) -> Result<Option<&'a [u8]>, Error> {
        if self.next_is(tag) { self.required(tag, what).map(Some) } else { Ok(None) }
    }

    /// The lengths of the next element's header and content, if it has this tag.
    fn measure(&self, tag: u8) -> Option<(usize, usize)> {
        let (&[next, first], rest) = self.0.split_first_chunk::<2>()?;
        if next != tag {
            return None;
        }
        if first < 0x80 {
            return Some((2, first.into()));
        }
        let count = usize::from(first & 0x7f);
        let bytes = rest.get(..count)?;
        if !(1..=4).contains(&count) || bytes.first() == Some(&0) {
            return None;
        }
        let len = bytes.iter().fold(0, |len: u64, byte| len << 8 | u64::from(*byte));
        let len = usize::try_from(len).ok().filter(|len| *len >= 0x80)?;
        Some((2 + count, len))
    }
}

/// Two's complement without the leading bytes that only repeat the sign.
pub(crate) fn minimal(mut bytes: &[u8]) -> &[u8] {
    while let [0, second, ..] | [0xff, second, ..] = bytes
        && bytes.first().is_some_and(|first| first & 0x80 == second & 0x80)
        && let Some((_, rest)) = bytes.split_first()
    {
        bytes = rest;
    }
    bytes
}

/// How long an element with content of this length is.
pub(crate) fn element_len(content: usize) -> usize {
    let bytes = (usize::BITS - content.leading_zeros()).div_ceil(8);
    let length = if content < 0x80 { 1 } else { 1 + bytes as usize };
    1 + length + content
}

/// Appends an element.
pub(crate) fn push(output: &mut Vec<u8>, tag: u8, content: &[u8]) {
    output.push(tag);
    if let Ok(len @ 0..0x80) = u8::try_from(content.len()) {
        output.push(len);
    } else {
        let len = content.len().to_be_bytes();
        let zeros = len.iter().take_while(|byte| **byte == 0).count();
        let len = len.get(zeros..).unwrap_or_default();
        // At most the eight bytes of a `usize`.
        output.push(0x80 | u8::try_from(len.len()).unwrap_or_default());
        output.extend_from_slice(len);
    }
    output.extend_from_slice(content);
}
