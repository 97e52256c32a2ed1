//! Version 1 on the wire, canonical and odd.

use super::dice::Dice;
use super::draft::{Draft, Network};

#[derive(Clone)]
pub(crate) enum Value {
    Varint(u64),
    Bytes(Vec<u8>),
    Fixed64([u8; 8]),
    Fixed32([u8; 4]),
    /// The bytes of a whole field, or of none.
    Raw(Vec<u8>),
}

#[derive(Clone)]
pub(crate) struct Field {
    pub(crate) number: u64,
    pub(crate) value: Value,
    /// How many bytes longer than needed the last of its varints is.
    padding: usize,
}

impl Field {
    pub(crate) fn new(number: u64, value: Value) -> Self {
        Self { number, value, padding: 0 }
    }
}

/// The details in canonical order, defaults left out.
pub(crate) fn details(draft: &Draft) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut bytes = |number, bytes: &[u8]| {
        if !bytes.is_empty() {
            fields.push(Field::new(number, Value::Bytes(bytes.to_vec())));
        }
    };
    bytes(1, &draft.name);
    bytes(2, &packed(&draft.networks));
    bytes(3, &packed(&draft.unsafe_networks));
    for group in &draft.groups {
        fields.push(Field::new(4, Value::Bytes(group.clone())));
    }
    let mut varint = |number, value: i64| {
        if value != 0 {
            fields.push(Field::new(number, Value::Varint(value as u64)));
        }
    };
    varint(5, draft.not_before);
    varint(6, draft.not_after);
    let mut bytes = |number, bytes: &[u8]| {
        if !bytes.is_empty() {
            fields.push(Field::new(number, Value::Bytes(bytes.to_vec())));
        }
    };
    bytes(7, &draft.public_key);
    if draft.is_ca {
        fields.push(Field::new(8, Value::Varint(1)));
    }
    if !draft.issuer.is_empty() {
        fields.push(Field::new(9, Value::Bytes(draft.issuer.clone())));
    }
    if draft.curve != 0 {
        fields.push(Field::new(100, Value::Varint(i64::from(draft.curve) as u64)));
    }
    fields
}

pub(crate) fn certificate(details: &[u8], signature: &[u8]) -> Vec<Field> {
    vec![
        Field::new(1, Value::Bytes(details.to_vec())),
        Field::new(2, Value::Bytes(signature.to_vec())),
    ]
}

pub(crate) fn encode(fields: &[Field]) -> Vec<u8> {
    let mut out = Vec::new();
    for Field { number, value, padding } in fields {
        let (wire_type, contents) = match value {
            Value::Raw(bytes) => {
                out.extend(bytes);
                continue;
            }
            Value::Varint(_) => (0, Vec::new()),
            Value::Fixed64(bytes) => (1, bytes.to_vec()),
            Value::Bytes(bytes) => (2, bytes.clone()),
            Value::Fixed32(bytes) => (5, bytes.to_vec()),
        };
        varint(&mut out, number << 3 | wire_type, if wire_type & 1 == 1 { *padding } else { 0 });
        match value {
            Value::Varint(value) => varint(&mut out, *value, *padding),
            Value::Bytes(bytes) => varint(&mut out, bytes.len() as u64, *padding),
            _ => {}
        }
        out.extend(contents);
    }
    out
}

