//! The wire format of protocol buffers, read as leniently as Go's decoder reads it:
//! <https://protobuf.dev/programming-guides/encoding/>.

use prost::encoding::{decode_varint, encoded_len_varint};

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const GROUP_START: u64 = 3;
const GROUP_END: u64 = 4;
const FIXED32: u64 = 5;

/// The largest field number, and the largest that Go's decoder lets pass inside unknown groups.
const MAX_FIELD: u64 = (1 << 29) - 1;
const MAX_FIELD_IN_GROUP: u64 = (1 << 31) - 1;

/// How deep Go's decoder lets unknown groups nest.
const MAX_GROUP_DEPTH: usize = 10_001;

/// The input is not in the wire format.
#[derive(Debug)]
pub(crate) struct Invalid;

/// One field: its number and its value.
pub(crate) struct Field<'a> {
    pub(crate) number: u64,
    pub(crate) value: Value<'a>,
}

/// What a field holds, by its wire type.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    Varint(u64),
    /// The contents of a length-delimited field.
    Bytes(&'a [u8]),
    /// A type that no field of ours has.
    Other,
}

/// Takes the first field, known or not.
pub(crate) fn next_field<'a>(input: &mut &'a [u8]) -> Result<Field<'a>, Invalid> {
    let (number, wire_type) = next_key(input, MAX_FIELD)?;
    let value = match wire_type {
        GROUP_START => {
            skip_group(input, number)?;
            Value::Other
        }
        _ => next_value(input, wire_type)?,
    };
    Ok(Field { number, value })
}

fn next_key(input: &mut &[u8], max: u64) -> Result<(u64, u64), Invalid> {
    let key = next_varint(input)?;
    let (number, wire_type) = (key >> 3, key & 7);
    if (1..=max).contains(&number) { Ok((number, wire_type)) } else { Err(Invalid) }
}

/// Takes a value that is not a group.
fn next_value<'a>(input: &mut &'a [u8], wire_type: u64) -> Result<Value<'a>, Invalid> {
    let len = match wire_type {
        VARINT => return Ok(Value::Varint(next_varint(input)?)),
        FIXED64 => 8,
        FIXED32 => 4,
        BYTES => usize::try_from(next_varint(input)?).map_err(|_| Invalid)?,
        _ => return Err(Invalid),
    };
    let (value, rest) = input.split_at_checked(len).ok_or(Invalid)?;
    *input = rest;
    Ok(if wire_type == BYTES { Value::Bytes(value) } else { Value::Other })
}

/// Takes the rest of an unknown group. The open groups are a list and not the call stack, because
/// their depth is the sender's choice.
fn skip_group(input: &mut &[u8], number: u64) -> Result<(), Invalid> {
    let mut open = vec![number];
    while let Some(&innermost) = open.last() {
        match next_key(input, MAX_FIELD_IN_GROUP)? {
            (number, GROUP_END) if number == innermost => {
                open.pop();
            }
            (_, GROUP_END) => return Err(Invalid),
            (_, GROUP_START) if open.len() == MAX_GROUP_DEPTH => return Err(Invalid),
            (number, GROUP_START) => open.push(number),
            (_, wire_type) => {
                next_value(input, wire_type)?;
            }
        }
    }
    Ok(())
}

#[inline]
pub(crate) fn next_varint(input: &mut &[u8]) -> Result<u64, Invalid> {
    // Nearly all: keys, lengths, flags.
    if let [byte @ ..0x80, rest @ ..] = *input {
        *input = rest;
        return Ok((*byte).into());
    }
    decode_varint(input).map_err(|_| Invalid)
}

/// What Go's decoder keeps of a number for a field of 32 bits.
pub(crate) const fn low(number: u64) -> u32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// How long a length-delimited field with contents of this length is.
pub(crate) fn bytes_len(number: u64, len: usize) -> usize {
    let prefix = encoded_len_varint(u64::try_from(len).unwrap_or(u64::MAX));
    encoded_len_varint(number << 3) + prefix + len
}

/// Writes a length-delimited field.
pub(crate) fn push_bytes(output: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    push_header(output, number, bytes.len());
    output.extend_from_slice(bytes);
}

/// Writes the key and the length of a length-delimited field.
pub(crate) fn push_header(output: &mut Vec<u8>, number: u64, len: usize) {
    encode_varint(number << 3 | BYTES, output);
    // A slice is never longer than 2^63 − 1 bytes.
    encode_varint(u64::try_from(len).unwrap_or(u64::MAX), output);
}

/// Writes a number.
pub(crate) fn push_varint(output: &mut Vec<u8>, number: u64, value: u64) {
    encode_varint(number << 3 | VARINT, output);
    encode_varint(value, output);
}

/// Writes a packed list of numbers.
pub(crate) fn push_packed(
    output: &mut Vec<u8>,
    number: u64,
    values: impl Iterator<Item = u64> + Clone,
) {
    push_header(output, number, values.clone().map(encoded_len_varint).sum());
    values.for_each(|value| encode_varint(value, output));
}

fn encode_varint(mut value: u64, output: &mut Vec<u8>) {
    while value >= 0x80 {
        let [low, ..] = value.to_le_bytes();
        output.push(low | 0x80);
        value >>= 7;
    }
    let [low, ..] = value.to_le_bytes();
    output.push(low);
}
