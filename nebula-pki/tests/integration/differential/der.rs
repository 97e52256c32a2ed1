//! Version 2 on the wire, as it should be and odd.

use super::dice::Dice;
use super::draft::{Draft, Network};

#[derive(Clone)]
pub(crate) struct Element {
    tag: u8,
    content: Content,
    length: Length,
}

#[derive(Clone)]
enum Content {
    Bytes(Vec<u8>),
    Elements(Vec<Element>),
    /// These bytes in place of the element.
    Bare(Vec<u8>),
}

#[derive(Clone, Copy)]
enum Length {
    Minimal,
    /// In this many bytes after the first.
    Long(usize),
    Indefinite,
    Off(isize),
}

impl Element {
    pub(crate) fn new(tag: u8, content: &[u8]) -> Self {
        Self { tag, content: Content::Bytes(content.to_vec()), length: Length::Minimal }
    }

    fn list(tag: u8, elements: Vec<Self>) -> Self {
        Self { tag, content: Content::Elements(elements), length: Length::Minimal }
    }

    pub(crate) fn bare(bytes: &[u8]) -> Self {
        Self { tag: 0, content: Content::Bare(bytes.to_vec()), length: Length::Minimal }
    }
}

pub(crate) fn details(draft: &Draft) -> Vec<Element> {
    let mut elements = vec![Element::new(0x80, &draft.name)];
    for (tag, networks) in [(0xa1, &draft.networks), (0xa2, &draft.unsafe_networks)] {
        if !networks.is_empty() {
            let mut networks = networks.clone();
            networks.sort_by(|one, other| sort_key(one).cmp(&sort_key(other)));
            let items = networks
                .iter()
                .map(|network| Element::new(4, &[&network.address[..], &[network.prefix]].concat()))
                .collect();
            elements.push(Element::list(tag, items));
        }
    }
    if !draft.groups.is_empty() {
        let items = draft.groups.iter().map(|group| Element::new(0x0c, group)).collect();
        elements.push(Element::list(0xa3, items));
    }
    if draft.is_ca {
        elements.push(Element::new(0x84, &[0xff]));
    }
    elements.push(Element::new(0x85, &integer(draft.not_before)));
    elements.push(Element::new(0x86, &integer(draft.not_after)));
    if !draft.issuer.is_empty() {
        elements.push(Element::new(0x87, &draft.issuer));
    }
    elements
}

/// What stands around the details, given with tag and length.
pub(crate) fn certificate(
    details: &[u8],
    curve: u8,
    public_key: &[u8],
    signature: &[u8],
) -> Vec<Element> {
    let mut elements = vec![Element::bare(details)];
    if curve != 0 {
        elements.push(Element::new(0x81, &[curve]));
    }
    elements.push(Element::new(0x82, public_key));
    elements.push(Element::new(0x83, signature));
    elements
}

pub(crate) fn encode(elements: &[Element]) -> Vec<u8> {
    let mut out = Vec::new();
    for element in elements {
        let content = match &element.content {
            Content::Bytes(bytes) => bytes.clone(),
            Content::Elements(elements) => encode(elements),
            Content::Bare(bytes) => {
                out.extend(bytes);
                continue;
            }
        };
        out.push(element.tag);
        push_length(&mut out, content.len(), element.length);
        out.extend(content);
    }
    out
}

/// The elements within one of this tag; with dice, its length is any.
pub(crate) fn wrap(tag: u8, elements: &[Element], dice: Option<&mut Dice>) -> Vec<u8> {
    let mut whole = Element::new(tag, &encode(elements));
    if let Some(dice) = dice {
        whole.length = any_length(dice);
    }
    encode(&[whole])
}