/// Changes the encoding in a way that a decoder may or may not tolerate.
pub(crate) fn distort(fields: &mut Vec<Field>, dice: &mut Dice) -> &'static str {
    let at = dice.below(fields.len().max(1)).min(fields.len().saturating_sub(1));
    let place = dice.below(fields.len() + 1);
    match dice.below(14) {
        0 => {
            (1..fields.len()).rev().for_each(|last| fields.swap(last, dice.below(last + 1)));
            "fields shuffled"
        }
        1 | 2 => {
            let number = dice.pick(&[3, 10, 15, 16, 99, 101, 200, (1 << 29) - 1, 1 << 29]);
            fields.insert(place, Field::new(number, any_value(dice)));
            "unknown field"
        }
        3 => {
            fields.insert(place, raw(group(dice)));
            "unknown group"
        }
        4 => {
            let broken: [&[u8]; 11] = [
                &[0x54],             // end of a group that was not begun
                &[0x53],             // a group without end
                &[0x53, 0x5c],       // ended by another number
                &[0x0e],             // wire type 6
                &[0x57, 1],          // wire type 7
                &[0x00, 1],          // field 0
                &[0x02, 0],          // field 0 again
                &[0],                // a trailing zero
                &[0x52, 0x7f, 1],    // beyond the end
                &[0x50, 0x80],       // a varint cut short
                &[0x51, 1, 2, 3, 4], // a fixed64 cut short, or not
            ];
            fields.insert(place, raw(dice.pick(&broken).to_vec()));
            "broken field"
        }
        5 if !fields.is_empty() => {
            let mut again = fields[at].clone();
            match &mut again.value {
                Value::Varint(value) if dice.one_in(2) => *value = dice.number(),
                Value::Bytes(bytes) if dice.one_in(2) => dice.edit(bytes),
                _ => {}
            }
            fields.insert(place, again);
            "field repeated"
        }
        6 if !fields.is_empty() => {
            fields[at].value = any_value(dice);
            "another wire type"
        }
        7 | 8 if !fields.is_empty() => {
            fields[at].padding = dice.within(1, 9);
            "varint too long"
        }
        9 if !fields.is_empty() => {
            fields.remove(at);
            "field missing"
        }
        10 => {
            let number = dice.pick(&[1, 2, 3, 7, 9]);
            fields.insert(place, Field::new(number, Value::Bytes(Vec::new())));
            "explicit empty value"
        }
        11 => {
            let number = dice.pick(&[5, 6, 8, 100]);
            let value = dice.pick(&[0, 1, 2, 256, 1 << 32, (1 << 32) + 1, u64::MAX]);
            fields.insert(place, Field::new(number, Value::Varint(value)));
            "other number"
        }
        12 => {
            for field in fields.iter_mut().filter(|field| matches!(field.number, 2 | 3)) {
                if let Value::Bytes(packed) = &field.value {
                    field.value = Value::Raw(unpacked(field.number, packed, dice));
                }
            }
            "not packed"
        }
        _ => {
            let number = dice.pick(&[2, 3]);
            let value = dice.pick(&[1, 1 << 32, (1 << 32) + 0x0a00_0001, u64::MAX]);
            for _ in 0..dice.within(1, 2) {
                fields.push(Field::new(number, Value::Varint(value)));
            }
            "integers added"
        }
    }
}

fn raw(bytes: Vec<u8>) -> Field {
    Field::new(0, Value::Raw(bytes))
}

fn any_value(dice: &mut Dice) -> Value {
    match dice.below(4) {
        0 => Value::Varint(dice.number() >> dice.below(64)),
        1 => Value::Fixed64(dice.number().to_le_bytes()),
        2 => Value::Fixed32((dice.number() as u32).to_le_bytes()),
        _ => {
            let len = dice.below(9);
            Value::Bytes(dice.bytes(len))
        }
    }
}

/// A balanced group, with others inside.
fn group(dice: &mut Dice) -> Vec<u8> {
    let number = dice.pick(&[1, 2, 10, 11, 1_000, (1 << 29) - 1]);
    let mut out = Vec::new();
    varint(&mut out, number << 3 | 3, 0);
    for _ in 0..dice.below(3) {
        if dice.one_in(3) {
            out.extend(group(dice));
        } else {
            // In a group, numbers that are too large elsewhere are fine.
            let number = dice.pick(&[1, 7, 1 << 29, (1 << 31) - 1]);
            out.extend(encode(&[Field::new(number, any_value(dice))]));
        }
    }
    varint(&mut out, number << 3 | 4, 0);
    out
}

fn packed(networks: &[Network]) -> Vec<u8> {
    let mut out = Vec::new();
    for network in networks {
        // Only four bytes fit.
        let mut address = [0; 4];
        address.iter_mut().zip(&network.address).for_each(|(to, from)| *to = *from);
        let mask = u32::MAX.checked_shl(32_u32.saturating_sub(network.prefix.into())).unwrap_or(0);
        varint(&mut out, u32::from_be_bytes(address).into(), 0);
        varint(&mut out, network.mask.unwrap_or(mask).into(), 0);
    }
    out
}

/// A packed block as single fields, perhaps only its first half, perhaps with an empty block.
fn unpacked(number: u64, packed: &[u8], dice: &mut Dice) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), packed);
    let stop = if dice.one_in(2) { packed.len() / 2 } else { 0 };
    while rest.len() > stop {
        let len = rest.iter().position(|byte| byte & 0x80 == 0).map_or(rest.len(), |last| last + 1);
        varint(&mut out, number << 3, 0);
        out.extend(&rest[..len]);
        rest = &rest[len..];
    }
    if !rest.is_empty() || dice.one_in(4) {
        out.extend(encode(&[Field::new(number, Value::Bytes(rest.to_vec()))]));
    }
    out
}

fn varint(out: &mut Vec<u8>, mut value: u64, padding: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    if padding == 0 {
        out.push(value as u8);
    } else {
        out.push(value as u8 | 0x80);
        out.extend(vec![0x80; padding - 1]);
        out.push(0);
    }
}
