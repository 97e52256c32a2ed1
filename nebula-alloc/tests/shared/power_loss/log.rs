//! What the recorder wrote down.

use std::collections::HashMap;

/// One call that succeeded, or a synchronisation that did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    Open { fd: u32, name: String, created: bool, emptied: bool },
    Close { fd: u32 },
    Write { fd: u32, offset: usize, bytes: Vec<u8> },
    Resize { fd: u32, size: usize },
    Sync { fd: u32 },
    FailedSync { fd: u32 },
    Unlink { name: String },
    Say { text: String },
}

/// All records, in their order.
pub fn parse(mut log: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    while !log.is_empty() {
        let (head, rest) = log.split_at(24);
        let word = |at: usize| u32::from_ne_bytes(head[at..at + 4].try_into().unwrap());
        let long = |at: usize| {
            usize::try_from(u64::from_ne_bytes(head[at..at + 8].try_into().unwrap())).unwrap()
        };
        let (kind, fd, number, length) = (word(0), word(4), long(8), long(16));
        let (bytes, rest) = rest.split_at(length);
        log = rest;
        let text = || String::from_utf8(bytes.to_vec()).unwrap();
        records.push(match kind {
            1 => Record::Open {
                fd,
                name: text(),
                created: number & 1 != 0,
                emptied: number & 2 != 0,
            },
            2 => Record::Close { fd },
            3 => Record::Write { fd, offset: number, bytes: bytes.to_vec() },
            4 => Record::Resize { fd, size: number },
            5 => Record::Sync { fd },
            6 => Record::FailedSync { fd },
            7 => Record::Unlink { name: text() },
            8 => Record::Say { text: text() },
            other => panic!("record of kind {other}"),
        });
    }
    records
}

/// What the child said in these records, line by line.
pub fn said(records: &[Record]) -> Vec<String> {
    let mut text = String::new();
    for record in records {
        if let Record::Say { text: more } = record {
            text.push_str(more);
        }
    }
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    complete.lines().filter_map(super::super::child::said).map(str::to_owned).collect()
}

/// The log as of a store that does not synchronise the files whose names end so; "" is all.
pub fn without_synchronisations(records: &[Record], suffix: &str) -> Vec<Record> {
    let mut open = HashMap::new();
    let mut kept = records.to_vec();
    kept.retain(|record| match record {
        Record::Open { fd, name, .. } => {
            open.insert(*fd, name.clone());
            true
        }
        // Names are synchronised: a file that is not there at all is too easy to find.
        Record::Sync { fd } => open[fd].is_empty() || !open[fd].ends_with(suffix),
        _ => true,
    });
    kept
}