/// Changes the encoding in a way that a decoder may or may not tolerate.
pub(crate) fn distort(elements: &mut Vec<Element>, dice: &mut Dice) -> &'static str {
    let at = dice.below(elements.len());
    let place = dice.below(elements.len() + 1);
    let known = [
        0x80, 0xa1, 0xa2, 0xa3, 0x84, 0x85, 0x86, 0x87, 0x81, 0x82, 0x83, 0x88, 0xa8, 0x04, 0x0c,
        0x30, 0x02, 0x9f,
    ];
    match dice.below(12) {
        0 => {
            let other = dice.below(elements.len());
            elements.swap(at, other);
            "elements swapped"
        }
        1 => {
            elements.insert(place, elements[at].clone());
            "element repeated"
        }
        2 => {
            elements.remove(at);
            "element missing"
        }
        3 => {
            let len = dice.below(6);
            let content = dice.bytes(len);
            elements.insert(place, Element::new(dice.pick(&known), &content));
            "element added"
        }
        4 => {
            elements[at].tag = match dice.below(3) {
                0 => elements[at].tag ^ 0x20,
                1 => elements[at].tag ^ 1 << dice.below(8),
                _ => dice.pick(&known),
            };
            "another tag"
        }
        5 => {
            elements[at].length = any_length(dice);
            "another length"
        }
        6 | 7 => {
            // An extension, or junk that is not even an element.
            let len = dice.within(1, 9);
            let junk = if dice.one_in(2) {
                Element::bare(&dice.bytes(len))
            } else {
                Element::new(0x88, &dice.bytes(len))
            };
            elements.push(junk);
            "extension"
        }
        8 => {
            for element in elements.iter_mut().filter(|element| matches!(element.tag, 0x84)) {
                let content: [&[u8]; 6] = [&[0], &[1], &[0x80], &[], &[0xff, 0xff], &[0, 1]];
                element.content = Content::Bytes(dice.pick(&content).to_vec());
            }
            "another CA flag"
        }
        9 => {
            for element in elements.iter_mut().filter(|element| matches!(element.tag, 0x85 | 0x86))
            {
                if let Content::Bytes(bytes) = &mut element.content
                    && dice.one_in(2)
                {
                    match dice.below(4) {
                        0 => bytes.insert(0, 0),
                        1 => bytes.insert(0, 0xff),
                        2 => bytes.clear(),
                        _ => *bytes = dice.bytes(9),
                    }
                }
            }
            "another time"
        }
        10 => {
            let lists: Vec<_> = elements
                .iter_mut()
                .filter_map(|element| match &mut element.content {
                    Content::Elements(items) if !items.is_empty() => Some(items),
                    _ => None,
                })
                .collect();
            for items in lists {
                let at = dice.below(items.len());
                match dice.below(5) {
                    0 => items.clear(),
                    1 => items.reverse(),
                    2 => items[at].tag = dice.pick(&[0x04, 0x0c, 0x13, 0x24, 0x80]),
                    3 => items[at].length = any_length(dice),
                    _ => items[at].content = Content::Bytes(Vec::new()),
                }
            }
            "another list"
        }
        _ => {
            if let Content::Bytes(bytes) = &mut elements[at].content {
                dice.edit(bytes);
            }
            "another content"
        }
    }
}

fn any_length(dice: &mut Dice) -> Length {
    match dice.below(4) {
        0 => Length::Indefinite,
        1 => Length::Off(dice.pick(&[-2, -1, 1, 2, 100])),
        _ => Length::Long(dice.within(1, 5)),
    }
}

/// IPv4 first, then address, then prefix length.
fn sort_key(network: &Network) -> (usize, &[u8], u8) {
    (network.address.len(), &network.address, network.prefix)
}

/// The content of a DER integer.
fn integer(value: i64) -> Vec<u8> {
    let mut bytes = value.to_be_bytes().to_vec();
    while bytes.len() > 1
        && (bytes[0] == 0 && bytes[1] < 0x80 || bytes[0] == 0xff && bytes[1] >= 0x80)
    {
        bytes.remove(0);
    }
    bytes
}

fn push_length(out: &mut Vec<u8>, len: usize, form: Length) {
    let len = match form {
        Length::Off(by) => len.saturating_add_signed(by),
        _ => len,
    };
    let bytes = (len as u64).to_be_bytes();
    let needed = 8 - bytes.iter().take_while(|byte| **byte == 0).count();
    match form {
        Length::Indefinite => out.push(0x80),
        Length::Long(count) => {
            let count = count.max(needed);
            out.push(0x80 | count as u8);
            out.extend(&bytes[8 - count..]);
        }
        _ if len < 0x80 => out.push(len as u8),
        _ => {
            out.push(0x80 | needed as u8);
            out.extend(&bytes[8 - needed..]);
        }
    }
}
