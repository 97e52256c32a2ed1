//! How the reference cuts a file of CA certificates into blocks.

use crate::{Certificate, Error, pem};

/// The longest piece of PEM that the reference's pool reader takes: everything from the end
/// of one block to the end of the next, in bytes.
pub(crate) const MAX_PEM_LEN: usize = 65_536;

/// The certificate of the next block; none when only white space is left.
pub(super) fn next_certificate(rest: &mut &[u8]) -> Result<Option<Certificate>, Error> {
    let Some(chunk) = next_chunk(rest)? else { return Ok(None) };
    let (block, after) = pem::decode(chunk).ok_or(Error::NoPemBlock)?;
    if !pem::is_blank(after) {
        return Err(Error::NoPemBlock);
    }
    Certificate::from_block(&block).map(Some)
}

/// Cuts off the text from the first BEGIN, even in the middle of a line, to the end of the line with
/// the next END. The reference does so with a scanner whose buffer bounds each step.
fn next_chunk<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Error> {
    let input = *rest;
    let window = input.get(..MAX_PEM_LEN).unwrap_or(input);
    // A full buffer fails before the scanner learns that the input ends with it.
    let at_end = input.len() < MAX_PEM_LEN;
    let Some(begin) = pem::find(window, pem::BEGIN) else {
        return if at_end && pem::is_blank(window) { Ok(None) } else { Err(Error::NoPemBlock) };
    };
    let from_begin = window.get(begin..).unwrap_or_default();
    let end = pem::find(from_begin, pem::END).ok_or(Error::NoPemBlock)?;
    let end_line = from_begin.get(end..).unwrap_or_default();
    let len = match end_line.iter().position(|byte| *byte == b'\n') {
        Some(newline) => end + newline + 1,
        None if at_end => from_begin.len(),
        None => return Err(Error::NoPemBlock),
    };
    *rest = input.get(begin + len..).unwrap_or_default();
    Ok(from_begin.get(..len))
}
